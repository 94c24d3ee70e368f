"""`roled status`: what a person sees at two widths, and what a script reads."""

import fcntl
import json
import os
import pty
import signal
import struct
import subprocess
import sys
import termios
import time
from pathlib import Path
from typing import Any, Self

import pytest
from scripted_daemon import FakeDaemon, Roled

from roled import __version__
from roled.commands.drawing import duration

GOLDEN = Path(__file__).parent / "golden"
NOW = 1_800_000_000.0


def row(profile: str, state: str, **more: Any) -> dict[str, Any]:
    """A profile in use, with what every state has."""
    role_arn = f"arn:aws:iam::123456789012:role/team/{profile}"
    usual = {"account": "123456789012", "role_arn": role_arn, "shells": 1}
    absent = dict.fromkeys(
        ("issued_at", "expires_at", "lifetime", "renew_at", "retry_at", "assumed_role_arn")
    )
    return (
        {"profile": profile, "identity": "0" * 12, "state": state, "error": "", "hint": ""}
        | absent
        | usual
        | more
    )


@pytest.fixture
def answer(environ: dict[str, str]) -> dict[str, Any]:
    """A daemon that has seen everything."""
    home = environ["HOME"]
    return {
        "version": __version__,
        "pid": 4242,
        "started_at": NOW - 11_530,
        "now": NOW,
        "clock_skew": 130.0,
        "store": {"name": "Secret Service", "working": True, "error": ""},
        "config": [
            {"path": f"{home}/.aws/config", "error": ""},
            {
                "path": f"{home}/.aws/credentials",
                "error": f"{home}/.aws/credentials, line 3: neither a [section] nor a setting with =",
            },
        ],
        "profiles": [
            row("ops", "renewing", expires_at=NOW + 600, lifetime=3600, shells=2),
            row("marketingadmin", "ready", expires_at=NOW + 2530, lifetime=3600, renew_at=NOW + 1330),
            row(
                "audit",
                "failing",
                expires_at=NOW + 200,
                lifetime=3600,
                retry_at=NOW + 12,
                error="AWS can't be reached: connect timed out",
                hint="is the network up?",
            ),
            row(
                "nope",
                "refused",
                error="STS refuses the role team/nope to user me",
                hint="may the user call sts:AssumeRole on it, and does the role trust the user?",
            ),
            row("overnight", "expired", expires_at=NOW - 5, lifetime=3600, shells=0),
            row("[red]\x1b[31m", "pending", account=None, role_arn=None),
        ],
        "shells": [],
    }


@pytest.mark.parametrize("width", [100, 60])
def test_status_fits_the_width_and_loses_nothing(
    roled: Roled, fake: FakeDaemon, answer: dict[str, Any], width: int
) -> None:
    fake.answer("status", answer)
    finished = roled("status", env={"COLUMNS": str(width)})
    assert (finished.returncode, finished.stderr) == (0, "")
    assert "\x1b" not in finished.stdout
    drawn = "".join(f"{line.rstrip()}\n" for line in finished.stdout.splitlines())
    assert drawn == (GOLDEN / f"status-{width}.txt").read_text(encoding="utf-8")


def test_status_without_a_shell_says_what_to_do(
    roled: Roled, fake: FakeDaemon, answer: dict[str, Any]
) -> None:
    fake.answer("status", answer | {"profiles": []})
    assert "no profile is in use: set AWS_PROFILE in a shell that has the hook" in roled("status").stdout


def test_a_store_that_fails_is_named_with_its_reason(
    roled: Roled, fake: FakeDaemon, answer: dict[str, Any]
) -> None:
    store = {"name": "memory only", "working": False, "error": "the keyring did not answer"}
    fake.answer("status", answer | {"store": store})
    assert "store   memory only: the keyring did not answer" in roled("status").stdout


def test_a_daemon_of_another_version_is_told_from_this_command(
    roled: Roled, fake: FakeDaemon, answer: dict[str, Any]
) -> None:
    fake.answer("status", answer | {"version": "0.0.9"})
    assert f"this command is roled {__version__}; let them agree: roled restart" in roled("status").stdout


def test_status_as_json_is_the_daemons_answer(roled: Roled, fake: FakeDaemon, answer: dict[str, Any]) -> None:
    fake.answer("status", answer)
    finished = roled("status", "--json")
    assert json.loads(finished.stdout) == answer
    assert "\x1b" not in finished.stdout


@pytest.mark.parametrize("words", [("status",), ("status", "--json")])
def test_status_does_not_start_a_daemon_and_says_that_there_is_none(
    roled: Roled, runtime: str, words: tuple[str, ...]
) -> None:
    finished = roled(*words)
    assert (finished.returncode, finished.stdout) == (4, "")
    assert finished.stderr == (
        "roled: the daemon is not running\n       the next shell that needs it starts it, or: roled start\n"
    )
    assert os.listdir(runtime) == []


@pytest.mark.parametrize(("variables", "coloured"), [({}, True), ({"NO_COLOR": "1"}, False)])
def test_a_terminal_gets_colours_unless_the_user_wants_none(
    environ: dict[str, str],
    fake: FakeDaemon,
    answer: dict[str, Any],
    variables: dict[str, str],
    *,
    coloured: bool,
) -> None:
    fake.answer("status", answer)
    with Terminal(environ | {"TERM": "xterm"} | variables, "status") as terminal:
        shown = terminal.read_until(b"overnight", b"marketingadmin", b"is the network up?")
    assert (b"\x1b[32m" in shown) == coloured


def test_watch_redraws_until_ctrl_c_and_outlives_the_daemon(
    environ: dict[str, str], fake: FakeDaemon, answer: dict[str, Any]
) -> None:
    fake.answer("status", answer)
    with Terminal(environ | {"TERM": "xterm"}, "status", "--watch") as terminal:
        terminal.read_until(b"marketingadmin")
        fake.answer("status", answer | {"profiles": []})
        terminal.read_until(b"no profile is in use")
        fake.close()
        terminal.read_until(b"the daemon is not running")
        terminal.process.send_signal(signal.SIGINT)
        rest = terminal.read_until()
        assert terminal.process.wait(10) == 130
    assert b"Traceback" not in rest
    assert b"\x1b[?1049l" in rest  # back on the screen that the person had


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (-3, "0 s"),
        (59.9, "59 s"),
        (60, "1 min 00 s"),
        (599, "9 min 59 s"),
        (600, "10 min"),
        (3599, "59 min"),
        (3900, "1 h 05 min"),
        (90_000, "1 d 1 h"),
    ],
)
def test_a_duration_is_never_rounded_up(seconds: float, words: str) -> None:
    assert duration(seconds) == words


class Terminal:
    """`roled` on a terminal of 100 columns."""

    def __init__(self, environ: dict[str, str], *words: str) -> None:
        self._ours, theirs = pty.openpty()
        fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 40, 100, 0, 0))
        command = [sys.executable, "-m", "roled", *words]
        self.process = subprocess.Popen(command, env=environ, stdin=theirs, stdout=theirs, stderr=theirs)
        os.close(theirs)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.process.kill()
        self.process.wait()
        os.close(self._ours)

    def read_until(self, *texts: bytes) -> bytes:
        """What was shown until all of `texts` were; with none, until the end."""
        shown, give_up_at = b"", time.monotonic() + 20
        while not texts or not all(text in shown for text in texts):
            assert time.monotonic() < give_up_at, shown
            try:
                shown += os.read(self._ours, 65536)
            except OSError:  # Linux says so when the other end is closed
                assert not texts, shown
                return shown
        return shown

"""How commands end: every message is a line and a hint, never a traceback."""

import os
import pty
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from scripted_daemon import FakeDaemon, Roled

from roled.commands.outcome import run
from roled.core.errors import AssumeRefused, RoledError


def test_an_error_is_one_line_then_an_indented_hint_on_stderr(capsys: pytest.CaptureFixture[str]) -> None:
    def refused() -> int:
        raise AssumeRefused("STS refuses marketingadmin", "look at the trust policy of the role")

    assert run(refused) == 1
    assert capsys.readouterr() == (
        "",
        "roled: STS refuses marketingadmin\n       look at the trust policy of the role\n",
    )


def test_a_bug_is_told_with_its_type_and_place_and_without_its_text(
    capsys: pytest.CaptureFixture[str],
) -> None:
    def broken() -> int:
        raise ValueError("the secret is made/up+secret")

    assert run(broken) == 1
    told = capsys.readouterr().err
    assert told.startswith("roled: unexpected ValueError at ")
    assert "roled logs" in told
    assert "secret" not in told


def test_control_characters_in_a_message_do_not_reach_the_terminal(
    capsys: pytest.CaptureFixture[str],
) -> None:
    def hostile() -> int:
        raise RoledError("no profile \x1b]0;owned\x07", "try\nthis")

    run(hostile)
    assert capsys.readouterr().err == "roled: no profile ?]0;owned?\n       try?this\n"


def test_nothing_goes_to_stdout_when_stderr_is_closed(environ: dict[str, str]) -> None:
    command = f"{sys.executable} -m roled hook tcsh 2>&-"
    finished = subprocess.run(["/bin/sh", "-c", command], env=environ, capture_output=True, check=False)
    assert (finished.returncode, finished.stdout) == (2, b"")


@pytest.mark.parametrize(
    ("words", "line", "hint"),
    [
        (["staus"], "no such command 'staus': did you mean 'status'?", "roled --help"),
        (["xyzzy"], "no such command 'xyzzy'", "roled --help"),
        (["status", "--watc"], "no such option '--watc': did you mean '--watch'?", "roled status --help"),
        (["env"], "missing argument 'PROFILE'", "roled env --help"),
        (["env", "a", "b"], "got unexpected extra argument (b)", "roled env --help"),
        (["credential-process"], "missing option '--profile'", "roled credential-process --help"),
        (["hook"], "missing argument 'SHELL': choose from: bash, zsh, fish", "roled hook --help"),
        (
            ["completion", "ksh"],
            "invalid value for 'SHELL': 'ksh' is not one of 'bash', 'zsh', 'fish'",
            "--help",
        ),
    ],
)
def test_words_that_make_no_sense_get_one_line_and_the_way_to_the_help(
    roled: Roled, words: list[str], line: str, hint: str
) -> None:
    finished = roled(*words)
    first, second = finished.stderr.splitlines()
    assert finished.returncode == 2
    assert finished.stdout == ""
    assert first == f"roled: {line}"
    assert second.startswith("       how to call it: ")
    assert second.endswith(hint)


def test_the_version_and_the_help_are_data(roled: Roled) -> None:
    assert roled("--version").stdout == "roled 0.1.0\n"
    for words in (["--help"], ["-h"], []):
        finished = roled(*words)
        assert finished.returncode == 0
        assert finished.stderr == ""
        assert "export AWS_PROFILE=marketingadmin" in finished.stdout
        assert "credential-process" in finished.stdout


def test_a_reader_that_leaves_is_no_news(environ: dict[str, str]) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    try:
        finished = subprocess.run(
            [sys.executable, "-m", "roled", "--help"],
            env=environ,
            stdout=writing,
            stderr=subprocess.PIPE,
            check=False,
        )
    finally:
        os.close(writing)
    assert (finished.returncode, finished.stderr) == (141, b"")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no /dev/full here")
def test_a_full_disk_is_named(environ: dict[str, str]) -> None:
    with open("/dev/full", "wb") as full:
        finished = subprocess.run(
            [sys.executable, "-m", "roled", "--version"],
            env=environ,
            stdout=full,
            stderr=subprocess.PIPE,
            check=False,
        )
    assert finished.returncode == 1
    assert b"No space left on device" in finished.stderr
    assert b"Traceback" not in finished.stderr


def test_ctrl_c_ends_a_command_without_a_word(environ: dict[str, str], fake: FakeDaemon) -> None:
    fake.hold("credentials")
    terminal, command_end = pty.openpty()
    with subprocess.Popen(
        [sys.executable, "-m", "roled", "env", "marketingadmin"],
        env=environ,
        stdin=command_end,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        start_new_session=True,
    ) as command:
        fake.wait_until_asked("credentials")
        command.send_signal(signal.SIGINT)
        output, errors = command.communicate(timeout=10)
    os.close(terminal)
    os.close(command_end)
    assert (command.returncode, output, errors) == (130, b"", b"")

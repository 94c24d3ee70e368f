"""`roled start`, `stop`, `restart` and `logs`: they say in a line what happened."""

import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from scripted_daemon import ENDED_PID, FakeDaemon, Roled

from roled.commands import asking
from roled.core.errors import DaemonUnreachable


def test_start_says_that_the_daemon_already_runs(roled: Roled, fake: FakeDaemon) -> None:
    finished = roled("start")
    assert (finished.returncode, finished.stdout) == (0, "")
    assert finished.stderr == f"roled: the daemon already runs, pid {ENDED_PID}\n"


def test_stop_says_who_starts_it_again(roled: Roled, fake: FakeDaemon) -> None:
    finished = roled("stop")
    assert (finished.returncode, finished.stdout) == (0, "")
    assert finished.stderr == (
        f"roled: stopped the daemon, pid {ENDED_PID}; the next shell that needs it starts it again\n"
    )
    assert [request.verb for request in fake.asked] == ["ping", "stop"]


def test_stop_without_a_daemon_has_nothing_to_do(roled: Roled) -> None:
    finished = roled("stop")
    assert (finished.returncode, finished.stdout) == (0, "")
    assert finished.stderr == "roled: the daemon is not running\n"


def test_a_runtime_folder_that_others_can_read_is_not_trusted(roled: Roled, runtime: str) -> None:
    os.chmod(runtime, 0o755)
    finished = roled("status")
    assert (finished.returncode, finished.stdout) == (4, "")
    assert "is not a private folder of this user" in finished.stderr


def test_a_runtime_folder_that_cannot_be_made_is_named(roled: Roled) -> None:
    finished = roled("start", env={"ROLED_RUNTIME_DIR": "/dev/null/roled"})
    assert (finished.returncode, finished.stdout) == (4, "")
    assert finished.stderr == (
        "roled: the folder /dev/null/roled can't be made: Not a directory\n"
        "       name another one in ROLED_RUNTIME_DIR\n"
    )


def test_a_path_that_is_too_long_for_a_socket_is_told_before_anything_is_started(
    roled: Roled, runtime: str
) -> None:
    finished = roled("start", env={"ROLED_RUNTIME_DIR": f"{runtime}/{'long/' * 30}"})
    assert finished.returncode == 1
    assert "is too long for this system\n       name a shorter folder in ROLED_RUNTIME_DIR" in finished.stderr


def test_a_daemon_that_does_not_come_up_is_told_with_the_way_to_see_why(
    runtime: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    Path(runtime, "socket").write_text("in the way", encoding="utf-8")
    monkeypatch.setenv("ROLED_RUNTIME_DIR", runtime)
    monkeypatch.setattr(asking, "STARTING", 0.1)
    with pytest.raises(DaemonUnreachable) as raised:
        asking.ask("ping")
    assert (str(raised.value), raised.value.hint) == ("the daemon does not start", "see why: roled daemon")


def test_the_daemon_in_the_foreground_says_on_stderr_why_it_ends(roled: Roled, runtime: str) -> None:
    Path(runtime, "socket").write_text("in the way", encoding="utf-8")
    finished = roled("daemon")
    assert finished.returncode == 1
    assert "is in the way and not a socket" in finished.stderr


def test_the_daemon_is_started_used_and_stopped(roled: Roled, runtime: str) -> None:
    started = roled("start")
    assert started.returncode == 0
    assert started.stderr.startswith("roled: started the daemon, pid ")
    pid = int(started.stderr.split()[-1])
    try:
        assert f"pid {pid}" in roled("start").stderr
        assert f"pid {pid}" in roled("status").stdout
        restarted = roled("restart").stderr
        assert restarted.startswith("roled: restarted the daemon, pid ")
        assert int(restarted.split()[-1]) != pid
        pid = int(restarted.split()[-1])
        assert f"stopped the daemon, pid {pid}" in roled("stop").stderr
        assert not os.path.exists(os.path.join(runtime, "socket"))
    finally:
        if os.path.exists(os.path.join(runtime, "socket")):
            os.kill(pid, signal.SIGTERM)


def test_a_command_that_needs_the_daemon_starts_it(roled: Roled, environ: dict[str, str]) -> None:
    Path(environ["HOME"], ".aws", "config").write_text(
        "[profile me]\naws_access_key_id = AKIA\n", encoding="utf-8"
    )
    try:
        finished = roled("profiles")
        assert (finished.returncode, finished.stderr) == (0, "")
        assert "me" in finished.stdout
    finally:
        roled("stop")


def test_no_log_yet_is_one_line(roled: Roled) -> None:
    finished = roled("logs")
    assert (finished.returncode, finished.stdout) == (1, "")
    assert finished.stderr.startswith("roled: there is no log yet, it would be ")
    assert finished.stderr.endswith("daemon.log\n       the daemon writes it once it runs: roled start\n")


def test_the_log_is_printed_as_it_is(roled: Roled, log: Path) -> None:
    log.write_bytes(b"2026-11-23T18:00:00+0000 INFO roled listens\n")
    assert roled("logs").stdout == "2026-11-23T18:00:00+0000 INFO roled listens\n"


def test_follow_shows_new_lines_and_goes_on_in_the_next_log(environ: dict[str, str], log: Path) -> None:
    log.write_bytes(b"one\n")
    command = [sys.executable, "-m", "roled", "logs", "--follow"]
    with subprocess.Popen(command, env=environ, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout
        assert process.stderr
        assert process.stdout.readline() == b"one\n"
        with log.open("ab") as file:
            file.write(b"two\n")
        assert process.stdout.readline() == b"two\n"
        shutil.move(log, f"{log}.1")
        log.write_bytes(b"three\n")
        assert process.stdout.readline() == b"three\n"
        process.send_signal(signal.SIGINT)
        assert process.wait(10) == 130
        assert process.stderr.read() == b""


@pytest.fixture
def log(environ: dict[str, str], tmp_path: Path) -> Path:
    """Where the log is, in a state folder made for the test."""
    environ["XDG_STATE_HOME"] = str(tmp_path / "state")
    folder = tmp_path / "state" / "roled"
    folder.mkdir(parents=True)
    return folder / "daemon.log"

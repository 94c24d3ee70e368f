"""A daemon that is gone, hangs or talks nonsense never holds up a shell, nor breaks it."""

import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest
from fake_daemon import FakeDaemon, half, key_of
from terminal import Open, Terminal

from roled.core import protocol
from roled.edges import client

WAITING = "roled: asking AWS for marketing ... (Ctrl-C to go on without)"
NO_DAEMON = (
    "roled: the daemon does not answer, so AWS_PROFILE=marketing has no credentials here\n"
    "       see: roled logs\n"
)
A_PROMPT = (
    5.0  # seconds: far above the 150 ms of a prompt, on any machine, and far below the 15 s of a command
)


def test_promise_4_a_hanging_daemon_holds_a_prompt_only_briefly(
    shell: str, open_terminal: Open, daemon: FakeDaemon
) -> None:
    daemon.answer = daemon.hang
    started_at = time.monotonic()
    open_terminal(shell, environ={"AWS_PROFILE": "marketing"})
    with_hook = time.monotonic() - started_at
    started_at = time.monotonic()
    open_terminal(shell)
    assert with_hook - (time.monotonic() - started_at) < A_PROMPT
    assert [request.get("wait") for request in daemon.requests] == ["0"]


def test_promise_4_a_renewal_with_a_hanging_daemon_keeps_what_is_good(
    terminal: Terminal, daemon: FakeDaemon
) -> None:
    terminal.use("marketing")
    daemon.answer = daemon.hang
    daemon.renew()
    started_at = time.monotonic()
    assert terminal.key() == key_of("marketing")
    assert time.monotonic() - started_at < A_PROMPT
    asked = len(daemon.requests)
    assert terminal.run("true") == ""
    assert len(daemon.requests) == asked, "it is asked again at once"


def test_promise_4_a_switch_says_that_it_waits_and_gives_way_to_ctrl_c(
    terminal: Terminal, daemon: FakeDaemon
) -> None:
    terminal.use("old")
    daemon.answer = daemon.hang
    terminal.send(switch(terminal))
    terminal.wait_for(WAITING)
    started_at = time.monotonic()
    terminal.interrupt()
    assert time.monotonic() - started_at < 2
    asked = len(daemon.requests)
    started_at = time.monotonic()
    assert terminal.key() == "", "an interrupted switch never leaves the old account's keys"
    assert terminal.value("ROLED_LEASE") == ""
    assert time.monotonic() - started_at < 2, "nobody is asked again at once"
    assert len(daemon.requests) == asked
    assert terminal.run("echo still here") == "still here\n"
    assert_sound(terminal)


def test_ctrl_c_half_way_through_a_line_is_final_too(terminal: Terminal, daemon: FakeDaemon) -> None:
    terminal.use("old")
    daemon.answer = daemon.hang
    terminal.send(switch(terminal) + " && true")
    terminal.wait_for(WAITING)
    started_at = time.monotonic()
    terminal.interrupt()
    assert time.monotonic() - started_at < 2
    assert terminal.run("echo still here") == "still here\n"


def test_a_switch_back_after_ctrl_c_asks_again(terminal: Terminal, daemon: FakeDaemon) -> None:
    terminal.use("old")
    daemon.answer = daemon.hang
    terminal.send(switch(terminal))
    terminal.wait_for(WAITING)
    terminal.interrupt()
    daemon.answer = daemon.lease
    terminal.use("old")
    assert terminal.key() == key_of("old")


def test_ctrl_c_while_a_command_waits_gives_the_prompt_back(
    shell: str, open_terminal: Open, daemon: FakeDaemon
) -> None:
    daemon.on_its_way.add("marketing")
    terminal = open_terminal(shell, environ={"AWS_PROFILE": "marketing"})
    daemon.answer = daemon.hang
    terminal.send("echo the command")
    terminal.wait_for(WAITING)
    terminal.interrupt()
    assert terminal.key() == ""
    assert_sound(terminal)


def test_the_waiting_line_is_gone_once_there_is_an_answer(terminal: Terminal, daemon: FakeDaemon) -> None:
    def slow(request: protocol.Request) -> bytes:
        time.sleep(0.6)
        return daemon.lease(request)

    daemon.answer = slow
    terminal.send(switch(terminal))
    terminal.wait_for(WAITING)
    terminal.wait_for("\r\x1b[K")
    terminal.wait_for("<<prompt")
    if terminal.shell == "fish":
        terminal.wait_for(">>")
    assert terminal.key() == key_of("marketing")


def test_a_gone_daemon_is_told_of_once(terminal: Terminal, daemon: FakeDaemon) -> None:
    daemon.stop()
    assert NO_DAEMON in shown(terminal.use("marketing"))
    assert terminal.key() == ""
    assert terminal.run("true") == ""


def test_a_daemon_that_comes_back_is_found(terminal: Terminal, runtime: Path, daemon: FakeDaemon) -> None:
    daemon.stop()
    terminal.use("marketing")
    (runtime / "socket").unlink()
    with FakeDaemon(runtime):
        deadline = time.monotonic() + 20
        while not terminal.key() and time.monotonic() < deadline:
            time.sleep(0.2)
        assert terminal.key() == key_of("marketing")


def test_a_missing_runtime_folder_costs_nothing_but_the_line(
    shell: str, open_terminal: Open, daemon: FakeDaemon, runtime: Path
) -> None:
    terminal = open_terminal(shell)
    daemon.stop()
    for path in sorted(runtime.rglob("*"), reverse=True):
        path.rmdir() if path.is_dir() else path.unlink()
    runtime.rmdir()
    assert NO_DAEMON in shown(terminal.use("marketing"))
    assert terminal.run("echo $HOME; true").count("\n") == 1


def test_a_removed_interpreter_costs_nothing_but_the_line(
    shell: str, open_terminal: Open, daemon: FakeDaemon
) -> None:
    daemon.stop()
    terminal = open_terminal(shell, python="/nowhere/python")
    assert shown(terminal.use("marketing")) == NO_DAEMON


def test_half_an_answer_is_no_answer(terminal: Terminal, daemon: FakeDaemon) -> None:
    daemon.answer = half(daemon.lease)
    assert NO_DAEMON in shown(terminal.use("marketing"))
    assert [
        terminal.value(name) for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "ROLED_LEASE")
    ] == [""] * 3


def test_an_answer_in_small_pieces_is_put_together(terminal: Terminal, daemon: FakeDaemon) -> None:
    daemon.piece = 7
    terminal.use("marketing")
    assert terminal.value("AWS_SESSION_TOKEN") == daemon.credentials("marketing").session_token


def test_a_refusal_of_the_daemon_is_shown(terminal: Terminal, daemon: FakeDaemon) -> None:
    daemon.answer = lambda _: b"say restart it\nERR bad-request this daemon speaks another version\n"
    assert shown(terminal.use("marketing")).startswith("roled: this daemon speaks another version\n")


@pytest.mark.parametrize(
    "line",
    [
        "set PATH /tmp",
        "set LD_PRELOAD x.so",
        "set AWS_PROFILE other",
        "set IFS x",
        "set _roled_python /bin/false",
        "set AWS_REGION;touch ran x",
        "unset PATH",
        "unset AWS_PROFILE",
        "until 99999999999999999999",
        "until $(touch ran)",
        "until a[$(touch ran)]",
        "until 08",
        "expires x[0$(touch ran)]",
        "stamp ../../etc/passwd",
        "stamp $(touch ran)",
        "say $(touch ran) `touch ran` %s %n \\e[31m",
        "eval touch ran",
        "set",
        "",
        "nonsense",
    ],
)
def test_promise_8_nothing_in_an_answer_is_executed_or_set_beyond_the_list(
    line: str, terminal: Terminal, daemon: FakeDaemon
) -> None:
    before = terminal.run("env | sort | grep -v '^_='")
    daemon.answer = lambda _: f"{line}\nOK\n".encode()
    terminal.use("marketing")
    after = terminal.run("env | sort | grep -v '^_='").replace("AWS_PROFILE=marketing\n", "")
    assert after == before
    assert "ran" not in terminal.run("ls").split()


def test_promise_8_the_values_of_an_answer_are_taken_as_they_are(
    terminal: Terminal, daemon: FakeDaemon
) -> None:
    value = "$(touch${IFS}ran)`id`\\'\"*?~;&|<>{a,b}!%"
    daemon.answer = lambda _: (
        f"set AWS_ACCESS_KEY_ID ASIA\nset AWS_SESSION_TOKEN {value}\nuntil 60\nOK\n".encode()
    )
    terminal.use("marketing")
    assert terminal.run("printenv AWS_SESSION_TOKEN") == f"{value}\n"
    assert "ran" not in terminal.run("ls").split()


def test_promise_8_what_is_said_cannot_drive_the_terminal(terminal: Terminal, daemon: FakeDaemon) -> None:
    daemon.answer = lambda _: b"say roled: \x1b]0;owned\x07\x1b[2J\rx\nuntil 60\nOK\n"
    terminal.send(switch(terminal))
    terminal.wait_for("roled: ?]0;owned??[2J?x")


def test_promise_7_a_socket_in_a_folder_open_to_others_is_not_used(
    terminal: Terminal, daemon: FakeDaemon, runtime: Path
) -> None:
    runtime.chmod(0o777)
    assert NO_DAEMON in shown(terminal.use("marketing"))
    assert daemon.requests == []


@pytest.mark.skipif(os.geteuid() != 0, reason="becoming another user takes root")
def test_promise_7_a_listener_of_another_user_is_not_believed(runtime: Path) -> None:
    runtime.mkdir(mode=0o700)
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(runtime / "socket"))
        impostor = os.fork()
        if not impostor:
            os.setuid(65534)
            listener.listen(8)
            signal.pause()
        try:
            wait_for_listener(runtime)
            with pytest.raises(PermissionError, match="another user"):
                client.ask(str(runtime), "ping", {}, 1.0)
        finally:
            os.kill(impostor, signal.SIGKILL)
            os.waitpid(impostor, 0)


def test_promise_10_a_stopped_daemon_holds_a_prompt_only_briefly(
    shell: str, open_terminal: Open, runtime: Path, daemon: FakeDaemon
) -> None:
    """SIGSTOP: the kernel still accepts for it."""
    daemon.stop()
    (runtime / "socket").unlink()
    code = (
        "import socket, sys, time; listener = socket.socket(socket.AF_UNIX); listener.bind(sys.argv[1]); "
        "listener.listen(8); print(flush=True); time.sleep(99)"
    )
    process = subprocess.Popen([sys.executable, "-c", code, str(runtime / "socket")], stdout=subprocess.PIPE)
    try:
        assert process.stdout is not None
        process.stdout.readline()
        process.send_signal(signal.SIGSTOP)
        terminal = open_terminal(shell, environ={"AWS_PROFILE": "marketing"})
        started_at = time.monotonic()
        terminal.child.sendline("")
        terminal.wait_for("<<prompt")
        assert time.monotonic() - started_at < A_PROMPT
    finally:
        process.kill()
        process.communicate()


def wait_for_listener(runtime: Path) -> None:
    deadline = time.monotonic() + 5
    while time.monotonic() < deadline:
        with socket.socket(socket.AF_UNIX) as connection:
            if connection.connect_ex(str(runtime / "socket")) == 0:
                return


def switch(terminal: Terminal) -> str:
    return "set -gx AWS_PROFILE marketing" if terminal.shell == "fish" else "export AWS_PROFILE=marketing"


def shown(text: str) -> str:
    """What stays on the screen of a text in which the waiting line was erased."""
    return text.replace(WAITING, "")


def assert_sound(terminal: Terminal) -> None:
    """The shell can still be interrupted, and holds no file open that it did not hold before."""
    assert "-isig" not in terminal.run("stty -a")
    sockets = "ls -l /proc/$fish_pid/fd" if terminal.shell == "fish" else "ls -l /proc/$$/fd"
    assert "socket:" not in terminal.run(sockets)

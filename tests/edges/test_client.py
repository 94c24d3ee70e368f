"""The light client: what it sends, what it believes, how it gives up, and what it costs."""

import contextlib
import os
import signal
import socket
import stat
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from roled.core import protocol
from roled.edges import client

CLIENT = str(client.__file__)
BARE_PYTHON = os.path.realpath(
    sys.executable
)  # it has no roled, so a daemon that the client starts ends at once


@pytest.fixture
def runtime() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="roled-", ignore_cleanup_errors=True) as folder:
        yield Path(folder)


Serve = Callable[..., list[bytes]]


@pytest.fixture
def serve(runtime: Path) -> Iterator[Serve]:
    """Answer one connection with the given pieces; the list gets the request."""
    with contextlib.ExitStack() as stack:

        def start(*pieces: bytes, close: bool = True) -> list[bytes]:
            listener = stack.enter_context(socket.socket(socket.AF_UNIX))
            listener.bind(str(runtime / "socket"))
            listener.listen(1)
            requests: list[bytes] = []

            def answer() -> None:
                with contextlib.suppress(OSError):  # a client may well hang up first
                    connection = stack.enter_context(listener.accept()[0])
                    requests.append(connection.recv(65536))
                    for piece in pieces:
                        connection.sendall(piece)
                    if close:
                        connection.shutdown(socket.SHUT_WR)

            threading.Thread(target=answer, daemon=True).start()
            return requests

        yield start


def run(
    runtime: Path, wait: str = "0", environ: dict[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [BARE_PYTHON, "-I", "-S", CLIENT, str(runtime), "bash", "42", "/dev/pts/7", wait],
        env=environ or {},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
        timeout=30,
    )


def test_the_client_and_the_protocol_name_the_same_variables() -> None:
    assert client.SHELL_VARIABLES == protocol.SHELL_VARIABLES


def test_a_request_arrives_as_it_was_meant(runtime: Path, serve: Serve) -> None:
    requests = serve(b"until 5\nOK\n")
    environ = {"AWS_PROFILE": "it's ünï %41", "AWS_DEFAULT_PROFILE": "", "HOME": "/home/me", "SECRET": "no"}
    assert run(runtime, "1", environ).stdout == "until 5\nOK\n"
    request = protocol.decode(requests[0].rstrip(b"\n"))
    assert request.verb == "lease"
    assert dict(request.fields) == {
        "shell": "bash",
        "pid": "42",
        "tty": "/dev/pts/7",
        "wait": "1",
        "HOME": "/home/me",
        "AWS_PROFILE": "it's ünï %41",
        "AWS_DEFAULT_PROFILE": "",
    }


def test_a_refusal_ends_with_status_1(runtime: Path, serve: Serve) -> None:
    serve(b"say do this\nERR bad-request no\n")
    answered = run(runtime)
    assert (answered.returncode, answered.stdout) == (1, "say do this\nERR bad-request no\n")


@pytest.mark.parametrize("reply", [b"", b"set A b\n", b"set A b\nOK", b"set A OK\n", b"OKAY\n", b"say ERR\n"])
def test_nothing_of_an_answer_without_its_end_is_printed(reply: bytes, runtime: Path, serve: Serve) -> None:
    serve(reply)
    answered = run(runtime)
    assert (answered.returncode, answered.stdout, answered.stderr) == (4, "", "")


def test_odd_line_ends_do_not_make_new_lines(runtime: Path, serve: Serve) -> None:
    serve("say a\x0b\x0c\x1c\x85\u2028\rset X y\nOK\n".encode())
    assert len(client.ask(str(runtime), "lease", {}, 2.0)) == 2


def test_an_answer_in_pieces_is_put_together(runtime: Path, serve: Serve) -> None:
    serve(b"say h", b"ello\nO", b"K", b"\n", close=False)
    assert client.ask(str(runtime), "ping", {}, 5.0) == ["say hello", "OK"]


def test_a_prompt_gives_up_within_150_ms(runtime: Path, serve: Serve) -> None:
    serve(close=False)
    started_at = time.monotonic()
    with pytest.raises(TimeoutError):
        client.ask(str(runtime), "lease", {}, client.PROMPT_TIMEOUT)
    assert time.monotonic() - started_at < 0.15
    assert client.PROMPT_TIMEOUT < 0.15


def test_a_folder_that_others_can_enter_is_not_trusted(runtime: Path, serve: Serve) -> None:
    requests = serve(b"OK\n")
    runtime.chmod(0o750)
    assert run(runtime).returncode == 4
    assert requests == []


def test_a_link_to_a_folder_is_not_trusted(runtime: Path) -> None:
    link = runtime / "link"
    (runtime / "real").mkdir(mode=0o700)
    link.symlink_to(runtime / "real")
    with pytest.raises(PermissionError):
        client.ask(str(link), "ping", {}, 1.0)


def test_ctrl_c_ends_it_without_a_word(runtime: Path, serve: Serve) -> None:
    requests = serve(close=False)
    process = subprocess.Popen(
        [BARE_PYTHON, "-I", "-S", CLIENT, str(runtime), "bash", "42", "-", "1"],
        env={},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    deadline = time.monotonic() + 10
    while not requests and time.monotonic() < deadline:
        time.sleep(0.01)
    process.send_signal(signal.SIGINT)
    assert process.communicate(timeout=10) == (b"", b"")
    assert process.returncode == -signal.SIGINT


def test_it_loads_no_module_that_is_not_built_in(runtime: Path) -> None:
    code = f"import sys; exec(open({CLIENT!r}).read(), {{'__name__': 'client'}}); print(*sys.modules)"
    loaded = subprocess.run(
        [BARE_PYTHON, "-I", "-S", "-c", code], capture_output=True, text=True, check=True, env={}
    )
    bare = subprocess.run(
        [BARE_PYTHON, "-I", "-S", "-c", "import sys; print(*sys.modules)"],
        capture_output=True,
        text=True,
        check=True,
        env={},
    )
    added = set(loaded.stdout.split()) - set(bare.stdout.split())
    assert added <= {"__future__", "_socket", "_signal", "posix", "time"}


def test_an_absent_daemon_is_started_at_most_three_times_in_ten_seconds(
    runtime: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    started: list[list[str]] = []

    class Child:
        def __init__(self, words: list[str], **options: object) -> None:
            started.append(words)
            assert options["start_new_session"]
            environ = options["env"]
            assert isinstance(environ, dict)
            assert environ["ROLED_RUNTIME_DIR"] == str(runtime / "new")
            assert not [name for name in environ if name.startswith("AWS_")]

    monkeypatch.setenv("AWS_PROFILE", "mine")
    monkeypatch.setattr(subprocess, "Popen", Child)
    outcomes = [client.start(str(runtime / "new")) for _ in range(4)]
    assert outcomes == [True, True, True, False]
    assert started == [[sys.executable, "-I", "-m", "roled.daemon", "--background"]] * 3
    assert stat.S_IMODE((runtime / "new").stat().st_mode) == 0o700


def test_nobody_starts_a_daemon_while_another_does(runtime: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import fcntl

    monkeypatch.setattr(subprocess, "Popen", lambda *_, **__: pytest.fail("started"))
    with open(runtime / "start.lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        assert client.start(str(runtime))


def test_a_prompt_does_not_wait_for_a_daemon_to_start(runtime: Path) -> None:
    absent = run(runtime / "nothing")
    assert (absent.returncode, absent.stdout, absent.stderr) == (4, "", "")
    assert (runtime / "nothing" / "start.lock").exists()

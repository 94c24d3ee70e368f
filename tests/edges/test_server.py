"""The Unix socket: who may bind it, who is served, and what no client can do to the others."""

import asyncio
import contextlib
import fcntl
import os
import resource
import shutil
import socket
import stat
import subprocess
import tempfile
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from roled.core.errors import RoledError
from roled.core.protocol import MAX_LINE, Request, reply
from roled.edges import server
from roled.edges.server import AlreadyRunning, Server, bind, hold, inherited, is_file, peer_uid

PEER = "import socket, sys; s = socket.socket(socket.AF_UNIX); s.connect(sys.argv[1]); s.recv(1)"
ENOUGH = server.MAX_CONNECTIONS + server.SPARE_FILES
LARGE = 8 * 1024 * 1024  # bytes, more than the kernel takes in for a peer that does not read


@pytest.fixture
def path() -> Iterator[str]:
    """Where a socket may be, in a folder whose own path is short."""
    with tempfile.TemporaryDirectory(prefix="roled-", ignore_cleanup_errors=True) as folder:
        yield f"{folder}/socket"


class Desk:
    """Answers `echo`, `large`, and `held` once the test opens the gate."""

    def __init__(self) -> None:
        self.gate = asyncio.Event()
        self.held = 0

    async def __call__(self, request: Request) -> bytes:
        match request.verb:
            case "large":
                return b"x" * LARGE
            case "held":
                self.held += 1
                await self.gate.wait()
            case "stumble":
                raise ZeroDivisionError("with a secret in it")
            case "refuse":
                raise RoledError("no", "ask nicely")
            case "missing":
                raise FileNotFoundError("with a secret in it")
        return reply([f"say {request.get('word')}"])


@contextlib.asynccontextmanager
async def running(path: str, at_once: int = 100) -> AsyncIterator[tuple[Server, Desk]]:
    desk = Desk()
    one = Server(desk, at_once)
    with bind(path) as listener:
        accepting = asyncio.create_task(one.accept(listener))
        yield one, desk
        accepting.cancel()
        await asyncio.wait({accepting})
    desk.gate.set()
    await one.finish(5)


async def ask(path: str, line: bytes) -> bytes:
    reader, writer = await asyncio.open_unix_connection(path)
    try:
        writer.write(line)
        return await asyncio.wait_for(reader.read(), 10)
    finally:
        writer.close()


async def until(server: Server, serving: int) -> None:
    """Wait for so many connections to be open."""
    async with asyncio.timeout(10):
        while len(server._serving) != serving:  # noqa: ASYNC110  it tells nobody
            await asyncio.sleep(0.005)


def test_the_lock_lets_one_in_and_the_next_one_when_that_is_done(tmp_path: Path) -> None:
    lock = str(tmp_path / "lock")
    with hold(lock):
        with pytest.raises(AlreadyRunning) as refused, hold(lock):
            pass
        assert refused.value.exit_code == 0
    with hold(lock):
        pass


def test_a_lock_file_that_was_removed_while_it_was_taken_protects_nobody(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lock = tmp_path / "lock"
    monkeypatch.setattr(fcntl, "flock", lambda *_: lock.unlink())
    with pytest.raises(AlreadyRunning), hold(str(lock)):
        pass


def test_a_link_planted_where_the_lock_goes_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "lock").symlink_to(tmp_path / "target")
    with pytest.raises(OSError, match="lock"), hold(str(tmp_path / "lock")):
        pass
    assert not (tmp_path / "target").exists()


@pytest.mark.parametrize("umask", [0o000, 0o022, 0o077])
def test_the_socket_is_private_under_any_umask(path: str, umask: int) -> None:
    before = os.umask(umask)
    try:
        with bind(path):
            assert stat.S_IMODE(os.lstat(path).st_mode) == 0o600
        assert os.umask(umask) == umask
    finally:
        os.umask(before)


def test_a_dead_socket_is_replaced(path: str) -> None:
    bind(path).close()
    with bind(path) as listener, socket.socket(socket.AF_UNIX) as peer:
        peer.connect(path)
        listener.accept()[0].close()


@pytest.mark.parametrize("queued", [0, 2])
def test_a_socket_that_somebody_listens_on_is_left_alone(path: str, queued: int) -> None:
    with bind(path) as listener, contextlib.ExitStack() as peers:
        listener.listen(1)
        for _ in range(queued):  # two fill the queue
            peers.enter_context(socket.socket(socket.AF_UNIX)).connect(path)
        found = os.lstat(path)
        with pytest.raises(AlreadyRunning):
            bind(path)
        assert is_file(path, found)


@pytest.mark.parametrize("kind", ["file", "link", "folder"])
def test_what_is_in_the_sockets_way_and_no_socket_stays(path: str, kind: str) -> None:
    other = Path(path)
    match kind:
        case "file":
            other.write_text("mine")
        case "link":
            other.symlink_to("/etc/passwd")
        case "folder":
            other.mkdir()
    with pytest.raises(RoledError, match="is in the way and not a socket"):
        bind(path)
    assert os.path.lexists(path)


def test_a_file_of_the_same_name_is_not_the_same_file(tmp_path: Path) -> None:
    one, other = tmp_path / "one", tmp_path / "other"
    one.touch()
    other.touch()
    found = os.lstat(one)
    assert is_file(str(one), found)
    other.replace(one)
    assert not is_file(str(one), found)
    one.unlink()
    assert not is_file(str(one), found)


def test_a_socket_meant_for_another_process_is_not_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LISTEN_FDS", "1")
    monkeypatch.setenv("LISTEN_PID", str(os.getppid()))
    assert inherited() is None


@pytest.mark.parametrize(
    ("limits", "raised", "room"),
    [
        ((1024, 524288), None, server.MAX_CONNECTIONS),
        ((256, resource.RLIM_INFINITY), ENOUGH, server.MAX_CONNECTIONS),
        ((256, 4096), ENOUGH, server.MAX_CONNECTIONS),
        ((64, 64), 64, 64 - server.SPARE_FILES),
        ((8, 8), 8, 1),
    ],
)
def test_there_is_room_beside_the_daemons_own_files(
    limits: tuple[int, int], raised: int | None, room: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[tuple[int, int]] = []
    monkeypatch.setattr(resource, "getrlimit", lambda _: limits)
    monkeypatch.setattr(resource, "setrlimit", lambda _, wanted: asked.append(wanted))
    assert server.room() == room
    assert asked == ([] if raised is None else [(raised, limits[1])])


def test_the_kernel_says_who_is_on_the_other_end() -> None:
    one, other = socket.socketpair()
    with one, other:
        assert peer_uid(one) == os.geteuid()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")
@pytest.mark.skipif(not shutil.which("setpriv"), reason="setpriv is missing")
@pytest.mark.parametrize("uid", [65534, 2**32 - 2])
def test_another_user_is_told_apart(path: str, uid: int) -> None:
    with bind(path) as listener:
        os.chmod(os.path.dirname(path), 0o755)
        os.chmod(path, 0o666)
        become = ["setpriv", f"--reuid={uid}", "--clear-groups", "/usr/bin/python3", "-I", "-c", PEER, path]
        with subprocess.Popen(become, cwd="/") as peer:
            listener.settimeout(10)
            connection, _ = listener.accept()
            with connection:
                assert peer_uid(connection) == uid
            peer.wait(10)


async def test_a_line_in_gives_lines_out(path: str) -> None:
    async with running(path):
        assert await ask(path, b"echo word=hello%20you\n") == b"say hello you\nOK\n"


async def test_a_line_may_come_in_pieces_and_with_more_behind_it(path: str) -> None:
    async with running(path):
        reader, writer = await asyncio.open_unix_connection(path)
        for piece in (b"ec", b"ho word=", b"x\nec", b"ho word=y\n"):
            writer.write(piece)
            await writer.drain()
        assert await reader.read() == b"say x\nOK\n"
        writer.close()


async def test_the_person_reads_the_refusal_and_nothing_of_an_accident(
    path: str, caplog: pytest.LogCaptureFixture
) -> None:
    async with running(path):
        assert await ask(path, b"refuse\n") == b"say ask nicely\nERR failed no\n"
        for verb in (b"stumble\n", b"missing\n"):
            assert b"ERR failed the daemon stumbled over this request\n" in await ask(path, verb)
    assert "ZeroDivisionError at test_server.py:" in caplog.text
    assert "FileNotFoundError at test_server.py:" in caplog.text
    assert "secret" not in caplog.text


@pytest.mark.parametrize("line", [b"x" * (MAX_LINE + 1), b"echo word=" + b"x" * MAX_LINE + b"\n"])
async def test_a_line_without_end_is_refused(path: str, line: bytes) -> None:
    async with running(path):
        assert b"ERR bad-request the request is longer than 64 KiB\n" in await ask(path, line)


async def test_the_longest_line_is_answered(path: str) -> None:
    async with running(path):
        line = b"echo pad=" + b"x" * (MAX_LINE - 9) + b"\n"
        assert await ask(path, line) == b"say \nOK\n"


@pytest.mark.parametrize("sent", [b"", b"echo wor"])
async def test_a_client_that_leaves_early_is_forgotten(path: str, sent: bytes) -> None:
    async with running(path) as (one, _):
        _, writer = await asyncio.open_unix_connection(path)
        writer.write(sent)
        await until(one, serving=1)
        writer.close()
        await until(one, serving=0)


async def test_a_client_that_leaves_before_its_answer_is_forgotten(
    path: str, caplog: pytest.LogCaptureFixture
) -> None:
    async with running(path) as (one, desk):
        for _ in range(50):
            _, writer = await asyncio.open_unix_connection(path)
            writer.write(b"held\n")
            await writer.drain()
            writer.close()
        await until(one, serving=50)
        desk.gate.set()
        await until(one, serving=0)
    assert not caplog.records


async def test_a_client_that_never_finishes_its_line_is_let_go(
    path: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server, "READ_SECONDS", 0.05)
    async with running(path):
        assert await ask(path, b"echo wor") == b""


async def test_a_client_that_never_reads_is_let_go(path: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server, "WRITE_SECONDS", 0.05)
    async with running(path) as (one, _):
        with socket.socket(socket.AF_UNIX) as peer:
            peer.connect(path)
            peer.sendall(b"large\n")
            await until(one, serving=1)
            await until(one, serving=0)
            received = 0
            while got := await asyncio.to_thread(peer.recv, LARGE):
                received += len(got)
            assert 0 < received < LARGE  # so its socket is closed, and nothing is left in memory


async def test_a_large_answer_arrives_whole(path: str) -> None:
    async with running(path):
        assert len(await ask(path, b"large\n")) == LARGE


async def test_who_finds_no_room_waits_for_it(path: str) -> None:
    async with running(path, at_once=2) as (one, desk):
        held = [asyncio.create_task(ask(path, b"held\n")) for _ in range(2)]
        await until(one, serving=2)
        third = asyncio.create_task(ask(path, b"echo word=third\n"))
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(asyncio.shield(third), 0.05)
        desk.gate.set()
        assert await third == b"say third\nOK\n"
        await asyncio.gather(*held)


async def test_a_connection_that_the_system_refuses_is_not_the_last(
    path: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(server, "ACCEPT_AGAIN", 0.02)
    loop = asyncio.get_running_loop()
    real, failures = loop.sock_accept, [OSError(24, "Too many open files")] * 3

    async def accept(listener: socket.socket) -> tuple[socket.socket, object]:
        if failures:
            raise failures.pop()
        return await real(listener)

    monkeypatch.setattr(loop, "sock_accept", accept)
    async with running(path, at_once=1):
        assert await ask(path, b"echo word=x\n") == b"say x\nOK\n"
    assert [record.getMessage() for record in caplog.records] == [
        "cannot accept a connection: Too many open files"
    ] * 3


async def test_answers_under_way_are_finished_but_not_waited_for_longer_than_told(path: str) -> None:
    async with running(path) as (one, desk):
        asking = [asyncio.create_task(ask(path, b"held word=x\n")) for _ in range(3)]
        await until(one, serving=3)
        started = time.monotonic()
        await one.finish(0.05)
        assert time.monotonic() - started < 2
        desk.gate.set()
        await one.finish(10)
        assert await asyncio.gather(*asking) == [b"say x\nOK\n"] * 3

"""The Unix socket: one daemon binds it; peers of this user send a line in and get lines out."""

import asyncio
import contextlib
import errno
import fcntl
import logging
import os
import resource
import socket
import stat
import struct
import sys
from collections.abc import Awaitable, Callable, Iterator

from roled.core.errors import RoledError
from roled.core.protocol import MAX_LINE, Request, decode, refusal

BACKLOG = 1024  # shells that ask at the same moment queue here; asyncio's own default is 100
MAX_CONNECTIONS = 900  # served at the same time
SPARE_FILES = 40  # of the limit on open files: workers, watches, what is read and written
ACCEPT_AGAIN = 1.0  # seconds, after the system refused a connection
READ_SECONDS = 2.0  # for a request line to arrive whole
WRITE_SECONDS = 5.0  # for a peer to take all of its answer

log = logging.getLogger(__name__)

Answer = Callable[[Request], Awaitable[bytes]]


class AlreadyRunning(RoledError):
    """Another daemon holds the lock of this runtime folder."""

    code = "already-running"
    exit_code = 0


@contextlib.contextmanager
def hold(lock_path: str) -> Iterator[None]:
    """Be the only daemon of a runtime folder, or raise AlreadyRunning.

    The lock is a flock and not a pid file: the kernel lets go of it when the holder dies, whatever killed it.
    """
    descriptor = os.open(lock_path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise AlreadyRunning("the daemon is already running") from None
        if not is_file(lock_path, os.fstat(descriptor)):
            raise AlreadyRunning("another daemon replaced the lock file")
        yield
    finally:
        os.close(descriptor)


def bind(path: str) -> socket.socket:
    """A listening socket at `path`, mode 0600, in place of a dead one. The caller holds the lock."""
    with contextlib.suppress(FileNotFoundError):
        if not stat.S_ISSOCK(os.lstat(path).st_mode):
            raise RoledError(f"{path} is in the way and not a socket", "remove it")
        if _listens(path):
            raise AlreadyRunning("the daemon is already running")
        os.unlink(path)
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    umask = os.umask(0o177)  # no moment in which others could connect, as a chmod after bind would leave
    try:
        listener.bind(path)
    finally:
        os.umask(umask)
    listener.listen(BACKLOG)
    return listener


def _listens(path: str) -> bool:
    """Whether somebody does although the lock was free: systemd, or a daemon whose lock file was removed."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.setblocking(False)  # a daemon with a full queue lives, too
        return probe.connect_ex(path) != errno.ECONNREFUSED


def inherited() -> socket.socket | None:
    """The listening socket that systemd or launchd's shim passed, as sd_listen_fds(3) describes it."""
    if os.environ.get("LISTEN_PID") != str(os.getpid()) or os.environ.get("LISTEN_FDS") != "1":
        return None
    try:
        os.set_inheritable(3, False)
        return socket.socket(fileno=3)
    except OSError as error:
        raise RoledError("LISTEN_FDS is set, but descriptor 3 is not a socket") from error


def room() -> int:
    """How many connections fit beside the daemon's own files; asks for more files where there are few."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = MAX_CONNECTIONS + SPARE_FILES
    if soft < wanted:  # 256 on macOS
        soft = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    return max(1, min(MAX_CONNECTIONS, soft - SPARE_FILES))


def is_file(path: str, found: os.stat_result) -> bool:
    """Whether `path` still names the very file that `found` describes."""
    try:
        now = os.lstat(path)
    except OSError:
        return False
    return (now.st_dev, now.st_ino) == (found.st_dev, found.st_ino)


class Server:
    """Serves connections: checks who is asking, reads one request, writes one answer."""

    def __init__(self, answer: Answer, at_once: int = MAX_CONNECTIONS) -> None:
        self._answer = answer
        self._room = asyncio.Semaphore(at_once)
        self._serving: set[asyncio.Task[None]] = set()

    async def accept(self, listener: socket.socket) -> None:
        """Serve who connects, for ever. While there is no room the others queue in the kernel."""
        loop = asyncio.get_running_loop()
        listener.setblocking(False)
        listener.listen(BACKLOG)
        while True:
            await self._room.acquire()
            try:
                connection, _ = await loop.sock_accept(listener)
            except OSError as error:
                self._room.release()
                log.warning("cannot accept a connection: %s", error.strerror)
                await asyncio.sleep(ACCEPT_AGAIN)
                continue
            task = asyncio.create_task(self._serve(connection))
            self._serving.add(task)
            task.add_done_callback(self._served)

    async def finish(self, seconds: float) -> None:
        """Let the answers under way be given, for so long at most."""
        if self._serving:
            await asyncio.wait(self._serving, timeout=seconds)

    async def reply(self, line: bytes) -> bytes:
        """The answer to a line; a refusal, whatever is wrong with it or with us."""
        try:
            return await self._answer(decode(line))
        except RoledError as error:
            return refusal(error)
        except Exception as error:  # noqa: BLE001  a shell gets an answer, whatever it is
            # Only the type and the place: a traceback's values could be secrets.
            log.error("answering failed: %s", describe(error))  # noqa: TRY400
            return refusal(RoledError("the daemon stumbled over this request", "see: roled logs"))

    async def _serve(self, connection: socket.socket) -> None:
        # A peer that went away or stalls gets no answer, nor does another user, whatever the modes are now.
        with connection, contextlib.suppress(OSError, EOFError):
            if peer_uid(connection) == os.geteuid():
                reply = await self.reply(await _line(connection))
                async with asyncio.timeout(WRITE_SECONDS):
                    await asyncio.get_running_loop().sock_sendall(connection, reply)

    def _served(self, task: asyncio.Task[None]) -> None:
        self._serving.discard(task)
        self._room.release()


async def _line(connection: socket.socket) -> bytes:
    """What a peer sends up to the end of the line; of an endless one no more than it takes to refuse it."""
    loop = asyncio.get_running_loop()
    line = b""
    async with asyncio.timeout(READ_SECONDS):
        while b"\n" not in line and len(line) <= MAX_LINE:
            received = await loop.sock_recv(connection, MAX_LINE)
            if not received:
                raise EOFError("the peer left in the middle of its request")
            line += received
    return line.partition(b"\n")[0]


def peer_uid(connection: socket.socket) -> int:
    """The user on the other end, from the kernel."""
    if sys.platform == "darwin":
        # struct xucred: version, uid, ...; SOL_LOCAL is 0 and LOCAL_PEERCRED is 1.
        return int(struct.unpack_from("=II", connection.getsockopt(0, 1, 76))[1])
    credentials = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("iII"))
    return int(struct.unpack("iII", credentials)[1])


def describe(error: BaseException) -> str:
    """An unexpected error as type and place, without its text or values."""
    place = error.__traceback__
    while place and place.tb_next:
        place = place.tb_next
    where = f"{os.path.basename(place.tb_frame.f_code.co_filename)}:{place.tb_lineno}" if place else "?"
    return f"{type(error).__name__} at {where}"

"""The Unix socket: one daemon binds it; peers of this user send a line in and get lines out."""

import asyncio
import contextlib
import fcntl
import logging
import os
import socket
import stat
import struct
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator

from roled.core.errors import BadRequest, RoledError
from roled.core.protocol import MAX_LINE, Request, decode, refusal

BACKLOG = 1024  # shells that ask at the same moment queue here; asyncio's own default is 100
MAX_CONNECTIONS = 900  # below the usual limit of 1,024 open files, so that workers can still be started
READ_SECONDS = 2.0  # for a request line to arrive whole
WRITE_SECONDS = 5.0  # for a peer to take its answer

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
    """A listening socket at `path`, mode 0600. The caller holds the lock, so a socket found there is a dead
    one's.
    """
    with contextlib.suppress(FileNotFoundError):
        if not stat.S_ISSOCK(os.lstat(path).st_mode):
            raise RoledError(f"{path} is in the way and not a socket", "remove it")
        os.unlink(path)
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    umask = os.umask(0o177)  # no moment in which others could connect, as a chmod after bind would leave
    try:
        listener.bind(path)
    finally:
        os.umask(umask)
    listener.listen(BACKLOG)
    return listener


def inherited() -> socket.socket | None:
    """The listening socket that systemd or launchd's shim passed, as sd_listen_fds(3) describes it."""
    if os.environ.get("LISTEN_PID") != str(os.getpid()) or os.environ.get("LISTEN_FDS") != "1":
        return None
    os.set_inheritable(3, False)
    return socket.socket(fileno=3)


def is_file(path: str, found: os.stat_result) -> bool:
    """Whether `path` still names the very file that `found` describes."""
    try:
        now = os.lstat(path)
    except OSError:
        return False
    return (now.st_dev, now.st_ino) == (found.st_dev, found.st_ino)


class Server:
    """Serves connections: checks who is asking, reads one request, writes one answer."""

    def __init__(self, answer: Answer) -> None:
        self._answer = answer
        self._open = 0
        self._idle = asyncio.Event()

    @contextlib.asynccontextmanager
    async def listening(self, listener: socket.socket) -> AsyncIterator[None]:
        # Always sock=: with path= asyncio would delete the socket of a running daemon without a word.
        server = await asyncio.start_unix_server(self._serve, sock=listener, limit=MAX_LINE, backlog=BACKLOG)
        try:
            yield
        finally:
            server.close()

    async def finish(self, seconds: float) -> None:
        """Let the answers under way be given, for so long at most."""
        self._idle.clear()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds if self._open else 0):
                await self._idle.wait()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._open += 1
        try:
            if peer_uid(writer.get_extra_info("socket")) == os.geteuid():
                writer.write(await self._reply(reader))
                async with asyncio.timeout(WRITE_SECONDS):
                    await writer.drain()
        except (OSError, TimeoutError, EOFError):
            pass  # a peer that went away or stalls gets no answer
        finally:
            writer.close()
            self._open -= 1
            if not self._open:
                self._idle.set()

    async def _reply(self, reader: asyncio.StreamReader) -> bytes:
        try:
            if self._open > MAX_CONNECTIONS:
                raise RoledError("the daemon is answering too many shells at once", "try again")
            return await self._answer(decode(await _line(reader)))
        except RoledError as error:
            return refusal(error)
        except (OSError, EOFError):
            raise
        except Exception as error:  # noqa: BLE001  a shell gets an answer, whatever it is
            # Only the type and the place: a traceback's values could be secrets.
            log.error("answering failed: %s", describe(error))  # noqa: TRY400
            return refusal(RoledError("the daemon stumbled over this request", "see: roled logs"))


async def _line(reader: asyncio.StreamReader) -> bytes:
    async with asyncio.timeout(READ_SECONDS):
        try:
            return await reader.readuntil(b"\n")
        except asyncio.LimitOverrunError:
            raise BadRequest("the request is longer than 64 KiB") from None


def peer_uid(connection: socket.socket) -> int:
    """The user on the other end, from the kernel."""
    if sys.platform == "darwin":
        # struct xucred: version, uid, ...; SOL_LOCAL is 0 and LOCAL_PEERCRED is 1.
        return int(struct.unpack_from("=II", connection.getsockopt(0, 1, 76))[1])
    credentials = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i"))
    return int(struct.unpack("3i", credentials)[1])


def describe(error: BaseException) -> str:
    """An unexpected error as type and place, without its text or values."""
    place = error.__traceback__
    while place and place.tb_next:
        place = place.tb_next
    where = f"{os.path.basename(place.tb_frame.f_code.co_filename)}:{place.tb_lineno}" if place else "?"
    return f"{type(error).__name__} at {where}"

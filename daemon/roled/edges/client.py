"""One question to the daemon: what bash and fish run, and what the commands import.

As a script: `python -I -S client.py RUNTIME SHELL PID TTY WAIT`, the shell's variables in the environment;
`-` for TTY stands for the terminal on standard input. Prints the reply once it is whole.
Exit status: 0 done, 1 the daemon said no, 4 it does not answer.

A prompt waits for this file, so it loads only built-in modules: `os` and `socket` would double its run time.
"""

from __future__ import annotations

import _signal  # type: ignore[import-not-found]
import _socket
import posix
import sys
import time

TYPE_CHECKING = False  # as typing has it, without the cost of typing
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

SHELL_VARIABLES = (  # the same as in core/protocol.py, which a test holds together
    "HOME",
    "PWD",
    "AWS_PROFILE",
    "AWS_DEFAULT_PROFILE",
    "AWS_CONFIG_FILE",
    "AWS_SHARED_CREDENTIALS_FILE",
    "AWS_REGION",
    "AWS_DEFAULT_REGION",
    "AWS_ENDPOINT_URL",
    "AWS_ENDPOINT_URL_STS",
    "AWS_IGNORE_CONFIGURED_ENDPOINT_URLS",
    "AWS_STS_REGIONAL_ENDPOINTS",
    "AWS_CA_BUNDLE",
    "AWS_ACCESS_KEY_ID",
    "ROLED_LEASE",
)

PROMPT_TIMEOUT = 0.13  # seconds; with the start of the interpreter a prompt is held for 150 ms at most
COMMAND_TIMEOUT = 15.0
PATIENCE = 0.3  # seconds of silence before the person is told what they wait for

PLAIN = frozenset(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_.:/@+,-")
LONGEST_REPLY = 16 * 1024 * 1024  # bytes
# SOL_LOCAL and LOCAL_PEERCRED; SO_PEERCRED.
PEER_CREDENTIALS = (0, 1) if sys.platform == "darwin" else (_socket.SOL_SOCKET, 17)

STARTING = 5.0  # seconds that a daemon gets to come up while a command waits
STARTS, STARTS_WITHIN = 3, 10.0  # at most so many daemons are started in so many seconds


def ask(
    runtime: str,
    verb: str,
    fields: Mapping[str, str],
    timeout: float,
    waiting: Callable[[], None] | None = None,
) -> list[str]:
    """The daemon's reply, whose last line is `OK` or `ERR <code> <text>`; an OSError if none comes in time.

    `waiting` is called now and then while the daemon takes longer than PATIENCE.
    """
    deadline = time.monotonic() + timeout
    _check_folder(runtime)
    connection = _socket.socket(_socket.AF_UNIX, _socket.SOCK_STREAM)
    try:
        connection.settimeout(timeout)
        connection.connect(f"{runtime}/socket")
        _check_listener(connection)
        connection.sendall(_request(verb, fields))
        return _receive(connection, deadline, waiting).decode("utf-8", "replace")[:-1].split("\n")
    finally:
        connection.close()


def start(runtime: str) -> bool:
    """Start the daemon, unless somebody is doing so. False if it failed too often just now to try again."""
    import fcntl  # noqa: PLC0415 - these cost 20 ms, and a daemon is started once a day
    import os  # noqa: PLC0415
    import subprocess  # noqa: PLC0415

    os.makedirs(runtime, mode=0o700, exist_ok=True)
    _check_folder(runtime)
    lock = os.open(f"{runtime}/start.lock", os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        now = time.time()
        recent = [
            moment for moment in os.pread(lock, 4096, 0).split() if 0 <= now - _epoch(moment) < STARTS_WITHIN
        ]
        if len(recent) >= STARTS:
            return False
        os.ftruncate(lock, 0)
        os.pwrite(lock, b" ".join((*recent, str(now).encode())), 0)
        child = subprocess.Popen(
            [sys.executable, "-I", "-m", "roled.daemon", "--background"],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            cwd="/",
            env=_daemon_environment(os.environ) | {"ROLED_RUNTIME_DIR": runtime},
            start_new_session=True,
            pass_fds=(lock,),  # it holds the lock while it lives, so nobody starts another
        )
        child.returncode = 0  # nobody here waits for it, and Popen shall not warn of that
    except BlockingIOError:
        return True
    finally:
        os.close(lock)
    return True


def shell_fields(environ: Mapping[str, str]) -> dict[str, str]:
    """What the daemon must know of the asking shell's environment."""
    return {name: environ[name] for name in SHELL_VARIABLES if name in environ}


def main(arguments: list[str]) -> int:
    """Ask for the lease of the calling shell, and print the reply."""
    _signal.signal(_signal.SIGINT, _signal.SIG_DFL)  # Ctrl-C ends it without a word
    _signal.signal(_signal.SIGTSTP, _signal.SIG_IGN)  # a stopped client would hang its shell
    runtime, shell, pid, tty, wait = arguments
    environ = {_text(name): _text(value) for name, value in posix.environ.items()}
    fields = {"shell": shell, "pid": pid, "tty": _terminal() if tty == "-" else tty, "wait": wait}
    fields.update(shell_fields(environ))
    profile = environ.get("AWS_PROFILE", environ.get("AWS_DEFAULT_PROFILE", ""))
    notice = Notice(f"roled: asking AWS for {profile} ... (Ctrl-C to go on without)")
    try:
        if wait == "1":
            reply = _ask_before_command(runtime, fields, notice)
        else:
            reply = _ask_at_prompt(runtime, fields)
    except OSError:
        return 4
    finally:
        notice.erase()
    sys.stdout.buffer.write("".join(f"{line}\n" for line in reply).encode())
    return 0 if reply[-1] == "OK" else 1


class Notice:
    """A line on the terminal for who waits longer than PATIENCE, gone again when they need not."""

    def __init__(self, text: str) -> None:
        self._text = "".join(letter if letter.isprintable() else "?" for letter in text)
        self._due_at = time.monotonic() + PATIENCE
        self._shown = False

    def show_when_due(self) -> None:
        if not self._shown and time.monotonic() >= self._due_at and posix.isatty(2):
            self._shown = True
            posix.write(2, self._text.encode())

    def erase(self) -> None:
        if self._shown:
            posix.write(2, b"\r\x1b[K")


def _ask_before_command(runtime: str, fields: Mapping[str, str], notice: Notice) -> list[str]:
    """A command waits, for the daemon to start and for AWS to answer."""
    deadline = time.monotonic() + COMMAND_TIMEOUT
    while True:
        try:
            return ask(runtime, "lease", fields, deadline - time.monotonic(), notice.show_when_due)
        except (FileNotFoundError, ConnectionError):  # also of a daemon that died over the question
            if not start(runtime) or time.monotonic() > deadline - COMMAND_TIMEOUT + STARTING:
                raise
            notice.show_when_due()
            time.sleep(0.02)


def _ask_at_prompt(runtime: str, fields: Mapping[str, str]) -> list[str]:
    """A prompt does not wait for a daemon to start: it is there when the next command asks."""
    try:
        return ask(runtime, "lease", fields, PROMPT_TIMEOUT)
    except (FileNotFoundError, ConnectionRefusedError):
        start(runtime)
        raise


def _check_folder(runtime: str) -> None:
    """Whoever can write to the folder could put a socket of their own there."""
    found = posix.lstat(runtime)
    if found.st_uid != posix.geteuid() or found.st_mode & 0o170077 != 0o040000:
        raise PermissionError(f"{runtime} is not a private folder of this user")


def _check_listener(connection: _socket.socket) -> None:
    """Linux's ucred and macOS's xucred both hold the uid in their second word."""
    credentials = connection.getsockopt(*PEER_CREDENTIALS, 76)
    if int.from_bytes(credentials[4:8], sys.byteorder) != posix.geteuid():
        raise PermissionError("the daemon's socket belongs to another user")


def _request(verb: str, fields: Mapping[str, str]) -> bytes:
    return (
        " ".join((verb, "v=1", *(f"{name}={_escaped(value)}" for name, value in fields.items()))).encode()
        + b"\n"
    )


def _escaped(value: str) -> str:
    raw = value.encode("utf-8", "surrogateescape")
    return "".join(chr(byte) if byte in PLAIN else f"%{byte:02X}" for byte in raw)


def _receive(connection: _socket.socket, deadline: float, waiting: Callable[[], None] | None) -> bytes:
    """The whole reply: half of one must never reach a shell."""
    reply = b""
    while not _is_whole(reply):
        left = deadline - time.monotonic()
        if left <= 0:
            raise TimeoutError("the daemon does not answer")
        connection.settimeout(min(left, PATIENCE) if waiting else left)
        try:
            received = connection.recv(65536)
        except TimeoutError:
            if waiting:
                waiting()
            continue
        if not received or len(reply) > LONGEST_REPLY:
            raise ConnectionAbortedError("the daemon's reply ends in the middle")
        reply += received
    return reply


def _is_whole(reply: bytes) -> bool:
    last = reply[:-1].rpartition(b"\n")[2]
    return reply.endswith(b"\n") and (last == b"OK" or last.startswith(b"ERR "))


def _daemon_environment(environ: Mapping[str, str]) -> dict[str, str]:
    """Without the AWS settings of the shell that happens to start it: each request brings its own."""
    return {name: value for name, value in environ.items() if not name.startswith(("AWS_", "ROLED_"))}


def _epoch(text: bytes) -> float:
    """The seconds in a word of the lock file; what a crash left there instead is long ago."""
    try:
        return float(text)
    except ValueError:
        return 0.0


def _terminal() -> str:
    try:
        return posix.ttyname(0)
    except OSError:
        return ""


def _text(raw: bytes) -> str:
    return raw.decode("utf-8", "surrogateescape")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

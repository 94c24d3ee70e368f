"""Where socket, stamps, state and config live; whether a folder may be trusted with them."""

import os
import stat
import sys
from collections.abc import Mapping

from roled.core.errors import RoledError

SOCKET_NAME = "socket"
STAMPS_NAME = "stamps"
LOCK_NAME = "lock"

# sun_path holds 108 bytes on Linux and 104 on macOS, the closing NUL included.
LONGEST_SOCKET_PATH = 103 if sys.platform == "darwin" else 107


def runtime_dir(environ: Mapping[str, str]) -> str:
    """The folder of socket and stamps; the same for every process of a user that has no override set.

    In order: ROLED_RUNTIME_DIR; roled's folder in XDG_RUNTIME_DIR; in /run/user/UID; the per-user temporary
    folder of macOS; ~/.local/state/roled/run. A base is passed over unless it is a folder of ours that nobody
    else can write.
    """
    override = environ.get("ROLED_RUNTIME_DIR")
    if override:
        return os.path.abspath(override)
    for base in _bases(environ):
        if base and os.path.isabs(base) and _is_ours(base):
            return os.path.join(base, "roled")
    return os.path.join(_home(environ), ".local", "state", "roled", "run")


def prepare(folder: str) -> None:
    """Make the runtime folder and its stamps folder, or say why they can't be trusted."""
    if len(os.fsencode(socket_path(folder))) > LONGEST_SOCKET_PATH:
        raise RoledError(
            f"the path of the socket, {socket_path(folder)}, is too long for this system",
            "name a shorter folder in ROLED_RUNTIME_DIR",
        )
    for path in (folder, os.path.join(folder, STAMPS_NAME)):
        os.makedirs(path, mode=0o700, exist_ok=True)
        if not _is_ours(path) or stat.S_IMODE(os.lstat(path).st_mode) & 0o077:
            raise RoledError(
                f"{path} is not a private folder of this user, so nothing secret may go there",
                "remove it, or name another folder in ROLED_RUNTIME_DIR (wanted: owned by you, mode 0700)",
            )


def socket_path(runtime: str) -> str:
    return os.path.join(runtime, SOCKET_NAME)


def stamps_dir(runtime: str) -> str:
    return os.path.join(runtime, STAMPS_NAME)


def log_path() -> str:
    """The daemon's log, in the folder where this system keeps the state of programs between boots."""
    import platformdirs  # noqa: PLC0415  every `roled hook` loads this file, and has no use for it

    return os.path.join(platformdirs.user_state_dir("roled", appauthor=False), "daemon.log")


def aws_files(shell: Mapping[str, str]) -> tuple[str, str]:
    """The config and the credentials file, absolute, as the AWS CLI finds them in a shell."""
    return (
        _resolve(shell.get("AWS_CONFIG_FILE") or "~/.aws/config", shell),
        _resolve(shell.get("AWS_SHARED_CREDENTIALS_FILE") or "~/.aws/credentials", shell),
    )


def _resolve(path: str, shell: Mapping[str, str]) -> str:
    if path == "~" or path.startswith("~/"):
        path = _home(shell) + path[1:]
    return os.path.normpath(os.path.join("/", shell.get("PWD") or "/", os.path.expanduser(path)))


def _home(environ: Mapping[str, str]) -> str:
    return environ.get("HOME") or os.path.expanduser("~")


def _bases(environ: Mapping[str, str]) -> tuple[str, ...]:
    return environ.get("XDG_RUNTIME_DIR", ""), f"/run/user/{os.geteuid()}", _darwin_temporary_folder()


def _darwin_temporary_folder() -> str:
    if sys.platform != "darwin":
        return ""
    return os.confstr(65537) or ""  # _CS_DARWIN_USER_TEMP_DIR, which Python gives no name


def _is_ours(path: str) -> bool:
    """A real folder, not a link, that this user owns and no other may write to."""
    try:
        found = os.lstat(path)
    except OSError:
        return False
    return stat.S_ISDIR(found.st_mode) and found.st_uid == os.geteuid() and not found.st_mode & 0o022

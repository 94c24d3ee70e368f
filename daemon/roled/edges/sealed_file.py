"""A keyring backend for machines without a keyring service: a sealed file, and its key in the Linux kernel.

The file is one JSON object under AES-256-GCM. The key, 32 random bytes, is held by the kernel's keyring of
the user (`@u` in keyrings(7)), never by a disk, and goes KEY_LIFETIME after its last use. Without it the file
is noise, as one cut short or altered is: each reads as empty, since only a cache is kept here.
"""

import ctypes
import errno
import fcntl
import json
import os
import platform
import stat
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import ClassVar

from keyring.backend import KeyringBackend
from keyring.errors import PasswordDeleteError

if sys.platform == "linux":  # where cryptography is a dependency
    from cryptography.exceptions import InvalidTag
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

FILE_NAME = "store"
MAGIC = b"roled sealed 1\n"
NONCE_SIZE = 12
KEY_SIZE = 32
MAX_SIZE = 8 * 1024 * 1024  # far above what any number of roles needs; the rest of a bigger file is not read

# Temporary credentials live 12 hours at most and each write renews the key, so it outlives what it seals.
KEY_LIFETIME = 13 * 3600  # seconds

Entries = dict[str, dict[str, str]]  # passwords by user name, by service


class SealedFile(KeyringBackend):
    """Passwords in `folder`, which must be the user's own; OSError where the kernel keyring can't be used."""

    name = "sealed file, key in the kernel keyring"
    priority: ClassVar[float] = 0  # keyring asks for one; it is never used to choose

    def __init__(self, folder: str) -> None:
        """Without keyring's own, which lets KEYRING_PROPERTY_* replace any attribute."""
        self._folder = os.path.abspath(folder)
        self._key_name = f"roled:{self._folder}"
        _find_key(self._key_name)

    def get_password(self, service: str, username: str) -> str | None:
        folder = os.open(self._folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            return self._read(folder).get(service, {}).get(username)
        finally:
            os.close(folder)

    def set_password(self, service: str, username: str, password: str) -> None:
        with self._locked() as folder:
            entries = self._read(folder)
            entries.setdefault(service, {})[username] = password
            self._write(folder, entries)

    def delete_password(self, service: str, username: str) -> None:
        with self._locked() as folder:
            entries = self._read(folder)
            if entries.get(service, {}).pop(username, None) is None:
                raise PasswordDeleteError("no such item")
            if any(entries.values()):
                self._write(folder, entries)
            else:  # nothing is left to seal: copies of the file become noise for ever
                _drop_key(self._key_name)
                os.unlink(FILE_NAME, dir_fd=folder)

    @contextmanager
    def _locked(self) -> Iterator[int]:
        """The folder, opened, while no other process writes here; the lock goes with this process."""
        folder = os.open(self._folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            fcntl.flock(folder, fcntl.LOCK_EX)
            yield folder
        finally:
            os.close(folder)

    def _read(self, folder: int) -> Entries:
        key = _find_key(self._key_name)
        content = _content(folder)
        if key is None or not content.startswith(MAGIC):
            return {}
        sealed = content[len(MAGIC) :]
        with suppress(InvalidTag, ValueError):  # ValueError: too short
            entries: Entries = json.loads(
                AESGCM(key).decrypt(sealed[:NONCE_SIZE], sealed[NONCE_SIZE:], MAGIC)
            )
            return entries
        return {}

    def _write(self, folder: int, entries: Entries) -> None:
        key = _find_key(self._key_name) or _make_key(self._key_name)
        nonce = os.urandom(NONCE_SIZE)
        sealed = AESGCM(key).encrypt(nonce, json.dumps(entries).encode(), MAGIC)
        _replace(folder, MAGIC + nonce + sealed)


def _content(folder: int) -> bytes:
    """What is in the file; nothing when it is no private regular file of this user's."""
    try:
        # NONBLOCK: opening a FIFO would otherwise wait for its writer.
        flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
        file = os.open(FILE_NAME, flags, dir_fd=folder)
    except OSError as error:
        if error.errno in (errno.ENOENT, errno.ELOOP, errno.ENXIO):  # none, a link, a socket
            return b""
        raise
    with open(file, "rb") as stream:
        found = os.fstat(file)
        private = found.st_uid == os.geteuid() and not found.st_mode & 0o077
        return stream.read(MAX_SIZE) if stat.S_ISREG(found.st_mode) and private else b""


def _replace(folder: int, content: bytes) -> None:
    """Put `content` in the file's place so that a crash leaves the old or the new, never a part."""
    fresh = f"{FILE_NAME}.new"
    with suppress(FileNotFoundError):  # left by a crash; the lock says that nobody is writing it
        os.unlink(fresh, dir_fd=folder)
    file = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600, dir_fd=folder)
    try:
        with open(file, "wb") as stream:
            stream.write(content)
            stream.flush()
            os.fsync(file)
        os.replace(fresh, FILE_NAME, src_dir_fd=folder, dst_dir_fd=folder)
    except BaseException:
        with suppress(OSError):
            os.unlink(fresh, dir_fd=folder)
        raise
    os.fsync(folder)


# Numbers of the system calls add_key and keyctl, which C libraries don't wrap; other machines go without.
ADD_KEY, KEYCTL = 0, 1
SYSTEM_CALLS = {
    "x86_64": (248, 250),
    "aarch64": (217, 219),
    "riscv64": (217, 219),
    "ppc64le": (269, 271),
    "s390x": (278, 280),
}

# From linux/keyctl.h.
SETPERM, LINK, SEARCH, READ, SET_TIMEOUT, INVALIDATE = 5, 8, 10, 11, 15, 21
PROCESS_KEYRING, USER_KEYRING = -2, -4
POSSESSOR_ONLY = 0x3F000000  # every right for who holds the keyring, none for anybody else


def _find_key(name: str) -> bytes | None:
    """The key, which lives on for KEY_LIFETIME; None when there is none, or no more."""
    value = ctypes.create_string_buffer(KEY_SIZE)
    try:
        key = _search(name)
        size = _keyctl(READ, key, value, KEY_SIZE)
        _keyctl(SET_TIMEOUT, key, KEY_LIFETIME)
    except OSError as error:
        if error.errno in (errno.ENOKEY, errno.EKEYEXPIRED, errno.EKEYREVOKED):
            return None
        raise
    return value.raw if size == KEY_SIZE else None


def _make_key(name: str) -> bytes:
    value = os.urandom(KEY_SIZE)
    key = _system_call(ADD_KEY, b"user", name.encode(), value, KEY_SIZE, USER_KEYRING)
    _keyctl(SETPERM, key, POSSESSOR_ONLY)
    _keyctl(SET_TIMEOUT, key, KEY_LIFETIME)
    return value


def _drop_key(name: str) -> None:
    _keyctl(INVALIDATE, _search(name))


def _search(name: str) -> int:
    """The kernel's number of the key."""
    # A process with a session keyring of its own may add to @u, but reads only what its @p leads to.
    _keyctl(LINK, USER_KEYRING, PROCESS_KEYRING)
    return _keyctl(SEARCH, PROCESS_KEYRING, b"user", name.encode(), 0)


def _keyctl(operation: int, *arguments: object) -> int:
    return _system_call(KEYCTL, operation, *arguments)


def _system_call(which: int, *arguments: object) -> int:
    """Call ADD_KEY or KEYCTL, or raise OSError; containers often forbid both."""
    numbers = SYSTEM_CALLS.get(platform.machine())
    if sys.platform != "linux" or numbers is None or sys.maxsize < 2**32:
        raise OSError(errno.ENOSYS, "no kernel keyring")
    library = ctypes.CDLL(None, use_errno=True)
    words = [ctypes.c_long(value) if isinstance(value, int) else value for value in arguments]
    result = int(library.syscall(ctypes.c_long(numbers[which]), *words))
    if result < 0:
        raise OSError(ctypes.get_errno(), "the kernel keyring refused")
    return result

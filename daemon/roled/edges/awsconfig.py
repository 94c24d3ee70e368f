"""Reads the AWS files as the AWS CLI does, and says which line is wrong without ever showing it.

botocore's own loader does the parsing. What it raises quotes the offending line, which may be a secret, so
nothing of its text goes further than this file.
"""

import configparser
import errno
import os
import stat
from typing import Any, cast

from botocore import configloader
from botocore.exceptions import ConfigNotFound, ConfigParseError

from roled.core import profiles
from roled.core.errors import BrokenConfig
from roled.core.profiles import Reading

MAX_BYTES = 16 * 1024 * 1024  # 10,000 profiles take one

# A file's signature: unequal whenever it was changed, replaced, or made readable. None stands for no file.
Signature = tuple[tuple[int, ...] | None, ...]


def read(files: tuple[str, str]) -> Reading:
    """What the config and the credentials file (absolute paths) say; a missing file says nothing.

    Raises BrokenConfig when one cannot be opened or parsed.
    """
    config, credentials = files
    return profiles.merged(configloader.build_profile_map(_sections(config)), _sections(credentials))


def signature(files: tuple[str, ...]) -> Signature:
    """What tells cheaply that `files`, or what their links lead to, changed."""
    return tuple(_signature(path) for path in files)


def _signature(path: str) -> tuple[int, ...] | None:
    try:
        found = os.stat(path)
    except OSError:
        return None
    return found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns


def _sections(path: str) -> dict[str, Any]:
    if not _is_there(path):
        return {}
    try:
        return configloader.raw_config_parse(path)
    except ConfigNotFound:  # removed a moment ago
        return {}
    except ConfigParseError as error:
        wrong = _wrong(path, cast("dict[str, Exception]", error.kwargs)["error"])
    raise BrokenConfig(wrong, "correct it there; the AWS CLI cannot read that file either")


def _is_there(path: str) -> bool:
    """Whether there is something to read; BrokenConfig if it cannot or should not be read.

    Opened without blocking: a FIFO without a writer would hold up the daemon. botocore would take an
    unreadable file for an empty one, and the user would look for the mistake in the profile.
    """
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOCTTY)
    except OSError as error:
        if error.errno in (errno.ENOENT, errno.ENOTDIR):
            return False
        raise BrokenConfig(
            f"{path} cannot be opened: {os.strerror(error.errno or 0).lower()}", _look(path)
        ) from None
    try:
        found = os.fstat(descriptor)
    finally:
        os.close(descriptor)
    if os.path.realpath(path) == os.devnull:  # a common way to say: no file
        return False
    if not stat.S_ISREG(found.st_mode):
        raise BrokenConfig(f"{path} is not a regular file, so it is not read", _look(path))
    if found.st_size > MAX_BYTES:
        raise BrokenConfig(f"{path} is larger than {MAX_BYTES >> 20} MiB, so it is not read", _look(path))
    return True


def _look(path: str) -> str:
    return f"try: ls -l {path}"


def _wrong(path: str, error: Exception) -> str:
    """Where and what, in one line; names of sections and settings are shown, values never."""
    match error:
        case configparser.DuplicateSectionError():
            line, what = error.lineno, f"the section [{error.section}] was there before"
        case configparser.DuplicateOptionError():
            line, what = error.lineno, f"{error.option} is already set in [{error.section}]"
        case configparser.MissingSectionHeaderError():
            line, what = error.lineno, "a setting stands before the first [section]"
            if _bytes(path).startswith(b"\xef\xbb\xbf"):
                what = "the file starts with a byte order mark, which the AWS CLI does not accept"
        case configparser.ParsingError():
            line = error.errors[0][0] if error.errors else getattr(error, "lineno", None)
            what = "neither a [section] nor a setting with ="
        case UnicodeDecodeError():
            line, what = _undecodable_line(_bytes(path)), "not UTF-8 text"
        case _:  # the ValueError of a nested block, which knows no place
            line, what = _nested_line_without_equals(_bytes(path)), "a setting of an indented block has no ="
    return f"{path}, line {line}: {what}" if line else f"{path}: {what}"


def _bytes(path: str) -> bytes:
    try:
        with open(path, "rb") as file:
            return file.read(MAX_BYTES)
    except OSError:
        return b""


def _undecodable_line(content: bytes) -> int | None:
    try:
        content.decode()
    except UnicodeDecodeError as error:
        return content.count(b"\n", 0, error.start) + 1
    return None


def _nested_line_without_equals(content: bytes) -> int | None:
    """The first line that is indented below an empty setting and holds no `=`, as far as one can be told."""
    in_block = False
    for number, line in enumerate(content.splitlines(), start=1):
        words = line.strip()
        if not words or words[:1] in b"#;":
            continue
        if not line[:1].isspace():
            in_block = words.endswith((b"=", b":"))
        elif in_block and b"=" not in words:
            return number
    return None

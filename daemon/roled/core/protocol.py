"""Requests and replies <-> lines.

One request line, `VERB v=1 NAME=VALUE ...`, values percent-encoded; then reply lines; the last is `OK` or
`ERR <code> <text>`. A shell's request carries that shell's variables under their own names, `AWS_PROFILE=a`,
so that the daemon answers in the asking shell's terms and never in those of its own environment.

Replies to a hook are lines that `read -r` of any shell takes apart:

    set NAME VALUE     export it
    unset NAME         give it back: what the user had before roled, else nothing
    until SECONDS      ask again after so many seconds, even if the stamp is still there
    expires SECONDS    what was set is worthless after so many seconds
    stamp NAME         a file in the stamps folder; ask again as soon as it is gone
    say TEXT           a line for the person in that terminal, who needs to read it once

Structured answers are one `json {...}` line. Unknown names in a request are ignored, by either side.
"""

import json
import re
import unicodedata
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import unquote_to_bytes

from roled.core.errors import BadRequest, RoledError

VERSION = "1"
MAX_LINE = 64 * 1024  # bytes; a request with the longest paths stays far below it

# The variables of a shell that decide what roled answers it. The hooks and the client send exactly these.
SHELL_VARIABLES = (
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

VERB = re.compile(r"[a-z][a-z-]{0,31}")
NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,63}")
PLAIN = re.compile(r"[!-~]{1,16384}")  # printable ASCII without a blank: what any shell's `read` leaves alone


@dataclass(frozen=True, slots=True)
class Request:
    """One question: what is asked, and the named values that go with it."""

    verb: str
    fields: Mapping[str, str] = field(default_factory=dict)

    def get(self, name: str, default: str = "") -> str:
        return self.fields.get(name, default)


def decode(line: bytes) -> Request:
    """The request in one line, or BadRequest."""
    if len(line) > MAX_LINE:
        raise BadRequest("the request is longer than 64 KiB")
    try:
        verb, *pairs = line.decode("ascii").split()
    except (UnicodeDecodeError, ValueError):
        raise BadRequest("the request is not a line of words") from None
    if not VERB.fullmatch(verb):
        raise BadRequest("the request starts with no verb")
    fields = dict(_pair(pair) for pair in pairs)
    if fields.pop("v", VERSION) != VERSION:
        raise BadRequest(
            f"this daemon speaks version {VERSION} of the protocol",
            "restart it: roled restart, then open a new shell",
        )
    return Request(verb, fields)


def _pair(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not equals or not NAME.fullmatch(name):
        raise BadRequest("the request holds something that is not NAME=VALUE")
    decoded = unquote_to_bytes(value).decode(errors="surrogateescape")  # a folder's name may be any bytes
    if "\0" in decoded:
        raise BadRequest(f"the value of {name} holds a NUL")
    return name, decoded


def set_line(name: str, value: str) -> str:
    """`set NAME VALUE`, refusing what a shell could read in two ways."""
    if not NAME.fullmatch(name) or not PLAIN.fullmatch(value):
        raise BadRequest(f"{name} holds characters that roled does not hand to a shell")
    return f"set {name} {value}"


def unset_line(name: str) -> str:
    return f"unset {name}"


def say_line(text: str) -> str:
    return f"say {printable(text)}"


def json_line(value: Any) -> str:
    return f"json {json.dumps(value, separators=(',', ':'))}"


def reply(lines: Iterable[str]) -> bytes:
    """A whole answer, its closing OK included."""
    return "".join(f"{line}\n" for line in (*lines, "OK")).encode()


def refusal(error: RoledError) -> bytes:
    """The answer that says no: the hint as a `say` line, then `ERR <code> <text>`."""
    hint = [say_line(error.hint)] if error.hint else []
    return "".join(f"{line}\n" for line in (*hint, f"ERR {error.code} {printable(str(error))}")).encode()


def printable(text: str) -> str:
    """Text that can stand in a terminal's line: no control, bidi or other invisible characters."""
    return "".join(character if _shows(character) else "?" for character in text)


def _shows(character: str) -> bool:
    return character == " " or unicodedata.category(character)[0] not in "CZ"

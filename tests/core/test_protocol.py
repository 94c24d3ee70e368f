"""Requests and replies <-> lines."""

import contextlib
import os
import unicodedata
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from roled.core import protocol
from roled.core.errors import BadProfile, BadRequest

NAMES = st.from_regex(r"[A-Za-z_][A-Za-z0-9_]{0,20}", fullmatch=True).filter(lambda name: name != "v")
VALUES = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=200)


@given(st.dictionaries(NAMES, VALUES, max_size=8))
def test_decoding_gives_back_what_was_encoded(fields: dict[str, str]) -> None:
    line = " ".join(["lease", "v=1", *(f"{name}={quote(value)}" for name, value in fields.items())])
    assert protocol.decode(line.encode() + b"\n") == protocol.Request("lease", fields)


@given(st.binary(max_size=400))
def test_any_bytes_are_a_request_or_a_bad_request(line: bytes) -> None:
    with contextlib.suppress(BadRequest):
        assert protocol.decode(line).verb


@pytest.mark.parametrize(
    "line",
    [
        b"",
        b" ",
        b"\n",
        b"LEASE",
        b"lease =x",
        b"lease a",
        b"lease a=%00",
        b"lease v=2",
    ],
)
def test_malformed_requests_are_refused(line: bytes) -> None:
    with pytest.raises(BadRequest):
        protocol.decode(line)


@pytest.mark.parametrize("value", ["", "a b", "a\nb", "a\tb", "\x1b[31m", "é", "a\0"])
def test_promise_8_nothing_that_a_shell_could_split_or_run_is_set(value: str) -> None:
    with pytest.raises(BadRequest):
        protocol.set_line("AWS_REGION", value)


def test_a_folder_may_have_any_name() -> None:
    request = protocol.decode(b"lease PWD=/tmp/caf%E9%0A")
    assert os.fsencode(request.get("PWD")) == b"/tmp/caf\xe9\n"


@given(st.text())
def test_what_is_said_has_no_invisible_characters(text: str) -> None:
    said = protocol.say_line(text)
    assert all(c == " " or unicodedata.category(c)[0] not in "CZ" for c in said)


def test_a_refusal_gives_its_hint_first_and_ends_the_answer() -> None:
    assert protocol.refusal(BadProfile("it loops", "cut it")) == b"say cut it\nERR bad-profile it loops\n"


def test_an_answer_ends_with_ok() -> None:
    assert protocol.reply(["until 5"]) == b"until 5\nOK\n"

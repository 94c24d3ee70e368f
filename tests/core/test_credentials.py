"""What an answer of STS must look like to become credentials."""

from typing import Any

import pytest

from roled.core.credentials import Credentials, from_answer, from_json, to_json
from roled.core.errors import BadAnswer

ROLE = "arn:aws:iam::111122223333:role/team/marketingadminrole"
NOW = 1_700_000_000.0


def answer(**changes: Any) -> dict[str, Any]:
    return {
        "access_key_id": "ASIAEXAMPLEEXAMPLE00",
        "secret_access_key": "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY=",
        "session_token": "FwoGZXIvYXdzEXAMPLE_token-1.2/3+4==",
        "issued_at": NOW,
        "expires_at": NOW + 3600,
        "assumed_role_arn": "arn:aws:sts::111122223333:assumed-role/marketingadminrole/roled-ann",
    } | changes


def test_a_proper_answer_becomes_credentials() -> None:
    credentials = from_answer(answer(), ROLE, NOW)
    assert (credentials.account, credentials.lifetime) == ("111122223333", 3600)
    assert credentials.expiration == "2023-11-14T23:13:20Z"


@pytest.mark.parametrize(
    "changes",
    [
        {"access_key_id": "ASIA EXAMPLE"},
        {"access_key_id": "ASIAEXAMPLEEXAMPLE00\n"},
        {"access_key_id": None},
        {"secret_access_key": "x'; touch /tmp/pwned; '"},
        {"secret_access_key": ""},
        {"session_token": None},
        {"session_token": "token\nexport X=1"},
        {"session_token": "a" * 20_000},
        {"expires_at": NOW},
        {"expires_at": NOW - 1},
        {"expires_at": "soon"},
        {"issued_at": None},
        {"assumed_role_arn": "arn:aws:sts::444455556666:assumed-role/marketingadminrole/roled-ann"},
        {"assumed_role_arn": "arn:aws:sts::111122223333:assumed-role/other/roled-ann"},
        {"assumed_role_arn": "arn:aws-cn:sts::111122223333:assumed-role/marketingadminrole/roled-ann"},
        {"assumed_role_arn": ROLE},
        {"assumed_role_arn": None},
    ],
)
def test_anything_odd_is_refused_without_showing_it(changes: dict[str, Any]) -> None:
    with pytest.raises(BadAnswer) as refusal:
        from_answer(answer(**changes), ROLE, NOW)
    for name in ("secret_access_key", "session_token"):
        value = answer(**changes)[name]
        assert not value or value not in str(refusal.value)


def test_promise_7_repr_hides_the_secrets() -> None:
    credentials = from_answer(answer(), ROLE, NOW)
    shown = repr(credentials) + str(credentials)
    assert credentials.secret_access_key not in shown
    assert credentials.session_token not in shown


def test_json_and_back() -> None:
    credentials = from_answer(answer(), ROLE, NOW)
    assert from_json(to_json(credentials), ROLE, NOW) == credentials
    assert set(to_json(credentials)) == set(Credentials.__slots__)

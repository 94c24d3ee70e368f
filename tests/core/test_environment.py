"""Which variables to set, unset and restore for a lease."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from roled.core import environment
from roled.core.credentials import Credentials
from roled.core.environment import Marker

KEYS = Credentials("ASIANEWKEYNEWKEYNEW0", "s" * 40, "t" * 40, 1e9, 1e9 + 3600, "1" * 12, "arn")
OURS = Marker("ASIAOLDKEYOLDKEYOLD0", 1_000_003_600, "eu-west-1", "a")


def names(lines: list[str], verb: str) -> set[str]:
    return {line.split()[1] for line in lines if line.startswith(f"{verb} ")}


@given(
    st.builds(
        Marker,
        st.from_regex(r"[A-Z0-9]{16,20}", fullmatch=True),
        st.integers(0, 2**40),
        st.just("r"),
        st.text(),
    )
)
def test_the_marker_survives_the_environment(marker: Marker) -> None:
    assert environment.marker_of({"ROLED_LEASE": str(marker)}) == marker
    assert str(marker).isascii()
    assert " " not in str(marker)


@pytest.mark.parametrize("text", ["", "x", "a:b:c:d", ":1::p", "ASIA:-1::p", "ASIA:1:eu"])
def test_a_damaged_marker_is_no_marker(text: str) -> None:
    assert environment.marker_of({"ROLED_LEASE": text}) is None


def test_a_grant_sets_keys_and_both_regions() -> None:
    lines = environment.grant(KEYS, "b", "us-west-2", {"HOME": "/"})
    assert names(lines, "set") == {*environment.KEYS, *environment.REGIONS, environment.MARKER}
    assert f"set ROLED_LEASE {KEYS.access_key_id}:1000003600:us-west-2:b" in lines


@pytest.mark.parametrize("name", environment.REGIONS)
def test_promise_9_a_region_of_the_users_own_is_left_alone(name: str) -> None:
    lines = environment.grant(KEYS, "b", "us-west-2", {name: "ap-south-1"})
    assert not names(lines, "set") & set(environment.REGIONS)
    assert f"set ROLED_LEASE {KEYS.access_key_id}:1000003600::b" in lines


def test_a_region_that_roled_exported_does_not_count_as_the_users() -> None:
    shell = {"AWS_REGION": "eu-west-1", "AWS_DEFAULT_REGION": "eu-west-1", "ROLED_LEASE": str(OURS)}
    assert environment.own_region(shell) is None
    assert "set AWS_REGION us-west-2" in environment.grant(KEYS, "b", "us-west-2", shell)
    assert names(environment.grant(KEYS, "b", None, shell), "unset") == set(environment.REGIONS)


def test_a_withdrawal_takes_what_is_roleds_and_nothing_else() -> None:
    shell = {"AWS_ACCESS_KEY_ID": OURS.access_key_id, "AWS_REGION": "eu-west-1", "AWS_DEFAULT_REGION": "mine"}
    assert names(environment.withdraw(shell | {"ROLED_LEASE": str(OURS)}), "unset") == {
        *environment.KEYS,
        "AWS_REGION",
        environment.MARKER,
    }
    assert environment.withdraw(shell) == []


def test_keys_that_the_user_exported_over_roleds_stay() -> None:
    shell = {"AWS_ACCESS_KEY_ID": "AKIAMINEMINEMINE0000", "ROLED_LEASE": str(OURS)}
    assert names(environment.withdraw(shell), "unset") == {environment.MARKER}

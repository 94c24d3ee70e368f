"""When to renew: the promise in numbers."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from roled.core import policy
from roled.core.credentials import Credentials

MINUTE = 60
LIFETIMES = st.floats(min_value=15 * MINUTE, max_value=12 * 60 * MINUTE)
JITTERS = st.floats(min_value=0, max_value=1)


def credentials(lifetime: float, issued_at: float = 1_000_000.0) -> Credentials:
    return Credentials(
        "ASIAEXAMPLEEXAMPLE00", "s" * 40, "t" * 40, issued_at, issued_at + lifetime, "1" * 12, "arn"
    )


@pytest.mark.parametrize(
    ("lifetime", "floor", "window"),
    [
        (2 * MINUTE, 40, 48),
        (15 * MINUTE, 5 * MINUTE, 6 * MINUTE),
        (20 * MINUTE, 5 * MINUTE, 6 * MINUTE),
        (30 * MINUTE, 15 * MINUTE, 20 * MINUTE),
        (60 * MINUTE, 15 * MINUTE, 20 * MINUTE),
        (720 * MINUTE, 15 * MINUTE, 60 * MINUTE),
    ],
)
def test_floor_and_window_by_lifetime(lifetime: float, floor: float, window: float) -> None:
    assert (policy.floor(lifetime), policy.window(lifetime)) == (floor, window)


@given(LIFETIMES, JITTERS)
def test_renewal_begins_after_issue_and_before_promise_2_ends(lifetime: float, jitter: float) -> None:
    session = credentials(lifetime)
    due = policy.due(session, jitter)
    assert session.issued_at < due
    assert session.expires_at - due > policy.floor(lifetime) + MINUTE * 0.9


@given(LIFETIMES)
def test_enough_life_means_15_minutes_or_5_for_a_short_session(lifetime: float) -> None:
    session = credentials(lifetime)
    promised = 5 * MINUTE if lifetime <= 20 * MINUTE else 15 * MINUTE
    assert not policy.usable(session, session.expires_at - promised + 1)
    assert policy.usable(session, session.expires_at - promised - 1)


@given(st.integers(1, 200), st.floats(-1e6, 1e6), JITTERS)
def test_a_retry_comes_within_a_minute_while_valid_and_within_five_after(
    failures: int, remaining: float, jitter: float
) -> None:
    delay = policy.retry_delay(failures, remaining, jitter)
    assert 1 <= delay <= (60 if remaining > 0 else 300)


@given(st.floats(-5, 10), st.floats(0, 1e6))
def test_the_rate_never_exceeds_its_burst(tokens: float, elapsed: float) -> None:
    assert policy.allowance(tokens, elapsed) <= policy.BURST

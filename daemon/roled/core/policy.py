"""When to renew, and how long to back off: arithmetic on given times, all in seconds.

A session of lifetime L must not be handed out with less than `floor(L)` left (promise 2), so it is renewed
inside the last `window(L)`, which exceeds the floor by what a few retries need. AWS's shortest session is 15
minutes; shorter ones exist in demos and tests, where floor and window shrink with L and keep their order.

The windows follow the AWS SDKs' common policy of 2026, widened: an SDK asks for new credentials in the last
15 minutes.
"""

from roled.core.credentials import Credentials

MINUTE = 60.0
SHORT = 20 * MINUTE  # up to here a session counts as short
LONG = 90 * MINUTE

NAP = 15.0  # the longest sleep, so that suspend and clock jumps are noticed
ACTIVE = 30 * MINUTE  # a request keeps its identity renewed for so long even without a shell
REFUSAL = 5.0  # a refusal answers explicit requests for so long without a new call
ASK_AGAIN = 60.0  # a shell without credentials asks again after so long, whatever its stamp says

CONCURRENT_CALLS = 4
CALLS_PER_SECOND = 5.0
BURST = 10.0

CLOCK_TOLERANCE = 5 * MINUTE  # beyond it STS refuses signatures


def floor(lifetime: float) -> float:
    """The life that credentials must have left to be handed out."""
    return min(5 * MINUTE, lifetime / 3) if lifetime <= SHORT else 15 * MINUTE


def window(lifetime: float) -> float:
    """How long before the expiry renewal begins."""
    if lifetime <= SHORT:
        return min(6 * MINUTE, lifetime * 0.4)
    return min(20 * MINUTE if lifetime < LONG else 60 * MINUTE, lifetime * 0.8)


def usable(credentials: Credentials, now: float) -> bool:
    """Whether promise 2 allows to hand these out."""
    return credentials.remaining(now) >= floor(credentials.lifetime)


def due(credentials: Credentials, jitter: float) -> float:
    """When to renew; `jitter` in 0..1 moves it earlier only, by up to a tenth of the lifetime."""
    lifetime = credentials.lifetime
    return credentials.expires_at - window(lifetime) - jitter * 0.1 * lifetime


def retry_delay(failures: int, remaining: float, jitter: float) -> float:
    """Full jitter from 5 s, doubling; capped to a minute or a quarter of the life left, to 5 minutes after
    the end.
    """
    cap = min(MINUTE, remaining / 4) if remaining > 0 else 5 * MINUTE
    ceiling = min(cap, 5.0 * 2.0 ** min(failures - 1, 16))
    return max(1.0, ceiling * jitter)


def allowance(tokens: float, elapsed: float) -> float:
    """What a token bucket holds `elapsed` seconds after it held `tokens`."""
    return min(BURST, tokens + elapsed * CALLS_PER_SECOND)

"""The table of live credentials: want, usable, due, next_due, record, forget.

It never reads a clock: every question that depends on time takes `now` (epoch seconds by AWS's clock).
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from roled.core import policy
from roled.core.credentials import Credentials
from roled.core.errors import RoledError
from roled.core.profiles import Chain


@dataclass(slots=True)
class Lease:
    """What roled knows of one identity: its credentials if there are any, and how the last attempts went."""

    chain: Chain
    credentials: Credentials | None = None
    due_at: float = 0.0
    asked_at: float = 0.0
    recalled: bool = False  # whether the store was asked already
    error: RoledError | None = None
    failures: int = 0
    failed_at: float = 0.0
    retry_at: float = 0.0

    def record(self, credentials: Credentials, jitter: float) -> bool:
        """Take in new credentials; False, and nothing changes, when the old ones live as long."""
        if self.credentials and self.credentials.expires_at >= credentials.expires_at:
            return False
        self.credentials, self.due_at = credentials, policy.due(credentials, jitter)
        self.forgive()
        return True

    def record_failure(self, error: RoledError, now: float, jitter: float) -> None:
        """Keep what is still good, and say when to try again."""
        remaining = self.credentials.remaining(now) if self.credentials else 0.0
        self.error, self.failed_at, self.failures = error, now, self.failures + 1
        delay = policy.retry_delay(self.failures, remaining, jitter) if error.recoverable else policy.REFUSAL
        self.retry_at = now + delay

    def forgive(self) -> None:
        """Forget what went wrong, so that the next attempt may be made at once."""
        self.error, self.failures, self.failed_at, self.retry_at = None, 0, 0.0, 0.0

    def attempt_at(self) -> float:
        """When the next attempt in the background may be made; infinity after a refusal."""
        if self.error and not self.error.recoverable:
            return float("inf")
        return max(self.due_at, self.retry_at)


class Leases:
    """Leases by identity."""

    def __init__(self) -> None:
        self._by_identity: dict[str, Lease] = {}

    def __iter__(self) -> Iterator[Lease]:
        return iter(self._by_identity.values())

    def want(self, chain: Chain, now: float | None = None) -> Lease:
        """The lease of `chain`, made if new; marked as asked for, unless it is only needed on the way to
        another.
        """
        lease = self._by_identity.setdefault(chain.identity, Lease(chain))
        if now is not None:
            lease.asked_at = now
        return lease

    def get(self, identity: str) -> Lease | None:
        return self._by_identity.get(identity)

    def usable(self, identity: str, now: float) -> Credentials | None:
        """Credentials with enough life to be handed out."""
        credentials = self.alive(identity, now)
        return credentials if credentials and policy.usable(credentials, now) else None

    def alive(self, identity: str, now: float) -> Credentials | None:
        """Credentials that have not expired, however little is left."""
        lease = self._by_identity.get(identity)
        credentials = lease.credentials if lease else None
        return credentials if credentials and credentials.remaining(now) > 0 else None

    def due(self, wanted: Iterable[str], now: float) -> list[Lease]:
        """What to renew now, most recently asked for first."""
        leases = [lease for identity in wanted if (lease := self._by_identity.get(identity))]
        return sorted(
            (lease for lease in leases if lease.attempt_at() <= now), key=lambda lease: -lease.asked_at
        )

    def next_due(self, wanted: Iterable[str]) -> float:
        """When the next of `wanted` falls due; infinity if none will."""
        leases = (self._by_identity.get(identity) for identity in wanted)
        return min((lease.attempt_at() for lease in leases if lease), default=float("inf"))

    def forget(self, identity: str) -> None:
        self._by_identity.pop(identity, None)

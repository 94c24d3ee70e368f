"""The table of live credentials: want, usable, due, next_due, record, forget.

It never reads a clock: every question that depends on time takes `now` (epoch seconds by AWS's clock).
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

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
    error: RoledError | None = None
    failures: int = 0
    retry_at: float = 0.0
    stored: bool = field(default=False)

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

    def want(self, chain: Chain, now: float) -> Lease:
        """The lease of `chain`, made if new, and marked as asked for."""
        lease = self._by_identity.setdefault(chain.identity, Lease(chain))
        lease.asked_at = now
        return lease

    def get(self, identity: str) -> Lease | None:
        return self._by_identity.get(identity)

    def usable(self, identity: str, now: float) -> Credentials | None:
        """Credentials with enough life to be handed out."""
        lease = self._by_identity.get(identity)
        credentials = lease.credentials if lease else None
        return credentials if credentials and policy.usable(credentials, now) else None

    def alive(self, identity: str, now: float) -> Credentials | None:
        """Credentials that have not expired, however little is left."""
        lease = self._by_identity.get(identity)
        credentials = lease.credentials if lease else None
        return credentials if credentials and credentials.remaining(now) > 0 else None

    def record(self, identity: str, credentials: Credentials, jitter: float) -> bool:
        """Take in new credentials; False, and nothing changes, when the old ones live as long."""
        lease = self._by_identity[identity]
        if lease.credentials and lease.credentials.expires_at >= credentials.expires_at:
            return False
        lease.credentials, lease.due_at = credentials, policy.due(credentials, jitter)
        lease.error, lease.failures, lease.retry_at = None, 0, 0.0
        return True

    def record_failure(self, identity: str, error: RoledError, now: float, jitter: float) -> None:
        """Keep what is still good, and say when to try again."""
        lease = self._by_identity[identity]
        lease.error = error
        lease.failures += 1
        if error.recoverable:
            remaining = lease.credentials.remaining(now) if lease.credentials else 0.0
            lease.retry_at = now + policy.retry_delay(lease.failures, remaining, jitter)
        else:
            lease.retry_at = now + policy.REFUSAL

    def due(self, wanted: Iterable[str], now: float) -> list[str]:
        """The identities to renew now, most recently asked for first."""
        leases = [lease for identity in wanted if (lease := self._by_identity.get(identity))]
        ready = [lease for lease in leases if lease.attempt_at() <= now]
        return [lease.chain.identity for lease in sorted(ready, key=lambda lease: -lease.asked_at)]

    def next_due(self, wanted: Iterable[str]) -> float:
        """When the next of `wanted` falls due; infinity if none will."""
        leases = (self._by_identity.get(identity) for identity in wanted)
        return min((lease.attempt_at() for lease in leases if lease), default=float("inf"))

    def forget(self, identity: str) -> None:
        self._by_identity.pop(identity, None)

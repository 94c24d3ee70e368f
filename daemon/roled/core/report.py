"""What is said of leases: the rows of `roled status`, the answer to a command, the lines for a person."""

from typing import Any

from roled.core import policy
from roled.core.credentials import ROLE_ARN, Credentials
from roled.core.errors import RoledError
from roled.core.leases import Lease
from roled.core.profiles import Chain
from roled.core.protocol import say_line

HINT_INDENT = " " * len("roled: ")


def lines(error: RoledError) -> list[str]:
    """The one line for a person, and below it the hint if there is one."""
    return [f"roled: {error}", *([HINT_INDENT + error.hint] if error.hint else [])]


def say(error: RoledError) -> list[str]:
    """The same in an answer to a shell."""
    return [say_line(line) for line in lines(error)]


def credentials_row(chain: Chain, credentials: Credentials) -> dict[str, Any]:
    """The credentials of a profile, for `env` and `credential-process`."""
    return {
        "profile": chain.profile,
        "access_key_id": credentials.access_key_id,
        "secret_access_key": credentials.secret_access_key,
        "session_token": credentials.session_token,
        "expiration": credentials.expiration,
        "expires_at": credentials.expires_at,
        "account": credentials.account,
        "assumed_role_arn": credentials.assumed_role_arn,
        "region": chain.region,
    }


def lease_row(lease: Lease, now: float, *, shells: int, flying: bool) -> dict[str, Any]:
    """One identity, for `status`. Times are epoch seconds, None where there is none."""
    credentials = lease.credentials
    role = ROLE_ARN.fullmatch(lease.chain.role_arn)
    retrying = lease.error is not None and lease.error.recoverable
    return {
        "profile": lease.chain.profile,
        "identity": lease.chain.identity[:12],
        "account": role[2] if role else None,
        "role_arn": lease.chain.role_arn,
        "assumed_role_arn": credentials.assumed_role_arn if credentials else None,
        "state": _state(lease, now, flying=flying),
        "issued_at": credentials.issued_at if credentials else None,
        "expires_at": credentials.expires_at if credentials else None,
        "lifetime": credentials.lifetime if credentials else None,
        "renew_at": lease.due_at if credentials and not lease.error else None,
        "retry_at": lease.retry_at if retrying else None,
        "error": str(lease.error) if lease.error else "",
        "hint": lease.error.hint if lease.error else "",
        "shells": shells,
    }


def _state(lease: Lease, now: float, *, flying: bool) -> str:
    if flying:
        return "renewing" if lease.credentials else "pending"
    if lease.error:
        return "failing" if lease.error.recoverable else "refused"
    if lease.credentials is None:
        return "pending"
    if lease.credentials.remaining(now) <= 0:
        return "expired"
    return "ready" if policy.usable(lease.credentials, now) else "renewing"

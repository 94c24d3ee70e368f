"""The record of temporary credentials; what an answer of STS must look like to become one."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from roled.core.errors import BadAnswer

# AWS documents 16 to 128 characters and accounts of 12 digits; stand-ins of AWS give shorter ones.
ACCESS_KEY_ID = re.compile(r"\w{4,128}", re.ASCII)
SECRET_ACCESS_KEY = re.compile(r"[A-Za-z0-9/+=]{16,128}")
SESSION_TOKEN = re.compile(r"[A-Za-z0-9/+=_.\-]{1,16384}")
ROLE_ARN = re.compile(r"arn:(aws[a-z-]*):iam::(\d{9,12}):role/([\w+=,.@/-]*[\w+=,.@-])", re.ASCII)
ASSUMED_ROLE_ARN = re.compile(
    r"arn:(aws[a-z-]*):sts::(\d{9,12}):assumed-role/([\w+=,.@-]+)/([\w+=,.@-]+)", re.ASCII
)
END_OF_TIME = 253_402_300_800  # the year 10000, which no expiry can name in ISO 8601


@dataclass(frozen=True, slots=True)
class Credentials:
    """Temporary credentials of one role session. Times are epoch seconds by AWS's clock."""

    access_key_id: str
    secret_access_key: str = field(repr=False)
    session_token: str = field(repr=False)
    issued_at: float
    expires_at: float
    account: str
    assumed_role_arn: str

    @property
    def lifetime(self) -> float:
        """Seconds from issue to expiry."""
        return self.expires_at - self.issued_at

    def remaining(self, now: float) -> float:
        """Seconds left at `now`; negative once expired."""
        return self.expires_at - now

    @property
    def expiration(self) -> str:
        """The expiry as SDKs read it: ISO 8601 in UTC, whole seconds."""
        return datetime.fromtimestamp(int(self.expires_at), UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def from_answer(answer: Mapping[str, Any], role_arn: str, now: float) -> Credentials:
    """Credentials from what the sts worker read off STS's answer, or BadAnswer.

    `answer` holds `access_key_id`, `secret_access_key`, `session_token`, `issued_at` and `expires_at` (epoch
    seconds), `assumed_role_arn`. The message of a BadAnswer names the field, never its value.
    """
    for name, shape in (
        ("access_key_id", ACCESS_KEY_ID),
        ("secret_access_key", SECRET_ACCESS_KEY),
        ("session_token", SESSION_TOKEN),
    ):
        value = answer.get(name)
        if not isinstance(value, str) or not shape.fullmatch(value):
            raise BadAnswer(f"the answer of STS for {role_arn} holds no proper {name.replace('_', ' ')}")
    for name in ("issued_at", "expires_at"):
        value = answer.get(name)
        if not isinstance(value, int | float) or not 0 < value < END_OF_TIME:
            raise BadAnswer(f"the answer of STS for {role_arn} does not say when it ends")
    if answer["expires_at"] <= max(now, answer["issued_at"]):
        raise BadAnswer(f"the answer of STS for {role_arn} has already expired")
    account = _account_of(answer.get("assumed_role_arn"), role_arn)
    return Credentials(
        access_key_id=answer["access_key_id"],
        secret_access_key=answer["secret_access_key"],
        session_token=answer["session_token"],
        issued_at=float(answer["issued_at"]),
        expires_at=float(answer["expires_at"]),
        account=account,
        assumed_role_arn=answer["assumed_role_arn"],
    )


def _account_of(assumed_role_arn: object, role_arn: str) -> str:
    """The account of the session, once it is sure that it is a session of `role_arn`."""
    asked = ROLE_ARN.fullmatch(role_arn)
    got = ASSUMED_ROLE_ARN.fullmatch(assumed_role_arn) if isinstance(assumed_role_arn, str) else None
    if asked is None or got is None:
        raise BadAnswer(f"the answer of STS for {role_arn} does not name the assumed role")
    # An assumed-role ARN drops the path of the role: role/team/Admin becomes assumed-role/Admin.
    if got.group(1, 2) != asked.group(1, 2) or got[3] != asked[3].rsplit("/", 1)[-1]:
        raise BadAnswer(f"STS was asked for {role_arn} and answered for another role: {assumed_role_arn}")
    return got[2]


def to_json(credentials: Credentials) -> dict[str, Any]:
    """The fields as plain values, for the store and for a worker's pipe."""
    return {name: getattr(credentials, name) for name in Credentials.__slots__}


def from_json(fields: Mapping[str, Any], role_arn: str, now: float) -> Credentials:
    """What `to_json` gave, checked as strictly as an answer of STS: the store is not trusted either."""
    return from_answer(fields, role_arn, now)

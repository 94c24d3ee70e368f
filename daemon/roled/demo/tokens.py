"""The Security Token Service: who a request comes from, and which role sessions it may have.

Moto accepts expired sessions, unknown roles and any duration, and cannot read a trust policy that names an
account; so all of STS is answered here, strictly, and moto only learns of the sessions that come out.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime

from roled.demo import answers, policies
from roled.demo.answers import Refusal, Tree
from roled.demo.moto_aws import MotoAws, Role
from roled.demo.policies import Document

ROLE_ARN = re.compile(r"arn:aws:iam::(\d{12}):role/([\w+=,.@/-]*[\w+=,.@-])", re.ASCII)
SESSION_NAME = re.compile(r"[\w+=,.@-]*", re.ASCII)
EXTERNAL_ID = re.compile(r"[\w+=,.@:\\/-]*", re.ASCII)
# Seconds, from https://docs.aws.amazon.com/STS/latest/APIReference/API_AssumeRole.html.
SHORTEST, LONGEST = 900, 43200
CHAINED = 3600  # the longest session that a session may get
USUAL = 3600  # when the request names no duration

UNDERSTOOD = {"Action", "Version", "RoleArn", "RoleSessionName", "DurationSeconds", "ExternalId"}


@dataclass(frozen=True, slots=True)
class Caller:
    """Whoever holds an access key: a user, or a role session, which then has `role_arn`, token and expiry."""

    arn: str
    user_id: str
    account: str
    secret: str = field(repr=False)
    role_arn: str | None = None
    session_token: str | None = field(repr=False, default=None)
    expires_at: float = float("inf")


class Tokens:
    """STS of all accounts. `session_seconds` caps what a session lives, whatever was asked for."""

    def __init__(self, aws: MotoAws, session_seconds: int | None = None) -> None:
        self._aws = aws
        self._session_seconds = session_seconds
        self._sessions: dict[str, Caller] = {}

    def caller(self, access_key_id: str) -> Caller | None:
        """Whose key this is; sessions that have expired are still known, those of a deleted role aren't."""
        session = self._sessions.get(access_key_id)
        if session and session.role_arn:
            return session if self._aws.role(session.role_arn) else None
        key = self._aws.key(access_key_id)
        return Caller(key.user_arn, key.user_id, key.account, key.secret) if key else None

    def perform(
        self, parameters: Mapping[str, str], caller: Caller, now: float, lifetime: float | None = None
    ) -> Tree:
        """The result of an STS action, or Refusal. `lifetime` overrules how long a session lives."""
        match parameters.get("Action"):
            case "GetCallerIdentity":
                return {"Arn": caller.arn, "UserId": caller.user_id, "Account": caller.account}
            case "AssumeRole":
                return self._assume_role(parameters, caller, now, lifetime)
            case action:
                raise Refusal(
                    "InvalidAction", f"Could not find operation {action} for version 2011-06-15", 400
                )

    def _assume_role(
        self, parameters: Mapping[str, str], caller: Caller, now: float, lifetime: float | None
    ) -> Tree:
        if unknown := parameters.keys() - UNDERSTOOD:
            raise Refusal("NotImplemented", f"the stand-in does not know {', '.join(sorted(unknown))}", 501)
        _check_form(parameters)
        role = self._permitted_role(parameters, caller)
        seconds = _duration(parameters.get("DurationSeconds"), role, chained=caller.role_arn is not None)
        seconds = min(seconds, self._session_seconds or seconds)
        return self._mint(role, parameters["RoleSessionName"], now, lifetime or seconds)

    def _permitted_role(self, parameters: Mapping[str, str], caller: Caller) -> Role:
        arn = parameters["RoleArn"]
        role = self._aws.role(arn)
        question = policies.Question(
            names=(caller.arn, caller.role_arn) if caller.role_arn else (caller.arn,),
            account=caller.account,
            role_arn=arn,
            context=_context(parameters, caller),
        )
        refusal = policies.refusal(question, role.trust, self._policies(caller)) if role else ""
        if role is None or refusal is not None:
            raise answers.access_denied(caller.arn, policies.ASSUME_ROLE, arn, refusal or "")
        return role

    def _policies(self, caller: Caller) -> list[Document]:
        return (
            self._aws.role_policies(caller.role_arn)
            if caller.role_arn
            else self._aws.user_policies(caller.arn)
        )

    def _mint(self, role: Role, session_name: str, now: float, lifetime: float) -> Tree:
        minted = self._aws.mint(role.arn, session_name, int(lifetime))
        account, name = role.arn.split(":")[4], role.arn.rsplit("/", 1)[-1]
        session = Caller(
            arn=f"arn:aws:sts::{account}:assumed-role/{name}/{session_name}",
            user_id=f"{role.role_id}:{session_name}",
            account=account,
            secret=minted.secret,
            role_arn=role.arn,
            session_token=minted.session_token,
            # STS speaks of whole seconds.
            expires_at=float(int(now + lifetime)),
        )
        self._sessions[minted.access_key_id] = session
        return {
            "Credentials": {
                "AccessKeyId": minted.access_key_id,
                "SecretAccessKey": minted.secret,
                "SessionToken": minted.session_token,
                "Expiration": datetime.fromtimestamp(session.expires_at, UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
            },
            "AssumedRoleUser": {"AssumedRoleId": session.user_id, "Arn": session.arn},
        }


def _check_form(parameters: Mapping[str, str]) -> None:
    """What the service's model says of the parameters, before anybody's rights are looked at."""
    arn, name, external_id = (parameters.get(field) for field in ("RoleArn", "RoleSessionName", "ExternalId"))
    if arn is None or name is None:
        raise answers.constraint(None, "roleArn" if arn is None else "roleSessionName", "must not be null")
    if len(arn) < 20:
        raise answers.constraint(arn, "roleArn", "must have length greater than or equal to 20")
    if not ROLE_ARN.fullmatch(arn):
        raise answers.invalid(f"{arn} is invalid")
    for value, field_name, shape, longest in (
        (name, "roleSessionName", SESSION_NAME, 64),
        (external_id, "externalId", EXTERNAL_ID, 1224),
    ):
        if value is None:
            continue
        if not shape.fullmatch(value):
            raise answers.constraint(
                value, field_name, f"must satisfy regular expression pattern: {shape.pattern}"
            )
        if len(value) < 2 or len(value) > longest:
            bound = "greater than or equal to 2" if len(value) < 2 else f"less than or equal to {longest}"
            raise answers.constraint(value, field_name, f"must have length {bound}")


def _duration(asked: str | None, role: Role, *, chained: bool) -> int:
    """The length of the session in seconds, or Refusal: AWS never cuts a duration, it says no."""
    if asked is None:
        return USUAL
    if not re.fullmatch(r"-?\d{1,9}", asked, re.ASCII):
        raise Refusal("MalformedInput", "Invalid Argument: DurationSeconds is not a number", 400)
    seconds = int(asked)
    if not SHORTEST <= seconds <= LONGEST:
        bound = (
            f"greater than or equal to {SHORTEST}"
            if seconds < SHORTEST
            else f"less than or equal to {LONGEST}"
        )
        raise answers.constraint(asked, "durationSeconds", f"must have value {bound}")
    if chained and seconds > CHAINED:
        limit = "the 1 hour session limit for roles assumed by role chaining"
        raise answers.invalid(f"The requested DurationSeconds exceeds {limit}")
    if seconds > role.longest_session:
        raise answers.invalid(
            "The requested DurationSeconds exceeds the MaxSessionDuration set for this role."
        )
    return seconds


def _context(parameters: Mapping[str, str], caller: Caller) -> dict[str, str]:
    """The condition keys of the request that a trust policy may ask about."""
    context = {
        "sts:RoleSessionName": parameters["RoleSessionName"],
        "aws:PrincipalArn": caller.role_arn or caller.arn,
        "aws:PrincipalAccount": caller.account,
    }
    if "ExternalId" in parameters:
        context["sts:ExternalId"] = parameters["ExternalId"]
    if caller.role_arn:
        context["aws:MultiFactorAuthPresent"] = "false"  # long-term keys have no such key at all
    return context

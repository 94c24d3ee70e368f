"""What it means when STS says no to an AssumeRole, and where to look next.

Two permissions must agree: a policy of the caller allows `sts:AssumeRole` on the role, and the role's trust
policy names the caller. AWS's answer often says which of them is missing; where it does not, the hint names
both. The wordings are those of https://docs.aws.amazon.com/IAM/latest/UserGuide/troubleshoot_access-denied.html
"""

import re
from collections.abc import Callable
from dataclasses import dataclass

from roled.core import policy
from roled.core.errors import AssumeRefused, AwsUnreachable, ClockWrong, RoledError, SourceRefused
from roled.core.protocol import printable

LONGEST_MESSAGE = 300  # characters of AWS's own words that a line of ours takes in

BUSY = frozenset({"TooManyRequestsException", "RequestLimitExceeded", "RequestThrottled", "SlowDown"})
BUSY |= {"ServiceUnavailable", "InternalFailure", "InternalError", "RequestTimeout"}
BAD_SIGNATURE = frozenset({"SignatureDoesNotMatch", "InvalidSignatureException", "IncompleteSignature"})
BAD_TIME = frozenset({"RequestExpired", "RequestTimeTooSkewed", "RequestInTheFuture"})
UNKNOWN_KEYS = frozenset({"InvalidClientTokenId", "UnrecognizedClientException", "InvalidAccessKeyId"})
EXPIRED_KEYS = frozenset({"ExpiredToken", "ExpiredTokenException", "InvalidToken"})
DENIED = frozenset({"AccessDenied", "AccessDeniedException", "UnauthorizedOperation"})

SAYS_TIME = re.compile(r"Signature (expired|not yet current)", re.IGNORECASE)
CALLER = re.compile(r"User: (arn:[\w:/+=,.@-]+) is not authorized", re.ASCII)
MISSING = re.compile(r"because no ([A-Za-z -]+?) allows")
FORBIDDING = re.compile(r"explicit deny in (?:an?|the) ([A-Za-z -]+)")
SESSION_ARN = re.compile(r"arn:(aws[a-z-]*):sts::(\d{12}):assumed-role/([^/]+)/.+")
TRUST_POLICY = frozenset({"resource-based policy", "role trust policy", "trust policy"})


@dataclass(frozen=True, slots=True)
class Refusal:
    """STS's answer, and what it was asked. `skew`: AWS's clock minus ours in seconds, where it is known."""

    status: int
    code: str
    message: str
    role_arn: str
    access_key_id: str
    external_id: str | None = None
    duration_seconds: int | None = None
    region: str = ""
    skew: float | None = None


def explain(refusal: Refusal) -> RoledError:
    """The refusal as an error that the user can act on."""
    code = refusal.code
    if refusal.status >= 500 or code in BUSY or code.startswith("Throttl"):
        return AwsUnreachable(f"STS has no time for this right now: {_words(refusal)}")
    if _is_about_time(refusal):
        return _clock_wrong(refusal)
    if code == "ValidationError" and "duration" in refusal.message.lower():
        return _bad_duration(refusal)
    for codes, explanation in _EXPLANATIONS.items():
        if code in codes:
            return explanation(refusal)
    return AssumeRefused(f"AWS refuses {refusal.role_arn}: {_words(refusal)}")


def clean(text: str) -> str:
    """Words of the other side, cut to a length and a character set that fit into one line."""
    return printable(" ".join(text.split()))[:LONGEST_MESSAGE]


def _words(refusal: Refusal) -> str:
    return clean(f"{refusal.code}: {refusal.message}" if refusal.message else refusal.code)


def _is_about_time(refusal: Refusal) -> bool:
    if refusal.code in BAD_TIME:
        return True
    far_off = refusal.skew is not None and abs(refusal.skew) > policy.CLOCK_TOLERANCE
    return refusal.code in BAD_SIGNATURE and (far_off or SAYS_TIME.search(refusal.message) is not None)


def _clock_wrong(refusal: Refusal) -> RoledError:
    hint = "set this machine's clock, for example: sudo timedatectl set-ntp true"
    if refusal.skew is None or abs(refusal.skew) < policy.MINUTE:
        return ClockWrong("AWS refuses the time at which this machine signed the request", hint)
    minutes = round(abs(refusal.skew) / policy.MINUTE)
    direction = "behind" if refusal.skew > 0 else "ahead of"
    amount = "1 minute" if minutes == 1 else f"{minutes} minutes"
    return ClockWrong(f"this machine's clock is {amount} {direction} AWS's", hint)


def _denied(refusal: Refusal) -> RoledError:
    found = CALLER.search(refusal.message)
    caller = _iam_name(found[1]) if found else f"the user of the access key {refusal.access_key_id}"
    return AssumeRefused(f"{caller} may not assume {refusal.role_arn}", _where_to_look(refusal, caller))


def _where_to_look(refusal: Refusal, caller: str) -> str:
    role = refusal.role_arn
    forbidding = FORBIDDING.search(refusal.message)
    missing = MISSING.search(refusal.message)
    kind = (forbidding or missing or [None, None])[1]
    if kind is None:
        return (
            f"look at two permissions: a policy of {caller} must allow sts:AssumeRole on {role}, "
            f"and {_trust(refusal, caller)}; AWS answers the same when there is no such role"
        )
    if kind == "identity-based policy":
        verdict = "denies" if forbidding else "must allow"
        return f"look at the permissions of the user: a policy of {caller} {verdict} sts:AssumeRole on {role}"
    if kind in TRUST_POLICY:
        verdict = f"the trust policy of {role} denies {caller}" if forbidding else _trust(refusal, caller)
        return f"look at the trust of the role: {verdict}"
    return f"the {kind} that applies to {caller} must allow sts:AssumeRole on {role}: ask who administers it"


def _trust(refusal: Refusal, caller: str) -> str:
    condition = " with the external id that the profile sends" if refusal.external_id else ""
    return f"the trust policy of {refusal.role_arn} must name {caller} or its account{condition}"


def _iam_name(arn: str) -> str:
    """What a policy would name: the role behind a session, anything else as it is."""
    session = SESSION_ARN.fullmatch(arn)
    return f"arn:{session[1]}:iam::{session[2]}:role/{session[3]}" if session else arn


def _unknown_keys(refusal: Refusal) -> RoledError:
    return SourceRefused(
        f"AWS does not know the access key {refusal.access_key_id}",
        "it was deleted, switched off or mistyped: compare the source profile's keys with its user in IAM",
    )


def _expired_keys(refusal: Refusal) -> RoledError:
    return SourceRefused(
        f"the session of the access key {refusal.access_key_id} has expired",
        "the source profile holds temporary keys: put fresh ones there",
    )


def _wrong_secret(refusal: Refusal) -> RoledError:
    # Nothing of AWS's message here: some endpoints quote the canonical request in it, session token included.
    return SourceRefused(
        f"the secret key that goes with the access key {refusal.access_key_id} is wrong",
        "copy aws_secret_access_key of the source profile again, or make a new access key",
    )


def _bad_duration(refusal: Refusal) -> RoledError:
    asked = f"{refusal.duration_seconds} s" if refusal.duration_seconds else "one hour, the default"
    if "chaining" in refusal.message:
        hint = "a role reached through another role lasts an hour at most: lower duration_seconds to 3600"
    elif "MaxSessionDuration" in refusal.message:
        hint = "lower duration_seconds of the profile, or raise MaxSessionDuration of the role"
    else:
        hint = "duration_seconds must lie between 900 and the MaxSessionDuration of the role"
    return AssumeRefused(f"{refusal.role_arn} does not give sessions of {asked}", hint)


def _region_off(refusal: Refusal) -> RoledError:
    return AssumeRefused(
        f"STS is switched off in {refusal.region} for the account of the access key {refusal.access_key_id}",
        "switch it on in the account settings of IAM, or name another region in the profile",
    )


_EXPLANATIONS: dict[frozenset[str], Callable[[Refusal], RoledError]] = {
    DENIED: _denied,
    UNKNOWN_KEYS: _unknown_keys,
    EXPIRED_KEYS: _expired_keys,
    BAD_SIGNATURE: _wrong_secret,
    frozenset({"RegionDisabledException"}): _region_off,
}

"""What STS's no becomes: which error, and which of the two permissions the hint names."""

from dataclasses import replace

import pytest

from roled.core.errors import AssumeRefused, AwsUnreachable, ClockWrong, RoledError, SourceRefused
from roled.core.refusals import Refusal, explain

ROLE = "arn:aws:iam::123456789012:role/marketingadminrole"
USER = "arn:aws:iam::123456789012:user/marketing"
KEY = "AKIAFAKEFAKEFAKEFAKE"
NOT_AUTHORIZED = f"User: {USER} is not authorized to perform: sts:AssumeRole on resource: {ROLE}"
EXPIRED = (
    "Signature expired: 20261123T100000Z is now earlier than 20261123T101000Z (20261123T102500Z - 15 min.)"
)
TOO_EARLY = "Signature not yet current: 20261123T110000Z is still later than 20261123T104500Z"

no = Refusal(403, "AccessDenied", NOT_AUTHORIZED, ROLE, KEY, region="eu-west-1")


@pytest.mark.parametrize(
    ("code", "message", "kind"),
    [
        ("AccessDenied", NOT_AUTHORIZED, AssumeRefused),
        ("ValidationError", "1 validation error detected", AssumeRefused),
        ("RegionDisabledException", "STS is not activated in this region", AssumeRefused),
        ("MalformedPolicyDocument", "Syntax errors in policy.", AssumeRefused),
        ("PackedPolicyTooLarge", "", AssumeRefused),
        ("NobodyHasSeenThisCode", "", AssumeRefused),
        ("InvalidClientTokenId", "The security token included in the request is invalid.", SourceRefused),
        ("UnrecognizedClientException", "", SourceRefused),
        ("ExpiredToken", "The security token included in the request is expired", SourceRefused),
        ("SignatureDoesNotMatch", "The request signature we calculated does not match", SourceRefused),
        ("SignatureDoesNotMatch", EXPIRED, ClockWrong),
        ("SignatureDoesNotMatch", TOO_EARLY, ClockWrong),
        ("RequestExpired", "Request has expired.", ClockWrong),
        ("Throttling", "Rate exceeded", AwsUnreachable),
        ("ThrottlingException", "Rate exceeded", AwsUnreachable),
        ("ServiceUnavailable", "", AwsUnreachable),
    ],
)
def test_each_code_becomes_the_error_that_the_user_can_act_on(
    code: str, message: str, kind: type[RoledError]
) -> None:
    error = explain(replace(no, code=code, message=message))
    assert type(error) is kind
    assert "\n" not in f"{error}{error.hint}"


def test_any_answer_with_a_server_error_may_go_away_by_itself() -> None:
    assert explain(replace(no, status=503, code="AccessDenied")).recoverable


def test_an_unexplained_denial_names_both_permissions_with_their_arns() -> None:
    error = explain(no)
    assert str(error) == f"{USER} may not assume {ROLE}"
    assert f"a policy of {USER} must allow sts:AssumeRole on {ROLE}" in error.hint
    assert f"the trust policy of {ROLE} must name {USER}" in error.hint


@pytest.mark.parametrize(
    ("ending", "named", "not_named"),
    [
        (" because no identity-based policy allows the sts:AssumeRole action", "a policy of", "trust"),
        (" with an explicit deny in an identity-based policy", "denies sts:AssumeRole", "trust"),
        (
            " because no resource-based policy allows the sts:AssumeRole action",
            "the trust policy",
            "a policy of",
        ),
        (" because no role trust policy allows the sts:AssumeRole action", "the trust policy", "a policy of"),
        (" with an explicit deny in the role trust policy", "the trust policy", "a policy of"),
        (" with an explicit deny in a service control policy", "service control policy", "trust"),
        (
            " because no permissions boundary allows the sts:AssumeRole action",
            "permissions boundary",
            "trust",
        ),
        (" because no VPC endpoint policy allows the sts:AssumeRole action", "VPC endpoint policy", "trust"),
    ],
)
def test_a_denial_that_says_which_policy_it_is_names_only_that_one(
    ending: str, named: str, not_named: str
) -> None:
    hint = explain(replace(no, message=NOT_AUTHORIZED + ending)).hint
    assert named in hint
    assert not_named not in hint


def test_a_denied_session_is_named_by_its_role_since_policies_name_roles() -> None:
    session = "arn:aws:sts::123456789012:assumed-role/first/marketing"
    assert "arn:aws:iam::123456789012:role/first may not" in str(
        explain(replace(no, message=NOT_AUTHORIZED.replace(USER, session)))
    )


def test_a_denial_that_names_nobody_names_the_access_key() -> None:
    assert KEY in str(explain(replace(no, message="Access denied")))


def test_the_external_id_is_mentioned_only_where_the_profile_sends_one() -> None:
    assert "external id" not in explain(no).hint
    assert "external id" in explain(replace(no, external_id="7")).hint


@pytest.mark.parametrize(
    ("message", "hint"),
    [
        (
            "The requested DurationSeconds exceeds the MaxSessionDuration set for this role.",
            "raise MaxSessionDuration of the role",
        ),
        (
            (
                "The requested DurationSeconds exceeds the 1 hour session limit for roles assumed "
                "by role chaining"
            ),
            "an hour at most",
        ),
        ("1 validation error detected: Value '60' at 'durationSeconds' failed to satisfy constraint", "900"),
    ],
)
def test_a_refused_duration_says_which_limit_it_hit(message: str, hint: str) -> None:
    error = explain(replace(no, code="ValidationError", message=message, duration_seconds=43200))
    assert "43200 s" in str(error)
    assert hint in error.hint


@pytest.mark.parametrize(
    ("skew", "words"),
    [
        (1500, "25 minutes behind"),
        (-720, "12 minutes ahead of"),
        (60, "1 minute behind"),
        (None, "the time at which"),
    ],
)
def test_a_wrong_clock_is_told_in_minutes_and_direction(skew: float | None, words: str) -> None:
    message = EXPIRED if (skew or 1) > 0 else TOO_EARLY
    assert words in str(explain(replace(no, code="SignatureDoesNotMatch", message=message, skew=skew)))


def test_a_clock_that_is_far_off_explains_a_bad_signature_but_not_a_denial() -> None:
    assert isinstance(explain(replace(no, code="SignatureDoesNotMatch", message="", skew=301)), ClockWrong)
    assert isinstance(explain(replace(no, code="SignatureDoesNotMatch", message="", skew=299)), SourceRefused)
    assert isinstance(explain(replace(no, skew=900)), AssumeRefused)


def test_a_wrong_secret_key_repeats_nothing_of_what_aws_said() -> None:
    quoted = "The Canonical String for this request should have been 'x-amz-security-token:SECRET'"
    error = explain(replace(no, code="SignatureDoesNotMatch", message=quoted))
    assert "SECRET" not in f"{error}{error.hint}"


def test_words_of_the_other_side_come_without_control_characters_and_cut_to_a_length() -> None:
    error = explain(replace(no, code="Odd\x1b[2J", message="a\nb\u202e" + "c" * 5000))
    assert "\x1b" not in str(error)
    assert "\u202e" not in str(error)
    assert "\n" not in str(error)
    assert len(str(error)) < 400

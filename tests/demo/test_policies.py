"""IAM's verdicts on AssumeRole, as AWS's evaluation logic gives them."""

from typing import Any

import pytest

from roled.demo.policies import Question, refusal

HERE, ELSEWHERE = "123456789012", "210987654321"
USER = f"arn:aws:iam::{HERE}:user/full"
ROLE = f"arn:aws:iam::{HERE}:role/admin"
FOREIGN_ROLE = f"arn:aws:iam::{ELSEWHERE}:role/admin"
SESSION = f"arn:aws:sts::{HERE}:assumed-role/first/me"
FIRST_ROLE = f"arn:aws:iam::{HERE}:role/team/first"


def user(role: str = ROLE, **context: str) -> Question:
    return Question((USER,), HERE, role, {key.replace("__", ":"): value for key, value in context.items()})


def session(role: str = ROLE) -> Question:
    return Question((SESSION, FIRST_ROLE), HERE, role)


def trust(principal: Any, effect: str = "Allow", **more: Any) -> dict[str, Any]:
    return {"Statement": [{"Effect": effect, "Principal": principal, "Action": "sts:AssumeRole", **more}]}


def own(resource: Any = "*", effect: str = "Allow", action: Any = "sts:AssumeRole") -> dict[str, Any]:
    return {"Statement": {"Effect": effect, "Action": action, "Resource": resource}}


ROOT = f"arn:aws:iam::{HERE}:root"


@pytest.mark.parametrize("principal", [{"AWS": ROOT}, {"AWS": HERE}, {"AWS": [FOREIGN_ROLE, ROOT]}])
def test_a_trusted_account_leaves_the_decision_to_the_callers_own_policies(principal: Any) -> None:
    assert refusal(user(), trust(principal), [own(ROLE)]) is None
    assert refusal(user(), trust(principal), []) == ""
    assert refusal(user(), trust(principal), [own(FOREIGN_ROLE)]) == ""


@pytest.mark.parametrize("principal", [{"AWS": USER}, {"AWS": [FOREIGN_ROLE, USER]}, "*", {"AWS": "*"}])
def test_a_trusted_caller_needs_no_policy_of_its_own_within_the_account(principal: Any) -> None:
    assert refusal(user(), trust(principal), []) is None


@pytest.mark.parametrize("principal", [{"AWS": USER}, {"AWS": ROOT}, "*"])
def test_across_accounts_both_sides_must_allow(principal: Any) -> None:
    assert refusal(user(FOREIGN_ROLE), trust(principal), [own(FOREIGN_ROLE)]) is None
    assert refusal(user(FOREIGN_ROLE), trust(principal), []) == ""
    assert refusal(user(FOREIGN_ROLE), trust({"AWS": ELSEWHERE}), [own()]) == ""


@pytest.mark.parametrize(
    "principal",
    [
        {"AWS": f"{USER}name"},
        {"AWS": f"arn:aws:iam::{HERE}:user/ful*"},
        {"AWS": f"arn:aws:iam::{ELSEWHERE}:root"},
        {"Service": "ec2.amazonaws.com"},
        {"Federated": "*"},
    ],
)
def test_a_trust_policy_that_names_another_trusts_nobody_else(principal: Any) -> None:
    assert refusal(user(), trust(principal), [own()]) == ""


@pytest.mark.parametrize("name", [SESSION, FIRST_ROLE])
def test_a_session_is_trusted_by_its_own_name_and_by_its_roles(name: str) -> None:
    assert refusal(session(), trust({"AWS": name}), []) is None
    assert refusal(session(), trust({"AWS": f"{name}x"}), []) == ""


def test_a_deny_on_either_side_wins_and_is_said() -> None:
    both = {"Statement": trust({"AWS": USER})["Statement"] + trust({"AWS": ROOT}, "Deny")["Statement"]}
    assert refusal(user(), both, [own()]) == " with an explicit deny in a resource-based policy"
    policies = [own(), own(ROLE, "Deny")]
    assert (
        refusal(user(), trust({"AWS": USER}), policies)
        == " with an explicit deny in an identity-based policy"
    )


@pytest.mark.parametrize(
    ("condition", "context", "allowed"),
    [
        ({"StringEquals": {"sts:ExternalId": "x"}}, {"sts__ExternalId": "x"}, True),
        ({"StringEquals": {"sts:ExternalId": "x"}}, {"sts__ExternalId": "X"}, False),
        ({"StringEquals": {"sts:ExternalId": "x"}}, {}, False),
        ({"StringEquals": {"sts:ExternalId": ["x", "y"]}}, {"sts__ExternalId": "y"}, True),
        ({"StringNotEquals": {"sts:ExternalId": "x"}}, {}, True),
        ({"StringNotEquals": {"sts:ExternalId": "x"}}, {"sts__ExternalId": "x"}, False),
        ({"StringLike": {"sts:RoleSessionName": "me-?*"}}, {"sts__RoleSessionName": "me-1"}, True),
        ({"StringLike": {"sts:RoleSessionName": "me.?"}}, {"sts__RoleSessionName": "me-1"}, False),
        ({"Bool": {"aws:MultiFactorAuthPresent": "true"}}, {}, False),
        ({"BoolIfExists": {"aws:MultiFactorAuthPresent": "true"}}, {}, True),
        ({"Null": {"sts:ExternalId": "true"}}, {}, True),
        ({"Null": {"sts:ExternalId": "false"}}, {}, False),
    ],
)
def test_conditions_decide(condition: Any, context: dict[str, str], *, allowed: bool) -> None:
    verdict = refusal(user(**context), trust({"AWS": USER}, Condition=condition), [])
    assert verdict == (None if allowed else "")


def test_an_operator_that_is_not_known_gives_no_verdict() -> None:
    with pytest.raises(KeyError):
        refusal(
            user(sts__ExternalId="5"), trust("*", Condition={"NumericEquals": {"sts:ExternalId": "5"}}), []
        )


@pytest.mark.parametrize(
    ("action", "allowed"),
    [
        ("*", True),
        ("sts:*", True),
        ("STS:assumerole", True),
        (["s3:*", "sts:AssumeRole"], True),
        ("s3:*", False),
    ],
)
def test_actions_match_as_iam_writes_them(action: Any, *, allowed: bool) -> None:
    verdict = refusal(user(), trust({"AWS": ROOT}), [own(action=action)])
    assert verdict == (None if allowed else "")


@pytest.mark.parametrize(
    ("resource", "allowed"),
    [
        (f"arn:aws:iam::{HERE}:role/*", True),
        ("arn:aws:iam::*:role/adm?n", True),
        ([FOREIGN_ROLE, ROLE], True),
        (f"{ROLE}s", False),
        ("arn:aws:iam::*:role/[a]dmin", False),
    ],
)
def test_resources_match_with_star_and_question_mark_only(resource: Any, *, allowed: bool) -> None:
    assert refusal(user(), trust({"AWS": ROOT}), [own(resource)]) == (None if allowed else "")

"""Whether IAM lets a caller assume a role: decisions over parsed policy documents.

A Deny anywhere wins; within one account a trust policy that names the caller itself is enough, and one that
names the account leaves the decision to the caller's own policies; across accounts both sides must allow. See
https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_evaluation-logic.html.
"""

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from enum import IntEnum
from typing import Any

Document = Mapping[str, Any]

ASSUME_ROLE = "sts:AssumeRole"


@dataclass(frozen=True, slots=True)
class Question:
    """May the caller of these names, who belongs to `account`, assume `role_arn`?

    `names` are the ARNs that a policy may call it by: a session answers to its own and to its role's.
    `context` holds the condition keys of the request.
    """

    names: tuple[str, ...]
    account: str
    role_arn: str
    context: Mapping[str, str] = field(default_factory=dict)

    @property
    def crosses_accounts(self) -> bool:
        return self.role_arn.split(":")[4] != self.account


class Trust(IntEnum):
    """What a role's trust policy says of a caller, the stronger the later."""

    NOTHING = 0
    ACCOUNT = 1
    CALLER = 2
    DENIED = 3


def refusal(question: Question, trust: Document, own: Iterable[Document]) -> str | None:
    """None if the role may be assumed; else how AWS's AccessDenied message ends, often with nothing."""
    trusted = _trust(question, trust)
    effects = {_effect(question, statement) for document in own for statement in _statements(document)}
    if "Deny" in effects:
        return " with an explicit deny in an identity-based policy"
    if trusted is Trust.DENIED:
        return " with an explicit deny in a resource-based policy"
    direct = trusted is Trust.CALLER and not question.crosses_accounts
    return None if direct or (trusted and "Allow" in effects) else ""


def _trust(question: Question, document: Document) -> Trust:
    return max((_trust_of(question, statement) for statement in _statements(document)), default=Trust.NOTHING)


def _trust_of(question: Question, statement: Document) -> Trust:
    trusted = _named(question, statement.get("Principal"))
    if not trusted or not _applies(question, statement):
        return Trust.NOTHING
    return Trust.DENIED if statement["Effect"] == "Deny" else trusted


def _named(question: Question, principal: Any) -> Trust:
    """How a Principal element names the caller. Wildcards other than a lone * are not allowed there."""
    names = _listed(principal.get("AWS")) if isinstance(principal, Mapping) else _listed(principal)
    if "*" in names or any(name in names for name in question.names):
        return Trust.CALLER
    if question.account in names or f"arn:aws:iam::{question.account}:root" in names:
        return Trust.ACCOUNT
    return Trust.NOTHING


def _effect(question: Question, statement: Document) -> str | None:
    """Allow, Deny or None: what one statement of an identity policy says."""
    if "Resource" in statement:
        concerned = any(_like(pattern, question.role_arn) for pattern in _listed(statement["Resource"]))
    else:
        concerned = not any(
            _like(pattern, question.role_arn) for pattern in _listed(statement["NotResource"])
        )
    return str(statement["Effect"]) if concerned and _applies(question, statement) else None


def _applies(question: Question, statement: Document) -> bool:
    """Whether action and conditions of a statement fit."""
    if "Action" in statement:
        concerned = any(
            _like(pattern.lower(), ASSUME_ROLE.lower()) for pattern in _listed(statement["Action"])
        )
    else:
        concerned = not any(
            _like(pattern.lower(), ASSUME_ROLE.lower()) for pattern in _listed(statement["NotAction"])
        )
    return concerned and all(
        _holds(operator, question.context.get(key), _listed(wanted))
        for operator, keys in statement.get("Condition", {}).items()
        for key, wanted in keys.items()
    )


def _holds(operator: str, actual: str | None, wanted: list[str]) -> bool:
    """One line of a Condition. An unknown operator raises KeyError: better no verdict than a wrong one."""
    if operator == "Null":
        return (actual is None) == (wanted[0].lower() == "true")
    compare = OPERATORS[operator.removesuffix("IfExists").replace("Not", "")]
    negated = "Not" in operator
    if actual is None:
        return negated or operator.endswith("IfExists")
    return any(compare(value, actual) for value in wanted) != negated


def _like(pattern: str, value: str) -> bool:
    """IAM's wildcards: * and ? and nothing else."""
    expression = re.escape(pattern).replace(r"\*", ".*").replace(r"\?", ".")
    return re.fullmatch(expression, value, re.DOTALL) is not None


def _same_ignoring_case(wanted: str, actual: str) -> bool:
    return wanted.lower() == actual.lower()


def _statements(document: Document) -> list[Document]:
    statements = document["Statement"]
    return [statements] if isinstance(statements, Mapping) else list(statements)


def _listed(value: Any) -> list[str]:
    """IAM lets a lone value stand where a list may."""
    if value is None:
        return []
    return [str(item) for item in value] if isinstance(value, list) else [str(value)]


OPERATORS: dict[str, Callable[[str, str], bool]] = {
    "StringEquals": str.__eq__,
    "StringEqualsIgnoreCase": _same_ignoring_case,
    "StringLike": _like,
    "ArnEquals": _like,
    "ArnLike": _like,
    "Bool": _same_ignoring_case,
}

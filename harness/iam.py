"""An evaluation of IAM policies: who may call which action on which resource.

moto checks a caller's actions but no resources and no conditions, and the mistakes are in these.
We wrote it because no maintained Python library evaluates resources and conditions (decision 13).
Evaluated are identity policies, and resource policies that speak to everybody (`Principal: "*"`):

    a Deny that matches             refuses, whatever else there is
    otherwise an Allow that matches allows
    otherwise                       refused

Whatever is met that is not evaluated here is an error, never a guess.
https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_evaluation-logic.html
"""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

from harness.errors import HarnessError

Policy = Mapping[str, Any]
# Values of condition keys that the request brings along: one, or several.
Context = Mapping[str, str | Sequence[str]]

_STATEMENT_KEYS = {
    "Sid", "Effect", "Principal", "Action", "NotAction", "Resource", "NotResource", "Condition",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Decision:
    """Whether a request may pass, and which statement decided.

    Attributes:
        allowed: Whether it may.
        by: The statement's Sid, or why there is none.
    """

    allowed: bool
    by: str


NO_STATEMENT = "no statement allows it"


def decide_on_the_way(
    identity: Sequence[Policy],
    resources: Sequence[Policy],
    endpoint: Sequence[Policy] | None,
    action: str,
    resource: str,
    context: Context,
) -> Decision:
    """The decision about a request that has to pass several policies, all of one account.

    Args:
        identity: Of the role that makes it.
        resources: Of what it is about, a bucket for example: within one account they only take away what a role gives.
        endpoint: Of the VPC endpoint on the way; None when there is none on it.
        action: For example `s3:GetObject`.
        resource: Its ARN.
        context: Condition keys of the request.

    Raises:
        HarnessError: A policy has something that is not evaluated here.
    """
    decision = decide(identity, action, resource, context)
    if decision.allowed and resources:
        taken = decide(resources, action, resource, context)
        decision = decision if taken.by == NO_STATEMENT else taken
    if decision.allowed and endpoint is not None:
        passed = decide(endpoint, action, resource, context)
        decision = decision if passed.allowed else Decision(allowed=False, by=f"endpoint: {passed.by}")
    return decision


def decide(policies: Sequence[Policy], action: str, resource: str, context: Context | None = None) -> Decision:
    """The decision about one request.

    Args:
        policies: All that apply, with their functions resolved.
        action: For example `s3:GetObject`.
        resource: Its ARN; `*` for an action that knows no resources.
        context: Condition keys of the request; a key that is not there counts as absent, as IAM has it.

    Raises:
        HarnessError: A policy has something that is not evaluated here.
    """
    matching = [
        statement
        for policy in policies
        for statement in _statements(policy)
        if _matches(statement, action, resource, context or {})
    ]
    for effect, allowed in (("Deny", False), ("Allow", True)):
        found = next((statement for statement in matching if statement["Effect"] == effect), None)
        if found is not None:
            return Decision(allowed, found.get("Sid", f"a statement without Sid: {effect}"))
    return Decision(allowed=False, by=NO_STATEMENT)


def actions_allowed(policies: Sequence[Policy]) -> set[str]:
    """Every action, or pattern of actions, that some statement allows."""
    return {
        action
        for policy in policies
        for statement in _statements(policy)
        if statement["Effect"] == "Allow"
        for action in _several(statement.get("Action", []))
    }


def _statements(policy: Policy) -> Iterator[Mapping[str, Any]]:
    for statement in _several(policy["Statement"]):
        unknown = statement.keys() - _STATEMENT_KEYS
        if unknown or statement.get("Principal", "*") != "*" or statement.get("Effect") not in {"Allow", "Deny"}:
            raise HarnessError(
                f"statement {statement.get('Sid', statement)} has {', '.join(unknown) or 'a principal or effect'} "
                "that is not evaluated here",
                remedy="teach it to harness/iam.py",
            )
        yield statement


def _matches(statement: Mapping[str, Any], action: str, resource: str, context: Context) -> bool:
    return (
        _any_or_none_of(statement, "Action", lambda pattern: _like(pattern.lower(), action.lower()))
        and _any_or_none_of(statement, "Resource", lambda pattern: pattern == "*" or _arn_like(pattern, resource))
        and all(
            _holds(operator, key, _several(values), context)
            for operator, keys in statement.get("Condition", {}).items()
            for key, values in keys.items()
        )
    )


def _any_or_none_of(statement: Mapping[str, Any], element: str, matches: Callable[[str], bool]) -> bool:
    """`Action` and `Resource` name what is meant; `NotAction` and `NotResource` what is not."""
    if element in statement:
        return any(map(matches, _several(statement[element])))
    return not any(map(matches, _several(statement[f"Not{element}"])))


def _holds(operator: str, key: str, wanted: Sequence[Any], context: Context) -> bool:
    """One condition: any of the wanted values for one key.

    https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_elements_condition_operators.html
    """
    quantifier, _, plain = operator.rpartition(":")
    name = plain.removesuffix("IfExists")
    given = next((value for known, value in context.items() if known.lower() == key.lower()), None)
    if name == "Null":
        return any((given is None) == (str(value).lower() == "true") for value in wanted)
    if name not in _OPERATORS or quantifier not in {"", "ForAnyValue", "ForAllValues"}:
        raise HarnessError(f"condition operator {operator} is not evaluated here", remedy="teach it to harness/iam.py")
    compare, negated = _OPERATORS[name]
    if given is None:
        return plain.endswith("IfExists") or quantifier == "ForAllValues" or (negated and not quantifier)

    def fits(value: str) -> bool:
        return any(compare(str(pattern), value) for pattern in wanted) != negated

    return (all if quantifier == "ForAllValues" else any)(map(fits, _several(given)))


def _like(pattern: str, value: str) -> bool:
    """`*` stands for any characters, `?` for one."""
    if "${" in pattern:
        raise HarnessError(f"policy variables are not evaluated here: {pattern}", remedy="teach them to harness/iam.py")
    return _expression(pattern).fullmatch(value) is not None


@cache
def _expression(pattern: str) -> re.Pattern[str]:
    return re.compile("".join({"*": ".*", "?": "."}.get(char, re.escape(char)) for char in pattern), re.DOTALL)


def _arn_like(pattern: str, arn: str) -> bool:
    """The six parts of an ARN are compared one by one, so that a `*` does not reach beyond its part."""
    patterns, parts = pattern.split(":", 5), arn.split(":", 5)
    return len(patterns) == len(parts) and all(map(_like, patterns, parts))


def _same_truth(pattern: str, value: str) -> bool:
    return pattern.lower() == value.lower()


def _several(value: Any) -> Any:  # noqa: ANN401 - IAM takes one for a list of one
    return value if isinstance(value, (list, tuple)) else [value]


# Each operator's comparison, and whether it asks for the opposite.
_OPERATORS: dict[str, tuple[Callable[[str, str], bool], bool]] = {
    "StringEquals": (str.__eq__, False),
    "StringNotEquals": (str.__eq__, True),
    "StringLike": (_like, False),
    "StringNotLike": (_like, True),
    "ArnEquals": (_arn_like, False),
    "ArnLike": (_arn_like, False),
    "ArnNotEquals": (_arn_like, True),
    "ArnNotLike": (_arn_like, True),
    "Bool": (_same_truth, False),
}

"""Evaluate IAM policies: decide whether a request may call an action on a resource.

moto checks a caller's actions, but neither resources nor conditions, where most mistakes are made.
We wrote it because no maintained Python library evaluates resources and conditions (decision 13).
It evaluates identity policies, and resource policies for every principal (`Principal: "*"`):

    a Deny that matches             refuses, whatever other statements say
    otherwise an Allow that matches allows
    otherwise                       refused

Anything in a policy that this module does not evaluate is an error, never a guess.
https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_evaluation-logic.html
"""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

from harness.errors import HarnessError

Policy = Mapping[str, Any]
# The values of the condition keys in a request: one or several for each key.
Context = Mapping[str, str | Sequence[str]]

_STATEMENT_KEYS = {
    "Sid", "Effect", "Principal", "Action", "NotAction", "Resource", "NotResource", "Condition",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Decision:
    """Whether a request is allowed, and the statement that decided.

    Attributes:
        allowed: Whether the request is allowed.
        by: The statement's Sid, or the reason why no statement decided.
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
    """Decide on a request that has to pass several policies, all of one account.

    Args:
        identity: The policies of the calling role.
        resources: The policies of the resource, such as a bucket; within one account they only restrict the role.
        endpoint: The policies of the VPC endpoint that the request passes; None if it passes none.
        action: The action, such as `s3:GetObject`.
        resource: The ARN of the resource.
        context: The condition keys of the request.

    Raises:
        HarnessError: A policy has an element that this module does not evaluate.
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
    """Decide on one request.

    Args:
        policies: All policies that apply, with CloudFormation's functions resolved.
        action: The action, such as `s3:GetObject`.
        resource: The ARN of the resource; `*` for an action without resources.
        context: The condition keys of the request; IAM treats a missing key as absent.

    Raises:
        HarnessError: A policy has an element that this module does not evaluate.
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
    """Return every action, or pattern of actions, that a statement allows."""
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
                remedy="add it to harness/iam.py",
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
    """Return whether `Action` or `Resource` matches, or `NotAction` or `NotResource` does not."""
    if element in statement:
        return any(map(matches, _several(statement[element])))
    return not any(map(matches, _several(statement[f"Not{element}"])))


def _holds(operator: str, key: str, wanted: Sequence[Any], context: Context) -> bool:
    """Return whether one condition holds: the key has any of the wanted values.

    https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_elements_condition_operators.html
    """
    quantifier, _, plain = operator.rpartition(":")
    name = plain.removesuffix("IfExists")
    given = next((value for known, value in context.items() if known.lower() == key.lower()), None)
    if name == "Null":
        return any((given is None) == (str(value).lower() == "true") for value in wanted)
    if name not in _OPERATORS or quantifier not in {"", "ForAnyValue", "ForAllValues"}:
        raise HarnessError(f"condition operator {operator} is not evaluated here", remedy="add it to harness/iam.py")
    compare, negated = _OPERATORS[name]
    if given is None:
        return plain.endswith("IfExists") or quantifier == "ForAllValues" or (negated and not quantifier)

    def fits(value: str) -> bool:
        return any(compare(str(pattern), value) for pattern in wanted) != negated

    return (all if quantifier == "ForAllValues" else any)(map(fits, _several(given)))


def _like(pattern: str, value: str) -> bool:
    """Return whether a value matches a pattern, in which `*` stands for any characters and `?` for one."""
    if "${" in pattern:
        raise HarnessError(f"policy variables are not evaluated here: {pattern}", remedy="add them to harness/iam.py")
    return _expression(pattern).fullmatch(value) is not None


@cache
def _expression(pattern: str) -> re.Pattern[str]:
    return re.compile("".join({"*": ".*", "?": "."}.get(char, re.escape(char)) for char in pattern), re.DOTALL)


def _arn_like(pattern: str, arn: str) -> bool:
    """Return whether an ARN matches, part by part, so that a `*` does not reach beyond its part."""
    patterns, parts = pattern.split(":", 5), arn.split(":", 5)
    return len(patterns) == len(parts) and all(map(_like, patterns, parts))


def _same_truth(pattern: str, value: str) -> bool:
    return pattern.lower() == value.lower()


def _several(value: Any) -> Any:  # noqa: ANN401 - IAM accepts a single value for a list of one
    return value if isinstance(value, (list, tuple)) else [value]


# Each operator's comparison, and whether it is negated.
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

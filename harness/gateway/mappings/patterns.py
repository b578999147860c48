"""Patterns by which an event source mapping chooses the messages that its function gets.

https://docs.aws.amazon.com/lambda/latest/dg/invocation-eventfiltering.html#filtering-syntax
"""

import json
import operator
from collections.abc import Callable, Mapping
from typing import Any

from harness.gateway.errors import invalid_parameter

Pattern = Mapping[str, Any]

_OR = "$or"
_COMPARISONS: dict[str, Callable[[Any, Any], bool]] = {
    "=": operator.eq,
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}
_OF_TEXT: dict[str, Callable[[str, str], bool]] = {
    "prefix": str.startswith,
    "suffix": str.endswith,
    "equals-ignore-case": lambda value, wanted: value.lower() == wanted.lower(),
}
# One comparison, or the two ends of a range.
_SIGNS_AND_NUMBERS = {2, 4}
_MISSING = object()


def parse_pattern(text: str) -> Pattern:
    """Return a pattern.

    Raises:
        LambdaApiError: It is not one of AWS's form.
    """
    try:
        pattern = json.loads(text)
    except (ValueError, RecursionError):
        pattern = None
    if not isinstance(pattern, dict) or not pattern or not all(map(_is_part, pattern.keys(), pattern.values())):
        raise invalid_parameter("Invalid filter pattern definition.")
    return pattern


def matches(pattern: Pattern, event: Any) -> bool:  # noqa: ANN401 - JSON
    """Return whether an event has all that a pattern asks for."""
    fields = event if isinstance(event, dict) else {}
    return all(_field_matches(name, part, fields) for name, part in pattern.items())


def _field_matches(name: str, part: Any, fields: Mapping[str, Any]) -> bool:  # noqa: ANN401 - JSON
    if name == _OR:
        return any(matches(one, fields) for one in part)
    value = fields.get(name, _MISSING)
    if isinstance(part, dict):
        return matches(part, value)
    if isinstance(value, list):
        # `exists` asks for the field, all other rules for one of its elements.
        return any(_rule_matches(rule, one) for rule in part for one in (value or [_MISSING]))
    return any(_rule_matches(rule, value) for rule in part)


def _rule_matches(rule: Any, value: Any) -> bool:  # noqa: ANN401 - JSON
    if not isinstance(rule, dict):
        return value is not _MISSING and _same(rule, value)
    ((name, wanted),) = rule.items()
    if name == "exists":
        return bool((value is not _MISSING and not isinstance(value, dict)) == wanted)
    return value is not _MISSING and _passes(name, wanted, value)


def _passes(name: str, wanted: Any, value: Any) -> bool:  # noqa: ANN401 - JSON
    if name == "anything-but":
        return not any(_rule_matches(one, value) for one in (wanted if isinstance(wanted, list) else [wanted]))
    if name == "numeric":
        return _is_number(value) and all(
            _COMPARISONS[sign](value, number) for sign, number in zip(wanted[::2], wanted[1::2], strict=True)
        )
    return isinstance(value, str) and _OF_TEXT[name](value, wanted)


def _same(rule: Any, value: Any) -> bool:  # noqa: ANN401 - JSON
    # True is no 1.
    return bool(rule == value) and isinstance(rule, bool) == isinstance(value, bool)


def _is_part(name: str, part: Any) -> bool:  # noqa: ANN401 - JSON
    if name == _OR:
        return isinstance(part, list) and len(part) > 0 and all(map(_is_pattern, part))
    return _is_pattern(part) or (isinstance(part, list) and len(part) > 0 and all(map(_is_rule, part)))


def _is_pattern(part: Any) -> bool:  # noqa: ANN401 - JSON
    return isinstance(part, dict) and len(part) > 0 and all(map(_is_part, part.keys(), part.values()))


def _is_rule(rule: Any) -> bool:  # noqa: ANN401 - JSON
    if not isinstance(rule, dict):
        return not isinstance(rule, list)
    if len(rule) != 1:
        return False
    ((name, wanted),) = rule.items()
    if name == "anything-but":
        return bool(wanted) and all(map(_is_rule, wanted if isinstance(wanted, list) else [wanted]))
    if name == "numeric":
        return _are_comparisons(wanted)
    return isinstance(wanted, bool) if name == "exists" else name in _OF_TEXT and isinstance(wanted, str)


def _are_comparisons(wanted: Any) -> bool:  # noqa: ANN401 - JSON
    if not isinstance(wanted, list) or len(wanted) not in _SIGNS_AND_NUMBERS:
        return False
    return all(sign in _COMPARISONS for sign in wanted[::2]) and all(map(_is_number, wanted[1::2]))


def _is_number(value: Any) -> bool:  # noqa: ANN401 - JSON
    return isinstance(value, int | float) and not isinstance(value, bool)

"""Patterns of event source mappings' filters."""

import json

import pytest

from harness.gateway.errors import LambdaApiError
from harness.gateway.mappings.patterns import matches, parse_pattern


@pytest.mark.parametrize(
    ("rule", "value", "wanted"),
    [
        ("a", "a", True),
        ("a", "b", False),
        (None, None, True),
        (1, 1.0, True),
        (1, True, False),
        ("", "", True),
        ({"prefix": "ab"}, "abc", True),
        ({"suffix": "bc"}, "abc", True),
        ({"suffix": "bc"}, 5, False),
        ({"equals-ignore-case": "ABC"}, "abc", True),
        ({"anything-but": ["a", "b"]}, "c", True),
        ({"anything-but": ["a", "b"]}, "b", False),
        ({"anything-but": {"prefix": "a"}}, "abc", False),
        ({"numeric": [">", 100]}, 101, True),
        ({"numeric": [">=", 100, "<", 200]}, 200, False),
        ({"numeric": ["=", 5]}, "5", False),
        ({"exists": True}, None, True),
        ({"exists": False}, "x", False),
        ("b", ["a", "b"], True),
    ],
    ids=str,
)
def test_a_rule_says_which_values_are_wanted(rule, value, wanted):
    """A list is wanted if one of its elements is."""
    assert matches(parse_pattern(json.dumps({"field": [rule]})), {"field": value}) is wanted


def test_a_pattern_asks_for_all_of_its_fields_and_one_of_its_rules():
    """At any depth; `$or` asks for one of several patterns, and a field may have to be missing."""
    deep = parse_pattern('{"a": {"b": ["x", "y"]}, "c": [{"exists": false}]}')
    either = parse_pattern('{"$or": [{"a": [1]}, {"b": [2]}]}')

    assert matches(deep, {"a": {"b": "y"}})
    assert not matches(deep, {"a": {"b": "y"}, "c": 1})
    assert not matches(deep, {"a": "y"})
    assert matches(either, {"b": 2})
    assert not matches(either, {"b": 1})


@pytest.mark.parametrize(
    "text",
    [
        "null",
        '"text"',
        "{",
        "{}",
        '{"a": "x"}',
        '{"a": []}',
        '{"a": [{"like": "x"}]}',
        '{"a": [{"numeric": [">"]}]}',
        '{"a": [{"numeric": [">", "1"]}]}',
        '{"a": [{"prefix": "x", "suffix": "y"}]}',
        '{"a": [["x"]]}',
    ],
)
def test_what_is_no_pattern_is_refused(text):
    """In AWS's words."""
    with pytest.raises(LambdaApiError, match=r"Invalid filter pattern definition\."):
        parse_pattern(text)

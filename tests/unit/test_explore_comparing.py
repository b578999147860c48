"""What two runs of one function have in common, although every id and date in it differs."""

import re
import time
import uuid
from collections.abc import Callable
from datetime import UTC, datetime

import pytest

from harness.explore.comparing import StateDifference, differences, members, normalised
from harness.explore.rules import Rules


def compare(before, after, rules=None):
    """The differences of two states, as an exploration finds them."""
    rules = rules or Rules()
    return differences(normalised(before, rules), normalised(after, rules))


VOLATILE = [
    lambda: str(uuid.uuid4()),
    lambda: uuid.uuid4().hex,
    lambda: datetime.now(UTC).isoformat(),
    lambda: datetime.now(UTC).strftime("%Y%m%d-%H%M%S"),
    lambda: datetime.now(UTC).strftime("%a, %d %b %Y %H:%M:%S GMT"),
    lambda: f"{time.time():.3f}",
    lambda: int(time.time()) + 3600,
    time.time,
    time.time_ns,
    lambda: time.time_ns() // 1_000_000,
    lambda: "01J" + uuid.uuid4().hex[:23].upper().replace("I", "Z"),
    lambda: "vpc-" + uuid.uuid4().hex[:17],
]


@pytest.mark.parametrize("make", VOLATILE)
def test_ids_and_dates_are_equal_to_others_of_their_kind(make: Callable[[], object]):
    """Two undisturbed runs never have the same ones."""
    first = make()
    second = make()

    assert compare([("s3://b/k", {"at": first})], [("s3://b/k", {"at": second})]) == []
    assert compare([(f"s3://b/{first}.csv", "x")], [(f"s3://b/{second}.csv", "x")]) == []


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (1, 2),
        (1.5, 1.25),
        ("a", "b"),
        (True, 1),
        ({"a": 1}, {"a": 1, "b": None}),
        (["a", "b"], ["b", "a"]),
        ("d41d8cd98f00b204e9800998ecf8427e", "9e107d9d372bb6826bd81d3542a419d6"),  # MD5s are contents
        ("2026-12-01", "2026-12-02"),  # so are dates without a time of day
        (1_000_000_000, 1_000_000_001),  # in 2001
        ("order 1234567890123", "order 1234567890124"),
    ],
)
def test_what_a_function_computed_is_compared(before, after):
    """A rule that took these for ids would hide real faults."""
    assert compare([("s3://b/k", before)], [("s3://b/k", after)]) == [StateDifference("s3://b/k", (before,), (after,))]


def test_a_message_sent_twice_is_a_difference():
    """Entries of one address are counted."""
    found = compare([("sqs://q", "queue"), ("sqs://q", "pay 7")], [("sqs://q", "queue"), *[("sqs://q", "pay 7")] * 2])

    assert found == [StateDifference("sqs://q", ("pay 7",), ("pay 7", "pay 7"))]


def test_an_address_that_may_repeat_counts_once():
    """Consumers of a standard queue have to expect the same message twice."""
    rules = Rules(may_repeat=("sqs://*",))

    assert compare([("sqs://q", "a")], [("sqs://q", "a"), ("sqs://q", "a")], rules) == []
    assert compare([("sqs://q", "a")], [("sqs://q", "a"), ("sqs://q", "b")], rules) != []


def test_two_objects_named_by_ids_are_two_objects():
    """An id that a retry draws anew leaves a second object behind."""
    one, two = (f"s3://b/{uuid.uuid4()}" for _ in range(2))

    assert compare([(one, "x")], [(one, "x"), (two, "x")]) == [StateDifference("s3://b/<id>", ("x",), ("x", "x"))]


def test_what_is_missing_has_no_values():
    """An absent object is not an empty one."""
    assert compare([("s3://b/k", "")], []) == [StateDifference("s3://b/k", ("",), ())]


def test_addresses_and_members_can_be_ignored():
    """The part after `#` names members of the value, at any depth."""
    before = [("s3://b/log/1", "x"), ("dynamodb://t/7", {"sum": 1, "seen": 5, "lines": [{"ms": 3}]})]
    after = [("s3://b/log/2", "y"), ("dynamodb://t/7", {"sum": 1, "seen": 6, "lines": [{"ms": 4}]})]

    assert len(compare(before, after)) == 3
    assert compare(before, after, Rules(ignore=("s3://b/log/*", "dynamodb://t/*#seen", "*#lines.*.ms"))) == []
    assert len(compare(before, after, Rules(ignore=("dynamodb://t/*",)))) == 2


def test_a_users_own_tokens_can_be_normalised():
    """A rule replaces what it matches, in addresses and in values."""
    rules = Rules(normalise=((re.compile(r"job-\d+"), "<job>"),))

    assert compare([("s3://b/job-1", "by job-1")], [("s3://b/job-22", "by job-22")], rules) == []


def test_of_a_json_object_the_members_that_differ_are_named():
    """By the address that a rule of `ignore` takes; other values are shown as a whole."""
    before = {"id": 7, "at": {"start": 1, "end": 2}, "only": "before"}
    after = {"id": 7, "at": {"start": 1, "end": 3}, "new": [1]}

    assert members(StateDifference("s3://b/k", (before,), (after,))) == [
        StateDifference("s3://b/k#at.end", (2,), (3,)),
        StateDifference("s3://b/k#new", (), ([1],)),
        StateDifference("s3://b/k#only", ("before",), ()),
    ]
    for whole in ((before,), (before, before)), ((before,), ()), (("a",), ("b",)):
        assert members(StateDifference("s3://b/k", *whole)) == [StateDifference("s3://b/k", *whole)]

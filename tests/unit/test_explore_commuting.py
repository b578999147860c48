"""Which overlaps have the outcome of one that was played."""

import msgspec
import pytest

from harness.explore.commuting import commute, like
from harness.explore.records import CallRecord, Play
from harness.explore.schedule import Overlap


def call(text: str, delivery: int = 1, number: int = 1, **more: object) -> CallRecord:
    """A call such as `s3 PutObject s3://b/k`."""
    service, operation, *target = text.split(" ", 2)
    names = {"service": service, "operation": operation, "target": "".join(target)}
    return msgspec.convert(
        {"delivery": delivery, "attempt": 1, "number": number, "function": "f", **names, **more}, CallRecord
    )


@pytest.mark.parametrize(
    ("one", "other", "commutes"),
    [
        ("s3 PutObject s3://b/k", "s3 PutObject s3://b/l", True),
        ("s3 PutObject s3://b/k", "s3 PutObject s3://b/k", False),
        ("s3 GetObject s3://b/k", "s3 PutObject s3://b/k", False),
        ("s3 GetObject s3://b/k", "s3 GetObject s3://b/k", True),
        ("s3 ListObjectsV2 s3://b", "s3 PutObject s3://b/k", False),
        ("dynamodb PutItem orders", "dynamodb GetItem orders", False),
        ("dynamodb PutItem orders", "sqs SendMessage queue", True),
        ("sqs ReceiveMessage queue", "s3 PutObject s3://b/k", False),
        ("lambda Invoke worker", "s3 GetObject s3://b/k", False),
        ("ssm PutParameter", "ssm GetParameter", False),
    ],
)
def test_calls_that_touch_different_things_commute(one: str, other: str, commutes: bool):  # noqa: FBT001 - pytest passes it by name
    """In doubt they do not: an overlap that is left out wrongly hides a fault."""
    assert commute(call(one), call(other)) is commutes
    assert commute(call(other), call(one)) is commutes


def played(first: list[str], second: list[str], **more: object) -> Play:
    """A play of two deliveries."""
    deliveries = ((1, first), (2, second))
    calls = [call(text, who, n, **more) for who, texts in deliveries for n, text in enumerate(texts, start=1)]
    return Play(calls=calls)


PUTS = [f"s3 PutObject s3://b/{key}" for key in "abcd"]
OTHERS = [Overlap(3, until) for until in (2, 3, 0)]


def test_calls_that_touch_what_the_rest_does_not_may_come_first():
    """Delivery 1 still has to write c and d; that delivery 2 writes b before or after is the same."""
    assert like(played(PUTS, PUTS), Overlap(3, 1), OTHERS) == [Overlap(3, 2)]
    assert like(played(PUTS, PUTS), Overlap(3, 2), OTHERS) == []


def test_a_delivery_that_only_reads_may_run_to_its_end():
    """It found that the work was done: all further overlaps are like this one."""
    seen = played(PUTS, ["s3 GetObject s3://b/a", "s3 GetObject s3://b/b"])

    assert like(seen, Overlap(3, 1), OTHERS) == OTHERS


@pytest.mark.parametrize("more", [{"attempt": 2}, {"delivery": 0}])
def test_retries_and_invoked_functions_are_not_reasoned_about(more: dict[str, int]):
    """What they do depends on more than two points."""
    play = played(PUTS, PUTS)
    play.calls.append(msgspec.structs.replace(play.calls[0], **more))

    assert like(play, Overlap(3, 1), OTHERS) == []

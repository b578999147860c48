"""The stage of `harness explore`: calls on record, blows at them, held deliveries, and a state that comes back."""

import io
import json
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from harness.errors import HarnessError
from harness.explore.schedule import Blow, Overlap, Schedule, Strike
from harness.explore.stage import Stage, stage_of
from harness.settings import Settings
from harness.stack.state import Mode

CALLS = ["sqs GetQueueUrl", "s3 GetObject", "sqs SendMessage", "s3 PutObject"]
SEND = 3
CALLEE = """
import boto3

def handler(event, context):
    boto3.client("s3").put_object(Bucket="shop", Key="seen", Body=event["order"])
"""


def order(event: dict[str, Any], _context: object) -> int:
    """Count orders in an object, and send a message about each: two faults of at-least-once delivery in one."""
    import boto3  # noqa: PLC0415 - the function's own import

    s3, sqs = boto3.client("s3"), boto3.client("sqs")
    queue = sqs.get_queue_url(QueueName="orders")["QueueUrl"]
    count = int(s3.get_object(Bucket="shop", Key="count")["Body"].read())
    sqs.send_message(QueueUrl=queue, MessageBody=json.dumps(event))
    s3.put_object(Bucket="shop", Key="count", Body=str(count + 1))
    return count + 1


def call(event: dict[str, Any], _context: object) -> None:
    """Call another function, or change one."""
    import boto3  # noqa: PLC0415 - the function's own import

    client = boto3.client("lambda")
    if "memory" in event:
        client.update_function_configuration(FunctionName="callee", MemorySize=event["memory"])
    else:
        client.invoke(FunctionName="callee", InvocationType=event["type"], Payload=json.dumps({"order": "7"}))


def wander(event: dict[str, Any], _context: object) -> list[str]:
    """Talk to the stage's cache, and to somebody outside of the stage; return the variables that AWS does not set."""
    import os  # noqa: PLC0415 - the function's own import
    import socket  # noqa: PLC0415 - the same

    import boto3  # noqa: PLC0415 - the function's own import

    with socket.create_connection(("127.0.0.1", event["cache"])) as cache:
        cache.sendall(b"add key 0 0 1\r\n1\r\n")
        assert cache.recv(64) == b"STORED\r\n"
    for host in ("127.0.0.1", "nowhere.invalid"):
        try:
            socket.create_connection((host, 9), timeout=1)
        except OSError:
            continue
    boto3.client("s3").list_buckets()
    return [name for name in os.environ if "HARNESS" in name]


def prepare(client: Any) -> None:
    """Make a bucket, a queue, and a function that others can call."""
    client("s3").create_bucket(Bucket="shop")
    client("s3").put_object(Bucket="shop", Key="count", Body=b"0")
    client("sqs").create_queue(QueueName="orders")
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as package:
        package.writestr("callee.py", CALLEE)
    client("lambda").create_function(
        FunctionName="callee",
        Runtime="python3.11",
        Role="arn:aws:iam::123456789012:role/any",
        Handler="callee.handler",
        Code={"ZipFile": content.getvalue()},
    )


@pytest.fixture(scope="module", autouse=True)
def _in_process_mode(mode: Mode) -> None:
    if mode == "container":
        pytest.skip("a stage runs processes")


@pytest.fixture(scope="module")
def stage(settings: Settings) -> Iterator[Stage]:
    """A stage with `order`."""
    with stage_of(settings, "order", source=order, prepare=prepare) as stage:
        yield stage


def test_an_undisturbed_play_has_each_call_in_order(stage: Stage) -> None:
    """The empty schedule is the undisturbed run."""
    play = stage.play({"order": 1}, Schedule())
    assert CALLS == [f"{one.service} {one.operation}" for one in play.calls]
    assert [(1, 1, number, True, 200, None) for number in range(1, 5)] == [
        (one.delivery, one.attempt, one.number, one.effect, one.status, one.blow) for one in play.calls
    ]
    assert "s3://shop/count" == play.calls[3].target
    assert "orders" == play.calls[2].target
    assert '{\\"order\\": 1}' in play.calls[2].request
    assert [("returned", 1)] == [(one.kind, one.payload) for one in play.endings]
    assert [] == play.missed
    assert {"s3", "sqs"} == set(stage.services())
    # Lambda's own logs come when they come; in a stage they would make equal plays differ.
    assert [] == stage.client("logs").describe_log_groups()["logGroups"]


def test_each_play_begins_from_the_state_after_prepare(stage: Stage) -> None:
    """Neither a play nor its caller leaves anything behind."""
    for _ in range(3):
        assert 1 == stage.play({"order": 1}, Schedule()).endings[0].payload
    assert (1, 1) == _state(stage)
    stage.client("s3").create_bucket(Bucket="another")
    stage.reset()
    assert (0, 0) == _state(stage)
    assert ["shop"] == [one["Name"] for one in stage.client("s3").list_buckets()["Buckets"]]


@pytest.mark.parametrize(
    ("blow", "ending", "messages"),
    [
        (Blow.KILL_BEFORE, "killed", 1),
        (Blow.KILL_AFTER, "killed", 2),
        (Blow.ERROR, "raised", 1),
        (Blow.THROTTLE, "raised", 1),
        (Blow.TIMEOUT, "raised", 2),
        (Blow.TIME_LIMIT, "timed-out", 2),
    ],
)
def test_a_blow_strikes_one_call_and_the_event_is_tried_again(
    stage: Stage, blow: Blow, ending: str, messages: int
) -> None:
    """Whether the message was sent twice shows whether the call took effect."""
    play = stage.play({"order": 1}, Schedule(strikes=(Strike(1, 1, SEND, blow),)))
    assert [*CALLS[:SEND], *CALLS] == [f"{one.service} {one.operation}" for one in play.calls]
    assert [None, None, blow, None, None, None, None] == [one.blow for one in play.calls]
    assert (messages == 2) is play.calls[2].effect
    assert [(1, ending), (2, "returned")] == [(one.attempt, one.kind) for one in play.endings]
    assert (1, messages) == _state(stage)
    assert [] == play.missed


def test_errors_have_their_services_own_form(stage: Stage) -> None:
    """An SDK raises them as it raises the service's own."""
    sent = stage.play({}, Schedule(strikes=(Strike(1, 1, SEND, Blow.ERROR), Strike(1, 2, 4, Blow.THROTTLE))))
    assert "(InternalFailure) when calling the SendMessage operation" in sent.endings[0].error
    assert "(SlowDown) when calling the PutObject operation" in sent.endings[1].error
    assert ["raised", "raised", "returned"] == [one.kind for one in sent.endings]


def test_a_second_delivery_follows_the_first_with_the_same_request(stage: Stage) -> None:
    """Lambda may deliver an event twice."""
    play = stage.play({"order": 1}, Schedule(second="after"))
    assert [1] * 4 + [2] * 4 == [one.delivery for one in play.calls]
    assert [(1, 1), (2, 2)] == [(one.delivery, one.payload) for one in play.endings]
    assert (2, 2) == _state(stage)


@pytest.mark.parametrize(
    ("overlap", "deliveries"),
    [
        # Delivery 1 has read the object when all of delivery 2 runs.
        (Overlap(hold=4, until=0), [1, 1, 1, 2, 2, 2, 2, 1]),
        # Each is held once: both have read the object when delivery 1 goes on.
        (Overlap(hold=3, until=2), [1, 1, 2, 2, 1, 1, 2, 2]),
    ],
)
def test_two_deliveries_overlap_at_their_points(stage: Stage, overlap: Overlap, deliveries: list[int]) -> None:
    """The calls of both have one order, and an update is lost in it."""
    play = stage.play({"order": 1}, Schedule(second="overlap", overlap=overlap))
    assert deliveries == [one.delivery for one in play.calls]
    assert [1, 1] == [one.payload for one in play.endings]
    assert (1, 2) == _state(stage)
    assert [] == play.missed


def test_a_play_without_retries_ends_with_the_first_attempt(stage: Stage) -> None:
    """So a function that fails without any fault, or hangs, is known at once."""
    play = stage.play({"order": 1}, Schedule(strikes=(Strike(1, 1, 1, Blow.ERROR),)), retried=False)

    assert [("raised", 1)] == [(one.kind, one.attempt) for one in play.endings]


def test_a_play_says_what_did_not_happen(stage: Stage) -> None:
    """A schedule that does not fit the function is not taken for one that was played."""
    strike = Strike(1, 1, 9, Blow.KILL_BEFORE)
    assert ["delivery 1, attempt 1 made no call 9: no kill-before"] == _missed(stage, Schedule(strikes=(strike,)))
    overlap = Schedule(second="overlap", overlap=Overlap(hold=9, until=1))
    assert ["delivery 1 made no call 9 to be held at"] == _missed(stage, overlap)


@pytest.mark.parametrize("kind", ["Event", "RequestResponse"])
def test_calls_of_a_callee_are_on_record_and_not_struck(settings: Settings, kind: str) -> None:
    """Only the explored function is; the retry calls again."""
    with stage_of(settings, "call", source=call, prepare=prepare) as stage:
        play = stage.play({"type": kind}, Schedule(strikes=(Strike(1, 1, 1, Blow.KILL_AFTER),)))
        by_delivery = sorted((one.delivery, one.attempt, one.function, one.operation) for one in play.calls)
        callee = (0, 1, "callee", "PutObject")
        assert [callee, callee, (1, 1, "call", "Invoke"), (1, 2, "call", "Invoke")] == by_delivery
        assert b"7" == stage.client("s3").get_object(Bucket="shop", Key="seen")["Body"].read()


def test_connections_past_the_proxy_are_named(settings: Settings) -> None:
    """Neither their effects are known, nor can they be undone; the stage's own services are not among them."""
    with stage_of(settings, "wander", source=wander) as stage:
        event = {"cache": int(stage.state.endpoints.memcached.rpartition(":")[2])}
        for _ in range(2):
            # The cache is empty at the beginning of each, too.
            play = stage.play(event, Schedule())
            assert ["127.0.0.1:9", "nowhere.invalid:9"] == play.outside
            assert [("returned", [])] == [(one.kind, one.payload) for one in play.endings]


def test_what_a_snapshot_cannot_bring_back_is_named_and_made_anew(settings: Settings) -> None:
    """The Lambda service does not fork."""
    told: list[str] = []
    with stage_of(settings, "call", source=call, prepare=prepare, progress=told.append) as stage:
        stage.play({"memory": 512}, Schedule())
        assert ["lambda"] == stage.unrestorable
        assert 512 == _memory(stage)
        stage.reset()
        assert 128 == _memory(stage)
        assert ["lambda: a snapshot cannot bring its state back; starting afresh"] == told


def test_a_preparation_that_fails_is_said(settings: Settings, tmp_path: Path) -> None:
    """With the file and the error."""
    file = tmp_path / "prepare.py"
    file.write_text("def prepare(client):\n    client('s3').create_bucket(Bucket='NO')\n")
    with (
        pytest.raises(HarnessError, match=r"prepare.py: ClientError: .*InvalidBucketName"),
        stage_of(settings, "order", source=order, prepare=file),
    ):
        pass


def _state(stage: Stage) -> tuple[int, int]:
    """Return the count in S3, and the number of messages."""
    count = int(stage.client("s3").get_object(Bucket="shop", Key="count")["Body"].read())
    sqs = stage.client("sqs")
    url = sqs.get_queue_url(QueueName="orders")["QueueUrl"]
    asked = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["ApproximateNumberOfMessages"])
    return count, int(asked["Attributes"]["ApproximateNumberOfMessages"])


def _missed(stage: Stage, schedule: Schedule) -> list[str]:
    return stage.play({}, schedule).missed


def _memory(stage: Stage) -> int:
    found: int = stage.client("lambda").get_function_configuration(FunctionName="callee")["MemorySize"]
    return found

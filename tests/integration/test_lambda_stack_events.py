# ruff: noqa: ARG001 - handlers are written as users write theirs
"""The fixture `lambda_stack`: events, the retry clock and faults."""

import json
import os
import time

import boto3
import pytest
from botocore.exceptions import ClientError

from harness.errors import HarnessError


def fragile(event, context):
    """Fail; runs in Lambda."""
    raise ValueError(f"no {event['what']}")


def steady(event, context):
    """Succeed; runs in Lambda."""
    return event


def meet(event, context):
    """Wait until all others run, too; runs in Lambda."""
    s3 = boto3.client("s3")
    s3.put_object(Bucket="barrier", Key=str(event["rank"]))
    deadline = time.monotonic() + 60
    while s3.list_objects_v2(Bucket="barrier")["KeyCount"] < event["n"]:
        if time.monotonic() > deadline:
            raise TimeoutError("the others did not come")
        time.sleep(0.05)
    return os.environ["AWS_LAMBDA_LOG_STREAM_NAME"]


def linger(event, context):
    """Run for a long time; runs in Lambda."""
    time.sleep(event["seconds"])


def send(event, context):
    """Send a message; runs in Lambda."""
    boto3.client("sqs").send_message(QueueUrl=event["queue"], MessageBody="hello")


@pytest.fixture
def queue(lambda_stack):
    """The URL and the ARN of a queue."""
    sqs = lambda_stack.client("sqs")
    url = sqs.create_queue(QueueName="failures")["QueueUrl"]
    return url, sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]


def test_a_failed_event_is_retried_when_the_clock_says_so(lambda_stack, queue):
    """Retries come after one and after two more minutes, and the record reaches the destination: in no time at all."""
    url, arn = queue
    function = lambda_stack.deploy(fragile, on_failure=arn)

    result = function.invoke({"what": "luck"}, asynchronous=True)

    assert 202 == result.status
    (event,) = lambda_stack.events.wait_for("waiting", request_id=result.request_id)
    assert (60.0, 1) == (event.due, len(event.attempts))
    lambda_stack.retry_clock.advance(59)
    assert 1 == len(function.events[0].attempts)
    lambda_stack.retry_clock.advance(1)
    assert [0.0, 60.0] == [attempt.at for attempt in function.events[0].attempts]
    lambda_stack.retry_clock.advance(minutes=2)
    (event,) = lambda_stack.events.given_up
    assert ("RetriesExhausted", [0.0, 60.0, 180.0]) == (event.condition, [one.at for one in event.attempts])
    assert {("ValueError", "no luck")} == {(one.error, one.message) for one in event.attempts}
    (message,) = lambda_stack.client("sqs").receive_message(QueueUrl=url)["Messages"]
    assert 3 == json.loads(message["Body"])["requestContext"]["approximateInvokeCount"]
    assert [event] == lambda_stack.events.retried == list(lambda_stack.events)


def test_one_step_of_the_clock_sees_every_attempt_on_its_way(lambda_stack):
    """An hour has both retries in it, at their own times."""
    function = lambda_stack.deploy(fragile)
    function.invoke({"what": "luck"}, asynchronous=True)

    lambda_stack.retry_clock.advance(hours=1)

    assert [0.0, 60.0, 180.0] == [attempt.at for attempt in function.events[0].attempts]
    assert 3600.0 == lambda_stack.retry_clock.now


def test_an_event_becomes_too_old(lambda_stack):
    """Its age is counted by the retry clock."""
    function = lambda_stack.deploy(fragile, max_event_age_s=60, retries=2)
    function.invoke({"what": "time"}, asynchronous=True)

    lambda_stack.retry_clock.advance_until_idle()

    assert ["EventAgeExceeded"] == [event.condition for event in lambda_stack.events]


def test_waiting_in_vain_says_what_is_missing(lambda_stack):
    """The message has each event's state and error, and how to set the clock forward."""
    function = lambda_stack.deploy(fragile)
    function.invoke({"what": "luck"}, asynchronous=True)
    lambda_stack.events.wait_for("waiting")

    with pytest.raises(AssertionError) as missing:
        lambda_stack.events.wait_for("succeeded", function=function, count=2, timeout_s=0.1)

    first, second, third = str(missing.value).splitlines()
    assert "2 events of fragile should be succeeded: after 0.1 s there are 0" == first
    assert "is waiting, tried once, last ValueError: no luck" in second
    assert "lambda_stack.retry_clock.advance(60) lets it run" in third


def test_twenty_events_meet_at_a_barrier(lambda_stack):
    """As many environments run at once as there are events."""
    lambda_stack.client("s3").create_bucket(Bucket="barrier")
    function = lambda_stack.deploy(meet, timeout_s=90, memory_mb=256)

    for rank in range(20):
        function.invoke({"rank": rank, "n": 20}, asynchronous=True)

    assert 20 == len(lambda_stack.events.wait_for("succeeded", function=function, count=20, timeout_s=90))


def test_the_clock_moves_on_for_an_event_that_others_wait_for(lambda_stack):
    """A worker that died comes back to the barrier, at which the other still waits."""
    lambda_stack.client("s3").create_bucket(Bucket="barrier")
    function = lambda_stack.deploy(meet, timeout_s=90, memory_mb=256)
    lambda_stack.faults.kill(function, attempt=1)
    for rank in range(2):
        function.invoke({"rank": rank, "n": 2}, asynchronous=True)
    lambda_stack.events.wait_for("waiting")

    lambda_stack.retry_clock.advance(minutes=1)

    assert [1, 2] == sorted(len(event.attempts) for event in lambda_stack.events.succeeded)


@pytest.mark.parametrize("how", ["sigkill", "oom"])
def test_a_killed_function_is_retried(lambda_stack, how):
    """The kill hits the first attempt alone."""
    function = lambda_stack.deploy(linger, timeout_s=60)
    lambda_stack.faults.kill(function, attempt=1, how=how)

    function.invoke({"seconds": 0.5}, asynchronous=True)
    lambda_stack.retry_clock.advance_until_idle()

    (event,) = lambda_stack.events
    assert ("succeeded", ["Runtime.ExitError", ""]) == (event.state, [one.error for one in event.attempts])
    assert [1] == [entry.times for entry in lambda_stack.faults.injected]


def test_throttled_calls_are_refused_and_events_tried_again(lambda_stack):
    """A synchronous caller sees 429; an event waits and runs."""
    function = lambda_stack.deploy(steady)
    lambda_stack.faults.throttle(function, n=3)

    with pytest.raises(ClientError) as refused:
        function.invoke()
    function.invoke(asynchronous=True)
    lambda_stack.retry_clock.advance_until_idle()

    assert "TooManyRequestsException" == refused.value.response["Error"]["Code"]
    (event,) = lambda_stack.events
    assert ("succeeded", 2, 1) == (event.state, event.throttled, len(event.attempts))


def test_events_that_wait_for_room_follow_one_another(lambda_stack):
    """None waits for its delay, which grows to minutes, while there is room."""
    function = lambda_stack.deploy(linger, reserved_concurrency=1, timeout_s=60)

    for _ in range(12):
        function.invoke({"seconds": 0.3}, asynchronous=True)
    events = lambda_stack.events.wait_for("succeeded", count=12, timeout_s=60)

    assert 12 == len(events)
    assert any(event.throttled for event in events)


def test_an_event_may_arrive_twice(lambda_stack):
    """Both deliveries have the same request id."""
    function = lambda_stack.deploy(steady)
    lambda_stack.faults.duplicate(function)

    sent = function.invoke(asynchronous=True)

    assert 2 == len(lambda_stack.events.wait_for("succeeded", request_id=sent.request_id, count=2))


def test_a_lost_cold_start_fails_the_invocation(lambda_stack):
    """The next one succeeds."""
    function = lambda_stack.deploy(steady)
    lambda_stack.faults.cold_start(function, lost=True)

    assert "Sandbox.Failure" == function.invoke().error.type
    assert {"a": 1} == function.invoke({"a": 1}).payload


def test_calls_of_a_function_to_aws_fail(lambda_stack, queue):
    """A function that sends a message is throttled by SQS for as long as the plan says."""
    function = lambda_stack.deploy(send, timeout_s=30)
    lambda_stack.faults.fail_calls("sqs", "SendMessage", error="AccessDenied", times=1)

    assert "AccessDenied" in function.invoke({"queue": queue[0]}).error.message
    assert function.invoke({"queue": queue[0]}).error is None


def test_a_fault_that_makes_no_sense_is_refused(lambda_stack):
    """The message names the value."""
    with pytest.raises(HarnessError, match="Expected `int` >= 1"):
        lambda_stack.faults.kill("anything", n=0)


def test_the_reset_ends_what_still_runs(lambda_stack):
    """Neither a running function nor a queued event outlives the test; the next test does not wait for them."""
    lambda_stack.deploy(linger, timeout_s=900).invoke({"seconds": 800}, asynchronous=True)
    lambda_stack.events.wait_for("running")

    lambda_stack.reset()

    assert [] == list(lambda_stack.events)
    assert [] == lambda_stack.client("lambda").list_functions()["Functions"]

"""Twenty workers at one barrier: they pass only if all of them run at the same time."""

import pytest

N = 20


@pytest.fixture
def bucket(lambda_stack):
    """A bucket for the barrier."""
    lambda_stack.client("s3").create_bucket(Bucket="barriers")
    return "barriers"


@pytest.fixture
def fan_out(lambda_stack):
    """Both functions as harness.toml declares them."""
    lambda_stack.deploy("worker")
    return lambda_stack.deploy("fan_out")


def test_twenty_workers_meet(lambda_stack, lambda_logs, fan_out, bucket):
    """Each worker has an environment of its own, as on AWS."""
    answer = fan_out.invoke({"n": N, "bucket": bucket}).payload

    assert answer["invoked"] == N
    lambda_stack.events.wait_for("succeeded", function="worker", count=N, timeout_s=60)
    assert len({record.stream for record in lambda_logs.of("worker")}) == N
    passed = [message for message in lambda_logs.messages if "passed the barrier" in message]
    assert sorted(passed) == sorted(f"rank {rank} of {N} passed the barrier" for rank in range(N))


def test_a_worker_that_dies_comes_late(lambda_stack, fan_out, bucket):
    """The others wait for its second attempt, which Lambda starts a minute later."""
    lambda_stack.faults.kill("worker", attempt=1)
    fan_out.invoke({"n": 3, "bucket": bucket})
    lambda_stack.events.wait_for("waiting", function="worker")

    lambda_stack.retry_clock.advance(minutes=1)

    events = lambda_stack.events.wait_for("succeeded", function="worker", count=3)
    assert sorted(len(event.attempts) for event in events) == [1, 1, 2]


def test_an_event_that_arrives_twice_is_harmless(lambda_stack, fan_out, bucket):
    """Lambda promises to deliver an event at least once, not exactly once."""
    lambda_stack.faults.duplicate("worker")

    fan_out.invoke({"n": 2, "bucket": bucket})

    assert len(lambda_stack.events.wait_for("succeeded", function="worker", count=3)) == 3

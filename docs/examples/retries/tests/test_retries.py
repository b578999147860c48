"""A payment that fails is tried again after one and after two more minutes, then waits in a queue."""

import json

import pytest

ORDER = {"order": "o-1", "amount": 12}


@pytest.fixture
def payments(lambda_stack):
    """The table of payments."""
    return lambda_stack.resource("dynamodb").create_table(
        TableName="payments",
        KeySchema=[{"AttributeName": "order", "KeyType": "HASH"}],
        AttributeDefinitions=[{"AttributeName": "order", "AttributeType": "S"}],
        BillingMode="PAY_PER_REQUEST",
    )


@pytest.fixture
def provider(payments):
    """Set the state of the payment provider."""
    return lambda state: payments.put_item(Item={"order": "provider", "state": state})


@pytest.fixture
def failures(lambda_stack):
    """The URL and the ARN of the dead-letter queue."""
    sqs = lambda_stack.client("sqs")
    url = sqs.create_queue(QueueName="failures")["QueueUrl"]
    return url, sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]


@pytest.fixture
def charge(lambda_stack, failures, payments):
    """The function, with the queue as its destination on failure."""
    return lambda_stack.deploy("charge", on_failure=failures[1])


def test_a_provider_that_comes_back_is_paid_at_the_second_attempt(lambda_stack, charge, provider):
    """Nobody waits for the minute."""
    provider("down")
    charge.invoke(ORDER, asynchronous=True)
    lambda_stack.events.wait_for("waiting")

    provider("up")
    lambda_stack.retry_clock.advance(minutes=1)

    (event,) = lambda_stack.events.succeeded
    assert [attempt.error for attempt in event.attempts] == ["ConnectionError", ""]
    assert [attempt.at for attempt in event.attempts] == [0, 60]


def test_an_event_that_is_given_up_waits_in_the_queue_and_can_be_driven_again(
    lambda_stack, charge, provider, payments, failures
):
    """After three attempts the record has the event and the error; `redrive` sends it again."""
    provider("down")
    charge.invoke(ORDER, asynchronous=True)

    lambda_stack.retry_clock.advance(minutes=3)

    (event,) = lambda_stack.events.given_up
    assert (event.condition, len(event.attempts)) == ("RetriesExhausted", 3)
    assert "Item" not in payments.get_item(Key={"order": "o-1"})

    provider("up")
    redrive = lambda_stack.deploy("redrive")
    assert redrive.invoke({"queue": failures[0]}).payload == {"again": 1}
    lambda_stack.events.wait_for("succeeded", function=charge)
    assert payments.get_item(Key={"order": "o-1"})["Item"]["amount"] == 12


def test_the_record_in_the_queue_has_everything(lambda_stack, charge, provider, failures):
    """As AWS documents it: the event, the number of attempts and the error."""
    provider("down")
    charge.invoke(ORDER, asynchronous=True)
    lambda_stack.retry_clock.advance_until_idle()

    (message,) = lambda_stack.client("sqs").receive_message(QueueUrl=failures[0])["Messages"]
    record = json.loads(message["Body"])
    assert record["requestPayload"] == ORDER
    assert record["requestContext"]["approximateInvokeCount"] == 3
    assert record["responsePayload"]["errorType"] == "ConnectionError"


def test_an_event_that_arrives_twice_is_charged_once(lambda_stack, lambda_logs, charge):
    """At-least-once delivery."""
    charge.invoke(ORDER, asynchronous=True)
    lambda_stack.events.wait_for("succeeded")

    charge.invoke(ORDER, asynchronous=True)
    lambda_stack.events.wait_for("succeeded", count=2)

    assert lambda_logs.messages == ["order o-1 is paid already"]


@pytest.mark.parametrize("how", ["oom", "exit"])
def test_a_payment_survives_a_function_that_dies(lambda_stack, charge, payments, how):
    """Out of memory, or an exit of its own: Lambda tries again."""
    lambda_stack.faults.kill(charge, attempt=1, how=how)
    charge.invoke(ORDER, asynchronous=True)

    lambda_stack.retry_clock.advance_until_idle()

    assert [event.state for event in lambda_stack.events] == ["succeeded"]
    assert payments.get_item(Key={"order": "o-1"})["Item"]["amount"] == 12

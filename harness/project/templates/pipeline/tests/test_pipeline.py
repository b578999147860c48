"""The whole pipeline on a stack of this machine: a file in S3, two functions, a message in SQS."""

import json
from pathlib import Path

import pytest

PROJECT = Path(__file__).parents[1]
NOTIFICATION = json.loads((PROJECT / "events" / "object_created.json").read_text())


@pytest.fixture
def s3(lambda_stack):
    """S3 with an empty bucket for orders."""
    client = lambda_stack.client("s3")
    client.create_bucket(Bucket="orders")
    return client


@pytest.fixture
def received(lambda_stack):
    """Return the next message of the queue."""
    sqs = lambda_stack.client("sqs")
    queue = sqs.create_queue(QueueName="totals")["QueueUrl"]

    def receive():
        (message,) = sqs.receive_message(QueueUrl=queue, WaitTimeSeconds=20)["Messages"]
        return json.loads(message["Body"])

    return receive


@pytest.fixture
def summarise(lambda_stack):
    """The first function; it invokes the second one."""
    lambda_stack.deploy("publish")
    return lambda_stack.deploy("summarise")


def test_totals_of_a_new_file_are_published(s3, received, summarise):
    """The message has the totals of each product."""
    s3.put_object(Bucket="orders", Key="monday.csv", Body=(PROJECT / "orders.csv").read_bytes())

    summarise.invoke(NOTIFICATION)

    assert received() == {"key": "monday.csv", "orders": 3, "totals": {"apples": 7, "pears": 5}}


def test_a_missing_file_is_an_error(s3, summarise):
    """Lambda retries the notification."""
    result = summarise.invoke(NOTIFICATION)

    assert result.error.type == "NoSuchKey"

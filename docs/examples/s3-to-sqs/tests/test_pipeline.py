"""From a file in S3 to messages in SQS to totals in S3, with S3's own notifications."""

import json

import pytest

ORDERS = "product,quantity\napples,3\npears,5\napples,4\n"


@pytest.fixture
def queue(lambda_stack):
    """Make a queue; return its URL."""
    sqs = lambda_stack.client("sqs")
    return lambda name: sqs.create_queue(QueueName=name)["QueueUrl"]


@pytest.fixture
def receive(lambda_stack):
    """Return the messages of a queue as Lambda's event source passes them to a function, and delete them."""
    sqs = lambda_stack.client("sqs")

    def receive_all(url):
        records = []
        while messages := sqs.receive_message(QueueUrl=url, MaxNumberOfMessages=10).get("Messages"):
            for message in messages:
                records.append({"messageId": message["MessageId"], "body": message["Body"]})
                sqs.delete_message(QueueUrl=url, ReceiptHandle=message["ReceiptHandle"])
        return {"Records": records}

    return receive_all


@pytest.fixture
def uploads(lambda_stack, queue):
    """A bucket that announces new files in a queue; return the queue's URL."""
    url = queue("uploads")
    sqs, s3 = lambda_stack.client("sqs"), lambda_stack.client("s3")
    arn = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
    for bucket in ("orders", "totals"):
        s3.create_bucket(Bucket=bucket)
    s3.put_bucket_notification_configuration(
        Bucket="orders",
        NotificationConfiguration={"QueueConfigurations": [{"QueueArn": arn, "Events": ["s3:ObjectCreated:*"]}]},
    )
    return url


def test_a_file_becomes_totals(lambda_stack, uploads, queue, receive):
    """The notification is S3's own, the messages those of the function."""
    s3, orders = lambda_stack.client("s3"), queue("orders")
    split = lambda_stack.deploy("split", environment={"ORDERS": orders})
    total = lambda_stack.deploy("total")

    s3.put_object(Bucket="orders", Key="may/1 st.csv", Body=ORDERS)
    (notification,) = [
        json.loads(record["body"]) for record in receive(uploads)["Records"] if "s3:Test" not in record["body"]
    ]

    assert split.invoke(notification).payload == {"sent": 3}
    assert total.invoke(receive(orders)).payload == {"batchItemFailures": []}
    stored = s3.get_object(Bucket="totals", Key="totals.json")["Body"].read()
    assert json.loads(stored) == {"apples": 7, "pears": 5}


def test_a_message_that_is_no_order_is_reported_alone(lambda_stack, lambda_logs, uploads):
    """The rest of the batch counts."""
    total = lambda_stack.deploy("total")
    records = [
        {"messageId": "good", "body": json.dumps({"product": "plums", "quantity": "2"})},
        {"messageId": "bad", "body": "not JSON"},
    ]

    assert total.invoke({"Records": records}).payload == {"batchItemFailures": [{"itemIdentifier": "bad"}]}
    assert any("message bad is no order" in message for message in lambda_logs.messages)


def test_a_queue_that_refuses_fails_the_function(lambda_stack, uploads, queue):
    """The function does not swallow the error, so that Lambda tries the notification again."""
    split = lambda_stack.deploy("split", environment={"ORDERS": queue("orders")})
    lambda_stack.client("s3").put_object(Bucket="orders", Key="may.csv", Body=ORDERS)
    lambda_stack.faults.fail_calls("sqs", "SendMessage", error="AccessDenied")

    event = {"Records": [{"s3": {"bucket": {"name": "orders"}, "object": {"key": "may.csv"}}}]}
    result = split.invoke(event)

    assert result.error.type == "ClientError"
    assert "AccessDenied" in result.error.message

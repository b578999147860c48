"""What moto's services hold, read in moto's own process."""

import json
from collections.abc import Iterator

import boto3
import httpx
import msgspec
import pytest
from moto import mock_aws

from harness.aws.clients import clients_for
from harness.emulation.content import content
from harness.guard import authorization
from harness.stack.state import StackState


@pytest.fixture
def aws(monkeypatch: pytest.MonkeyPatch) -> Iterator[boto3.Session]:
    """A session of moto in this process."""
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "testing")
    with mock_aws():
        yield boto3.Session(region_name="us-east-1")


def test_objects_are_read_as_text_json_or_checksum(aws: boto3.Session):
    """A reader of a report sees the text; what is none is still compared."""
    s3 = aws.client("s3")
    s3.create_bucket(Bucket="inbox")
    s3.put_object(Bucket="inbox", Key="a.csv", Body=b"id,sum\n1,2\n")
    s3.put_object(Bucket="inbox", Key="c.json", Body=b'{"sum": 2}', Metadata={"by": "me"})
    s3.put_object(Bucket="inbox", Key="d.bin", Body=b"\xff\x00")
    s3.put_object(Bucket="inbox", Key="gone", Body=b"")
    s3.delete_object(Bucket="inbox", Key="gone")

    found = dict(content())

    assert found["s3://inbox/a.csv"] == "id,sum\n1,2\n"
    assert found["s3://inbox/c.json"] == {"body": {"sum": 2}, "metadata": {"by": "me"}}
    assert found["s3://inbox/d.bin"].startswith("<2 bytes, sha256 ")
    assert "s3://inbox/gone" not in found


def test_an_object_deleted_from_a_versioned_bucket_is_not_there(aws: boto3.Session):
    """A marker of deletion hides the versions below."""
    s3 = aws.client("s3")
    s3.create_bucket(Bucket="inbox")
    s3.put_bucket_versioning(Bucket="inbox", VersioningConfiguration={"Status": "Enabled"})
    for body in (b"old", b"new"):
        for key in ("kept", "gone"):
            s3.put_object(Bucket="inbox", Key=key, Body=body)
    s3.delete_object(Bucket="inbox", Key="gone")

    assert [entry for entry in content() if entry[0].startswith("s3://inbox/")] == [("s3://inbox/kept", "new")]


def test_items_are_read_as_plain_json(aws: boto3.Session):
    """DynamoDB's types are not what a user thinks in; the key is in the address."""
    dynamodb = aws.client("dynamodb")
    dynamodb.create_table(
        TableName="t",
        KeySchema=[{"AttributeName": "id", "KeyType": "HASH"}, {"AttributeName": "day", "KeyType": "RANGE"}],
        AttributeDefinitions=[
            {"AttributeName": "id", "AttributeType": "S"},
            {"AttributeName": "day", "AttributeType": "N"},
        ],
        BillingMode="PAY_PER_REQUEST",
    )
    item = {
        "id": {"S": "a"},
        "day": {"N": "7"},
        "share": {"N": "0.5"},
        "tags": {"SS": ["y", "x"]},
        "deep": {"M": {"list": {"L": [{"BOOL": True}, {"NULL": True}]}}},
    }
    dynamodb.put_item(TableName="t", Item=item)

    assert dict(content())["dynamodb://t/a/7"] == {
        "id": "a",
        "day": 7,
        "share": 0.5,
        "tags": ["x", "y"],
        "deep": {"list": [True, None]},
    }


def test_each_message_is_an_entry_also_one_in_flight(aws: boto3.Session):
    """Two equal messages are two entries: sent twice is a finding."""
    sqs, sns = aws.client("sqs"), aws.client("sns")
    url = sqs.create_queue(QueueName="q")["QueueUrl"]
    sqs.send_message(QueueUrl=url, MessageBody='{"n": 1}')
    sqs.send_message(QueueUrl=url, MessageBody='{"n": 1}')
    sqs.receive_message(QueueUrl=url)
    topic = sns.create_topic(Name="news")["TopicArn"]
    sns.publish(TopicArn=topic, Message="hello", Subject="greeting")

    found = content()

    assert found.count(("sqs://q", {"n": 1})) == 2
    assert ("sns://news", {"body": "hello", "subject": "greeting"}) in found


def test_any_other_service_is_read_by_its_attributes(aws: boto3.Session):
    """Of moto's two hundred services, none is left out for want of a reader."""
    aws.client("ssm").put_parameter(Name="/a", Value="7", Type="String")
    kinesis = aws.client("kinesis")
    kinesis.create_stream(StreamName="clicks", ShardCount=1)
    kinesis.put_record(StreamName="clicks", Data=b"click", PartitionKey="k")

    found = content()

    text = json.dumps(found)
    assert '"value": "7"' in text
    assert any(address.startswith("kinesis://us-east-1/streams/") and "click" in str(value) for address, value in found)
    msgspec.json.encode(found)


def test_lambdas_own_metrics_are_no_state(aws: boto3.Session):
    """They count attempts; those of the function itself are what it does."""
    for namespace in ("AWS/Lambda", "Shop"):
        metric = {"MetricName": "Orders", "Value": 1.0}
        aws.client("cloudwatch").put_metric_data(Namespace=namespace, MetricData=[metric])

    assert [value["namespace"] for address, value in content() if "metric_data" in address] == ["Shop"]


def test_reading_changes_nothing(aws: boto3.Session):
    """An exploration reads after each case, and compares."""
    aws.client("events").put_rule(Name="daily", ScheduleExpression="rate(1 day)")
    aws.client("ec2").describe_vpcs()

    assert content() == content()


def test_a_server_shows_its_content(hasty: StackState):
    """An exploration reads the state from outside, with the stack's key."""
    clients_for(hasty.endpoints).s3.create_bucket(Bucket="seen-from-outside")
    answer = httpx.get(
        f"{hasty.endpoints.aws}/_harness/content", headers=authorization(hasty.endpoints.access_key), trust_env=False
    )

    assert ["s3://seen-from-outside", "bucket"] in answer.json()
    assert httpx.get(f"{hasty.endpoints.aws}/_harness/content", trust_env=False).status_code == 403

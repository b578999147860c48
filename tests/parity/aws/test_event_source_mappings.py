"""Event source mappings of queues: https://docs.aws.amazon.com/lambda/latest/dg/with-sqs.html."""

import json
import uuid

import pytest

from tests.parity.aws.support import eventually, refusal

DEADLINE_S = 120
MISSING = ("ResourceNotFoundException", 404, "The resource you requested does not exist.")
# Each function writes what it gets to the queue of its answers.
COPIES = """
import json, os, boto3
def handler(event, context):
    sqs = boto3.client('sqs')
    sqs.send_message(QueueUrl=os.environ['ANSWERS'], MessageBody=json.dumps([context.invoked_function_arn, event]))
    failing = [one['messageId'] for one in event['Records'] if one['body'] == 'fails']
    if os.environ.get('RAISES') and failing:
        raise ValueError('no luck')
    return {'batchItemFailures': [{'itemIdentifier': one} for one in failing]}
"""


@pytest.fixture
def sqs(aws):
    """A client of SQS."""
    return aws("sqs")


@pytest.fixture
def queue(sqs):
    """Makes a queue, and returns its URL and its ARN; it is deleted at the end."""
    made = []

    def make(**attributes):
        url = sqs.create_queue(QueueName=f"parity-{uuid.uuid4().hex[:12]}", Attributes=attributes)["QueueUrl"]
        made.append(url)
        arn = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
        return url, arn

    yield make
    for url in made:
        sqs.delete_queue(QueueUrl=url)


@pytest.fixture
def connect(functions):
    """Makes a mapping, waits until it is enabled, and returns its UUID; it is deleted at the end."""
    made = []

    def make(**settings):
        mapping = functions.create_event_source_mapping(**settings)["UUID"]
        made.append(mapping)
        wait_for(lambda: functions.get_event_source_mapping(UUID=mapping)["State"] in {"Enabled", "Disabled"})
        return mapping

    yield make
    for mapping in made:
        functions.delete_event_source_mapping(UUID=mapping)


def wait_for(what):
    """Wait until something is true, and return it."""
    found = eventually(what, within_s=DEADLINE_S)
    assert found, f"it did not come true within {DEADLINE_S} s"
    return found


def received(sqs, url):
    """Return the content of the next message of a queue."""

    def message():
        for one in sqs.receive_message(QueueUrl=url, WaitTimeSeconds=1).get("Messages", []):
            sqs.delete_message(QueueUrl=url, ReceiptHandle=one["ReceiptHandle"])
            return json.loads(one["Body"])
        return None

    return wait_for(message)


def is_empty(sqs, url):
    """Return whether a queue has no messages, seen or unseen."""
    names = ["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"]
    return set(sqs.get_queue_attributes(QueueUrl=url, AttributeNames=names)["Attributes"].values()) == {"0"}


@pytest.fixture
def copier(create, queue):
    """Makes a function that copies what it gets, and returns its name and the queue that it copies to."""

    def make(**variables):
        answers, _ = queue()
        return create(COPIES, Environment={"Variables": {"ANSWERS": answers, **variables}}, Timeout=20), answers

    return make


def test_a_function_gets_the_messages_of_a_queue(functions, sqs, queue, connect, copier):
    """With their attributes, and the mapping's alias in the context; handled messages are deleted."""
    (name, answers), (url, arn) = copier(), queue()
    functions.publish_version(FunctionName=name)
    alias = functions.create_alias(FunctionName=name, Name="live", FunctionVersion="1")["AliasArn"]
    connect(FunctionName=alias, EventSourceArn=arn)

    attributes = {"kind": {"DataType": "String", "StringValue": "any"}}
    sent = sqs.send_message(QueueUrl=url, MessageBody="hello", MessageAttributes=attributes)
    invoked, event = received(sqs, answers)
    (record,) = event["Records"]

    assert invoked == alias
    assert (record["messageId"], record["body"], record["md5OfBody"]) == (
        sent["MessageId"],
        "hello",
        sent["MD5OfMessageBody"],
    )
    assert (record["eventSource"], record["eventSourceARN"]) == ("aws:sqs", arn)
    assert record["attributes"]["ApproximateReceiveCount"] == "1"
    assert record["messageAttributes"]["kind"] == {
        "stringValue": "any",
        "stringListValues": [],
        "binaryListValues": [],
        "dataType": "String",
    }
    assert wait_for(lambda: is_empty(sqs, url))


def test_a_batch_waits_for_more_messages(sqs, queue, connect, copier):
    """Up to its size, as long as its window."""
    (name, answers), (url, arn) = copier(), queue()
    for number in range(3):
        sqs.send_message(QueueUrl=url, MessageBody=str(number))
    connect(FunctionName=name, EventSourceArn=arn, BatchSize=3, MaximumBatchingWindowInSeconds=60)

    _, event = received(sqs, answers)

    assert sorted(one["body"] for one in event["Records"]) == ["0", "1", "2"]


@pytest.mark.slow
def test_a_message_that_failed_comes_again(sqs, queue, connect, copier):
    """After the queue's visibility timeout; its count tells how often it came."""
    (name, answers), (url, arn) = copier(RAISES="yes"), queue(VisibilityTimeout="20")
    connect(FunctionName=name, EventSourceArn=arn)

    sqs.send_message(QueueUrl=url, MessageBody="fails")
    counts = [received(sqs, answers)[1]["Records"][0]["attributes"]["ApproximateReceiveCount"] for _ in range(2)]

    assert counts == ["1", "2"]


@pytest.mark.slow
def test_an_answer_names_the_messages_that_failed(sqs, queue, connect, copier):
    """With `ReportBatchItemFailures` the others are deleted; without, all are."""
    (name, answers), (url, arn) = copier(), queue(VisibilityTimeout="20")
    for body in ("fails", "succeeds"):
        sqs.send_message(QueueUrl=url, MessageBody=body)
    connect(
        FunctionName=name,
        EventSourceArn=arn,
        BatchSize=2,
        MaximumBatchingWindowInSeconds=5,
        FunctionResponseTypes=["ReportBatchItemFailures"],
    )

    first, second = (received(sqs, answers)[1]["Records"] for _ in range(2))

    assert sorted(one["body"] for one in first) == ["fails", "succeeds"]
    assert [one["body"] for one in second] == ["fails"]


def test_a_filter_keeps_messages_from_the_function(functions, sqs, queue, connect, copier):
    """They are deleted; a message without JSON is not one that a filter of JSON wants."""
    (name, answers), (url, arn) = copier(), queue()
    criteria = {"Filters": [{"Pattern": json.dumps({"body": {"kind": [{"prefix": "good"}]}})}]}
    for body in ("text", json.dumps({"kind": "bad"}), json.dumps({"kind": "goodness"})):
        sqs.send_message(QueueUrl=url, MessageBody=body)
    mapping = connect(FunctionName=name, EventSourceArn=arn, FilterCriteria=criteria)

    _, event = received(sqs, answers)

    assert [json.loads(one["body"])["kind"] for one in event["Records"]] == ["goodness"]
    assert wait_for(lambda: is_empty(sqs, url))
    assert functions.get_event_source_mapping(UUID=mapping)["FilterCriteria"] == criteria
    assert refusal(
        functions.update_event_source_mapping, UUID=mapping, FilterCriteria={"Filters": [{"Pattern": "text"}]}
    ) == ("InvalidParameterValueException", 400, "Invalid filter pattern definition.")


def test_a_disabled_mapping_leaves_messages_in_the_queue(functions, sqs, queue, connect, copier):
    """Until it is enabled."""
    (name, answers), (url, arn) = copier(), queue()
    mapping = connect(FunctionName=name, EventSourceArn=arn, Enabled=False)
    sqs.send_message(QueueUrl=url, MessageBody="waits")
    before = functions.get_event_source_mapping(UUID=mapping)["State"]

    enabling = functions.update_event_source_mapping(UUID=mapping, Enabled=True)["State"]
    _, event = received(sqs, answers)

    assert (before, enabling) == ("Disabled", "Enabling")
    assert event["Records"][0]["attributes"]["ApproximateReceiveCount"] == "1"


def test_mappings_are_shown_listed_tagged_and_deleted(functions, queue, connect, create):
    """Filters name a queue and a function, which need not exist."""
    name, (_, arn) = create(), queue()
    whole = functions.get_function(FunctionName=name)["Configuration"]["FunctionArn"]
    mapping = connect(FunctionName=name, EventSourceArn=arn, BatchSize=1, Enabled=False)

    shown = functions.get_event_source_mapping(UUID=mapping)
    functions.tag_resource(Resource=shown["EventSourceMappingArn"], Tags={"a": "b"})
    tags = functions.list_tags(Resource=shown["EventSourceMappingArn"])["Tags"]
    listed = functions.list_event_source_mappings(FunctionName=name, EventSourceArn=arn)["EventSourceMappings"]
    none = functions.list_event_source_mappings(FunctionName="none")["EventSourceMappings"]

    assert (shown["FunctionArn"], shown["EventSourceArn"], shown["BatchSize"]) == (whole, arn, 1)
    assert (shown["MaximumBatchingWindowInSeconds"], shown["FunctionResponseTypes"]) == (0, [])
    assert ([one["UUID"] for one in listed], none, tags) == ([mapping], [], {"a": "b"})


def test_impossible_mappings_are_refused(functions, queue, connect, create):
    """In AWS's words: what does not exist, what is there already, sizes and times that do not fit."""
    name, (_, arn) = create(), queue(VisibilityTimeout="2")
    functions.update_function_configuration(FunctionName=name, Timeout=2)
    functions.get_waiter("function_updated_v2").wait(FunctionName=name)
    mapping = connect(FunctionName=name, EventSourceArn=arn, Enabled=False)
    make, invalid = functions.create_event_source_mapping, "InvalidParameterValueException"
    slow = create(Timeout=3)

    assert refusal(functions.get_event_source_mapping, UUID=str(uuid.uuid4())) == MISSING
    assert refusal(make, FunctionName=name) == (invalid, 400, "Unrecognized event source.")
    assert refusal(
        make, FunctionName=name, EventSourceArn=arn, DestinationConfig={"OnSuccess": {"Destination": arn}}
    ) == (invalid, 400, "Unsupported DestinationConfig parameter for given event source mapping type.")
    assert refusal(make, FunctionName="none", EventSourceArn=arn) == (invalid, 400, "Function does not exist")
    assert refusal(make, FunctionName=name, EventSourceArn=f"{arn}-none") == (
        invalid,
        400,
        (
            "Error occurred while ReceiveMessage. SQS Error Code: AWS.SimpleQueueService.NonExistentQueue. SQS Error "
            "Message: The specified queue does not exist."
        ),
    )
    assert refusal(make, FunctionName=slow, EventSourceArn=arn, BatchSize=20) == (
        invalid,
        400,
        "Maximum batch window in seconds must be greater than 0 if maximum batch size is greater than 10",
    )
    assert refusal(make, FunctionName=slow, EventSourceArn=arn) == (
        invalid,
        400,
        "Queue visibility timeout: 2 seconds is less than Function timeout: 3 seconds",
    )
    assert refusal(make, FunctionName=name, EventSourceArn=arn) == (
        "ResourceConflictException",
        409,
        (
            f'An event source mapping with SQS arn (" {arn} ") and function (" {name} ") already exists. Please update '
            f"or delete the existing mapping with UUID {mapping}"
        ),
    )

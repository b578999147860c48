"""What follows the end of an event: records for destinations, and dead-letter queues.

https://docs.aws.amazon.com/lambda/latest/dg/invocation-async-retain-records.html
"""

import json
import time
import uuid

import pytest

from tests.parity.aws.support import refusal

FAILS = "def handler(event, context):\n    raise ValueError('no luck')\n"
DEADLINE_S = 300
POLICY = {
    "Version": "2012-10-17",
    "Statement": [
        {
            "Effect": "Allow",
            "Principal": {"Service": ["events.amazonaws.com", "sns.amazonaws.com"]},
            "Action": "sqs:SendMessage",
            "Resource": "*",
        }
    ],
}
TRUST = {
    "Version": "2012-10-17",
    "Statement": [
        {"Effect": "Allow", "Principal": {"Service": "lambda.amazonaws.com"}, "Action": "sts:AssumeRole"},
    ],
}


class Queue:
    """A queue of SQS, which services may send to."""

    def __init__(self, sqs):
        self.sqs = sqs
        self.url = sqs.create_queue(QueueName=f"parity-{uuid.uuid4().hex[:12]}")["QueueUrl"]
        self.arn = sqs.get_queue_attributes(QueueUrl=self.url, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
        sqs.set_queue_attributes(QueueUrl=self.url, Attributes={"Policy": json.dumps(POLICY)})

    def message(self):
        """Return the next message, with its attributes; wait for it."""
        deadline = time.monotonic() + DEADLINE_S
        while time.monotonic() < deadline:
            answer = self.sqs.receive_message(
                QueueUrl=self.url, MessageAttributeNames=["All"], AttributeNames=["All"], WaitTimeSeconds=5
            )
            for message in answer.get("Messages", []):
                self.sqs.delete_message(QueueUrl=self.url, ReceiptHandle=message["ReceiptHandle"])
                return message
        raise TimeoutError(f"no message came to {self.arn}")

    def record(self):
        """Return the content of the next message."""
        return json.loads(self.message()["Body"])


@pytest.fixture
def queue(aws):
    """Makes queues, which are deleted at the end."""
    made = []

    def make():
        made.append(Queue(aws("sqs")))
        return made[-1]

    yield make
    for one in made:
        one.sqs.delete_queue(QueueUrl=one.url)


@pytest.fixture
def topic(aws):
    """A topic, and the queue that gets its notifications."""
    sns = aws("sns")
    arn = sns.create_topic(Name=f"parity-{uuid.uuid4().hex[:12]}")["TopicArn"]
    listener = Queue(aws("sqs"))
    sns.subscribe(TopicArn=arn, Protocol="sqs", Endpoint=listener.arn)
    yield arn, listener
    sns.delete_topic(TopicArn=arn)
    listener.sqs.delete_queue(QueueUrl=listener.url)


@pytest.fixture
def bus(aws):
    """An event bus, and the queue that gets all of its events."""
    events, name = aws("events"), f"parity-{uuid.uuid4().hex[:12]}"
    arn = events.create_event_bus(Name=name)["EventBusArn"]
    listener = Queue(aws("sqs"))
    events.put_rule(Name="all", EventBusName=name, EventPattern=json.dumps({"source": ["lambda"]}))
    events.put_targets(Rule="all", EventBusName=name, Targets=[{"Id": "queue", "Arn": listener.arn}])
    yield arn, listener
    events.remove_targets(Rule="all", EventBusName=name, Ids=["queue"])
    events.delete_rule(Name="all", EventBusName=name)
    events.delete_event_bus(Name=name)
    listener.sqs.delete_queue(QueueUrl=listener.url)


@pytest.fixture
def bucket(aws):
    """An S3 bucket."""
    s3, name = aws("s3"), f"parity-{uuid.uuid4().hex}"
    s3.create_bucket(Bucket=name)
    yield name
    for one in s3.list_objects_v2(Bucket=name).get("Contents", []):
        s3.delete_object(Bucket=name, Key=one["Key"])
    s3.delete_bucket(Bucket=name)


def configure(functions, name, **destinations):
    """Send the ends of a function's events to destinations, without retries; return the answer."""
    return functions.put_function_event_invoke_config(
        FunctionName=name,
        MaximumRetryAttempts=0,
        DestinationConfig={when: {"Destination": arn} for when, arn in destinations.items()},
    )


def send(functions, name, event):
    """Send an event; return its request's id."""
    answer = functions.invoke(FunctionName=name, InvocationType="Event", Payload=json.dumps(event))
    return answer["ResponseMetadata"]["RequestId"]


def context_of(functions, name, request, condition, tries=1):
    """Return the `requestContext` of a record."""
    arn = functions.get_function(FunctionName=name, Qualifier="$LATEST")["Configuration"]["FunctionArn"]
    return {"requestId": request, "functionArn": arn, "condition": condition, "approximateInvokeCount": tries}


def test_a_dead_letter_queue_gets_the_event_and_why_it_failed(create, functions, queue):
    """The message is the event alone; the request, an HTTP status and the error are its attributes."""
    letters = queue()
    name = create(FAILS, DeadLetterConfig={"TargetArn": letters.arn})
    functions.put_function_event_invoke_config(FunctionName=name, MaximumRetryAttempts=0)

    request = send(functions, name, {"n": 1})
    message = letters.message()

    assert {"n": 1} == json.loads(message["Body"])
    assert {
        "RequestID": ("String", request),
        "ErrorCode": ("Number", "200"),
        "ErrorMessage": ("String", "no luck"),
    } == {key: (one["DataType"], one["StringValue"]) for key, one in message["MessageAttributes"].items()}


def test_a_topic_takes_dead_letters_too(create, functions, topic):
    """Its subscribers find the event as the message, and the same attributes."""
    arn, listener = topic
    name = create(FAILS, DeadLetterConfig={"TargetArn": arn})
    functions.put_function_event_invoke_config(FunctionName=name, MaximumRetryAttempts=0)

    request = send(functions, name, {"n": 1})
    notification = listener.record()

    assert {"n": 1} == json.loads(notification["Message"])
    assert request == notification["MessageAttributes"]["RequestID"]["Value"]
    assert "no luck" == notification["MessageAttributes"]["ErrorMessage"]["Value"]


def test_a_dead_letter_queue_is_part_of_the_configuration(create, functions, queue):
    """It is shown, and part of versions; a configuration without an ARN changes nothing, an empty ARN removes it."""
    letters = queue()
    name = create(DeadLetterConfig={"TargetArn": letters.arn})
    update, updated = functions.update_function_configuration, functions.get_waiter("function_updated_v2")
    shown = functions.get_function_configuration(FunctionName=name)["DeadLetterConfig"]
    version = functions.publish_version(FunctionName=name)["Version"]

    kept = update(FunctionName=name, DeadLetterConfig={})["DeadLetterConfig"]
    updated.wait(FunctionName=name)
    removed = update(FunctionName=name, DeadLetterConfig={"TargetArn": ""})
    updated.wait(FunctionName=name)

    assert {"TargetArn": letters.arn} == shown == kept
    assert "DeadLetterConfig" not in removed
    assert "DeadLetterConfig" not in functions.get_function_configuration(FunctionName=name)
    assert shown == functions.get_function_configuration(FunctionName=name, Qualifier=version)["DeadLetterConfig"]


@pytest.mark.parametrize(("source", "condition"), [(None, "Success"), (FAILS, "RetriesExhausted")])
def test_a_queue_gets_the_record_of_an_event(create, functions, queue, source, condition):
    """With the event, the answer, and the trace in an attribute of the message."""
    records = queue()
    name = create(source) if source else create()
    configure(functions, name, OnSuccess=records.arn, OnFailure=records.arn)

    request = send(functions, name, {"n": 1})
    message = records.message()
    record = json.loads(message["Body"])

    assert context_of(functions, name, request, condition) == record["requestContext"]
    assert ("1.0", {"n": 1}) == (record["version"], record["requestPayload"])
    if source:
        assert {"statusCode": 200, "executedVersion": "$LATEST", "functionError": "Unhandled"} == record[
            "responseContext"
        ]
        assert ("ValueError", request) == (
            record["responsePayload"]["errorType"],
            record["responsePayload"]["requestId"],
        )
    else:
        assert {"statusCode": 200, "executedVersion": "$LATEST"} == record["responseContext"]
        assert {"n": 1} == record["responsePayload"]
    assert message["Attributes"]["AWSTraceHeader"].startswith("Root=1-")


def test_a_topic_gets_the_record_of_an_event(create, functions, topic):
    """As the message of a notification."""
    arn, listener = topic
    name = create()
    configure(functions, name, OnSuccess=arn)

    request = send(functions, name, {"n": 1})

    record = json.loads(listener.record()["Message"])
    assert context_of(functions, name, request, "Success") == record["requestContext"]


@pytest.mark.parametrize(("source", "end"), [(None, "Success"), (FAILS, "Failure")])
def test_an_event_bus_gets_the_record_of_an_event(create, functions, bus, source, end):
    """As the detail of an event of Lambda's."""
    arn, listener = bus
    name = create(source) if source else create()
    configure(functions, name, OnSuccess=arn, OnFailure=arn)

    request = send(functions, name, {"n": 1})
    event = listener.record()
    context = context_of(functions, name, request, "Success" if end == "Success" else "RetriesExhausted")

    assert ("lambda", f"Lambda Function Invocation Result - {end}") == (event["source"], event["detail-type"])
    assert [arn, context["functionArn"]] == event["resources"]
    assert context == event["detail"]["requestContext"]
    assert {"n": 1} == event["detail"]["requestPayload"]


def test_a_function_gets_the_record_of_an_event_as_its_own_event(create, functions, queue):
    """It is invoked asynchronously, and its own destination gets the next record."""
    records, first, second = queue(), create(), create()
    configure(functions, second, OnSuccess=records.arn)
    configure(functions, first, OnSuccess=functions.get_function(FunctionName=second)["Configuration"]["FunctionArn"])

    request = send(functions, first, {"n": 1})
    record = records.record()

    assert record["requestPayload"] == record["responsePayload"]
    assert context_of(functions, first, request, "Success") == record["requestPayload"]["requestContext"]
    assert record["requestContext"]["functionArn"].endswith(f"{second}:$LATEST")
    assert request != record["requestContext"]["requestId"]


def test_a_bucket_gets_the_record_of_a_failed_event(aws, create, functions, bucket, queue):
    """Under a key with the function's name and the time; of events that succeeded it takes none."""
    s3, name, letters = aws("s3"), create(FAILS), queue()
    functions.update_function_configuration(FunctionName=name, DeadLetterConfig={"TargetArn": letters.arn})
    functions.get_waiter("function_updated_v2").wait(FunctionName=name)
    configure(functions, name, OnFailure=f"arn:aws:s3:::{bucket}")

    request = send(functions, name, {"n": 1})
    # Both are sent; the dead letter comes last.
    letters.message()
    (stored,) = s3.list_objects_v2(Bucket=bucket)["Contents"]
    record = json.loads(s3.get_object(Bucket=bucket, Key=stored["Key"])["Body"].read())

    folder, _, last = stored["Key"].rpartition("/")
    day = record["timestamp"][:10]
    assert folder == f"aws/lambda/async/{name}/{day.replace('-', '/')}"
    assert last.startswith(f"{day}T")
    assert context_of(functions, name, request, "RetriesExhausted") == record["requestContext"]
    assert (
        "is invalid"
        in refusal(
            functions.put_function_event_invoke_config,
            FunctionName=name,
            DestinationConfig={"OnSuccess": {"Destination": f"arn:aws:s3:::{bucket}"}},
        )[2]
    )


def test_events_of_a_function_with_nothing_reserved_end_at_once(create, functions, queue):
    """They are not run and not retried; destination and dead-letter queue get them."""
    records, letters = queue(), queue()
    name = create(DeadLetterConfig={"TargetArn": letters.arn})
    functions.put_function_event_invoke_config(
        FunctionName=name, DestinationConfig={"OnFailure": {"Destination": records.arn}}
    )
    functions.put_function_concurrency(FunctionName=name, ReservedConcurrentExecutions=0)

    request = send(functions, name, {"n": 1})
    record, letter = records.record(), letters.message()

    assert context_of(functions, name, request, "ZeroReservedConcurrency", tries=0) == record["requestContext"]
    assert {"version", "timestamp", "requestContext", "requestPayload"} == record.keys()
    assert {"n": 1} == record["requestPayload"] == json.loads(letter["Body"])
    assert request == letter["MessageAttributes"]["RequestID"]["StringValue"]


def test_a_dead_letter_queue_that_is_gone_stops_nothing(aws, create, functions, queue):
    """The event ends, and its destination gets the record."""
    records, gone = queue(), Queue(aws("sqs"))
    name = create(FAILS, DeadLetterConfig={"TargetArn": gone.arn})
    configure(functions, name, OnFailure=records.arn)
    gone.sqs.delete_queue(QueueUrl=gone.url)

    request = send(functions, name, {})

    assert request == records.record()["requestContext"]["requestId"]


def test_aliases_and_versions_have_destinations_of_their_own(create, functions, queue):
    """The qualifier that was invoked decides; a version without settings has none of its function's."""
    of_latest, of_alias = queue(), queue()
    name = create()
    version = functions.publish_version(FunctionName=name)["Version"]
    functions.create_alias(FunctionName=name, Name="live", FunctionVersion=version)
    configure(functions, name, OnSuccess=of_latest.arn)
    configure(functions, f"{name}:live", OnSuccess=of_alias.arn)

    send(functions, f"{name}:{version}", {"to": "version"})
    send(functions, f"{name}:live", {"to": "alias"})
    send(functions, name, {"to": "latest"})
    record = of_alias.record()

    assert {"to": "alias"} == record["requestPayload"]
    assert (f"{name}:live", version) == (
        ":".join(record["requestContext"]["functionArn"].split(":")[-2:]),
        record["responseContext"]["executedVersion"],
    )
    assert {"to": "latest"} == of_latest.record()["requestPayload"]


def test_destinations_that_could_get_nothing_are_refused(create, functions):
    """What is not there, the function itself, and services that Lambda sends nothing to."""
    name = create()
    own = functions.get_function(FunctionName=name)["Configuration"]["FunctionArn"]
    absent, of_iam = own + "-absent", own.replace(":lambda:", ":iam:")
    no_queue = own.replace(":lambda:", ":sqs:").replace("function:", "") + "-absent"

    def refused(arn):
        code, status, message = refusal(
            functions.put_function_event_invoke_config,
            FunctionName=name,
            DestinationConfig={"OnSuccess": {"Destination": arn}},
        )
        assert ("InvalidParameterValueException", 400) == (code, status)
        return message

    assert f"The destination ARN {absent} is invalid." == refused(absent)
    assert f"The destination ARN {no_queue} is invalid." == refused(no_queue)
    assert "You can't specify the function as a destination for itself." == refused(own)
    assert (
        "The provided destination config DestinationConfig(onSuccess=OnSuccess(destination="
        f"{of_iam}), onFailure=null) is invalid."
    ) == refused(of_iam)


def test_a_function_that_is_not_there_has_no_settings(functions):
    """Each operation says so in its own words; one that sets nothing is refused first."""
    update, missing = functions.update_function_event_invoke_config, "parity-missing"

    assert ("ResourceNotFoundException", 404, "The function doesn't exist.") == refusal(
        update, FunctionName=missing, MaximumRetryAttempts=1
    )
    assert refusal(functions.list_function_event_invoke_configs, FunctionName=missing)[2].endswith("doesn't exist.")
    assert refusal(functions.put_function_event_invoke_config, FunctionName=missing) == (
        "InvalidParameterValueException",
        400,
        "You must specify at least one of error handling or destination setting.",
    )


def test_only_settings_that_are_there_are_updated(create, functions):
    """Updating is not putting."""
    name = create()

    code, status, message = refusal(
        functions.update_function_event_invoke_config, FunctionName=name, MaximumRetryAttempts=1
    )

    assert ("ResourceNotFoundException", 404) == (code, status)
    assert message.endswith(f"{name}:$LATEST doesn't have an EventInvokeConfig")


def test_the_role_has_to_allow_what_lambda_sends(aws, create, functions, queue):
    """A role that allows nothing is refused with the call that it lacks, for destinations and dead-letter queues."""
    iam, records, name = aws("iam"), queue(), f"parity-{uuid.uuid4().hex[:12]}"
    role = iam.create_role(RoleName=name, AssumeRolePolicyDocument=json.dumps(TRUST))["Role"]["Arn"]
    try:
        function = create(Role=role)

        destination = refusal(configure, functions=functions, name=function, OnFailure=records.arn)
        letters = refusal(
            functions.update_function_configuration,
            FunctionName=function,
            DeadLetterConfig={"TargetArn": records.arn},
        )
    finally:
        iam.delete_role(RoleName=name)

    assert (
        "InvalidParameterValueException",
        400,
        f"The function's execution role does not have permissions to call SendMessage on {records.arn}",
    ) == destination
    assert (
        "InvalidParameterValueException",
        400,
        "The provided execution role does not have permissions to call SendMessage on SQS",
    ) == letters


def test_the_old_form_of_sending_an_event_does_the_same(functions, create, queue):
    """`InvokeAsync` is deprecated; clients of its time still send it."""
    name, listener = create(), queue()
    configure(functions, name, OnSuccess=listener.arn)

    accepted = functions.invoke_async(FunctionName=name, InvokeArgs=b'{"old": 1}')["Status"]
    malformed = refusal(functions.invoke_async, FunctionName=name, InvokeArgs=b"{")

    assert accepted == 202
    assert listener.record()["requestPayload"] == {"old": 1}
    assert malformed[:2] == ("InvalidRequestContentException", 400)

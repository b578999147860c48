"""Requests by which the Lambda service hands something to another service: to a queue, a topic, a bus or a bucket.

Nothing here sends them; `destinations.py` does.
"""

import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from http import HTTPStatus
from urllib.parse import quote, urlencode

import msgspec

from harness.gateway.connection import HttpAnswer

Attributes = Mapping[str, tuple[str, str]]

_SNS_VERSION = "2010-03-31"
_FORM = {"Content-Type": "application/x-www-form-urlencoded; charset=utf-8"}
_SHOWN_BYTES = 300


@dataclass(frozen=True, slots=True)
class Request:
    """A request to another service.

    Attributes:
        service: AWS's name of the service, which signs the request.
        action: The permission that the function's role needs, such as `sqs:SendMessage`.
        resource: ARN of what the action needs to be allowed on.
        path: Path and query.
        body: Its content.
        headers: Headers other than those of the signature.
        method: HTTP method.
    """

    service: str
    action: str
    resource: str
    path: str
    body: bytes
    headers: dict[str, str] = field(default_factory=dict)
    method: str = "POST"


def service_of(arn: str) -> str:
    """Return the service that an ARN belongs to; empty if it is not an ARN."""
    parts = arn.split(":")
    return parts[2] if len(parts) > 5 else ""


def to_queue(endpoint: str, arn: str, text: str, attributes: Attributes, trace: str) -> Request:
    """Return the request that sends a message: attributes by name, each with its type and value.

    https://docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference/API_SendMessage.html
    """
    *_, account, name = arn.split(":")
    message = {
        "QueueUrl": f"{endpoint}/{account}/{name}",
        "MessageBody": text,
        "MessageSystemAttributes": {"AWSTraceHeader": {"DataType": "String", "StringValue": trace}},
    }
    if attributes:
        message["MessageAttributes"] = {
            name: {"DataType": kind, "StringValue": value} for name, (kind, value) in attributes.items()
        }
    return _json("sqs", "AmazonSQS.SendMessage", "sqs:SendMessage", arn, message)


def to_topic(arn: str, text: str, attributes: Attributes) -> Request:
    """Return the request that publishes a notification.

    https://docs.aws.amazon.com/sns/latest/api/API_Publish.html
    """
    form = {"Action": "Publish", "Version": _SNS_VERSION, "TopicArn": arn, "Message": text}
    for number, (name, (kind, value)) in enumerate(attributes.items(), 1):
        entry = f"MessageAttributes.entry.{number}"
        form |= {f"{entry}.Name": name, f"{entry}.Value.DataType": kind, f"{entry}.Value.StringValue": value}
    return Request("sns", "sns:Publish", arn, "/", urlencode(form).encode(), dict(_FORM))


def to_bus(arn: str, record: str, function_arn: str, *, succeeded: bool) -> Request:
    """Return the request that puts a record on an event bus.

    https://docs.aws.amazon.com/eventbridge/latest/APIReference/API_PutEvents.html
    """
    entry = {
        "EventBusName": arn.rpartition("event-bus/")[2],
        "Source": "lambda",
        "DetailType": f"Lambda Function Invocation Result - {'Success' if succeeded else 'Failure'}",
        "Detail": record,
        "Resources": [arn, function_arn],
    }
    return _json("events", "AWSEvents.PutEvents", "events:PutEvents", arn, {"Entries": [entry]})


def to_bucket(arn: str, record: bytes, function: str) -> Request:
    """Return the request that stores a record under the key that AWS documents.

    https://docs.aws.amazon.com/lambda/latest/dg/invocation-async-retain-records.html
    """
    now = datetime.now(UTC)
    key = f"aws/lambda/async/{function}/{now:%Y/%m/%d}/{now:%Y-%m-%dT%H.%M.%S}-{uuid.uuid4()}"
    path = f"/{quote(_bucket(arn))}/{quote(key)}"
    return Request(
        "s3", "s3:PutObject", f"{arn}/{key}", path, record, {"Content-Type": "application/json"}, method="PUT"
    )


def to_find(arn: str) -> Request | None:
    """Return the request that succeeds if a queue, topic, bus or bucket exists; None for other kinds of ARNs."""
    *_, account, name = arn.split(":")
    match service_of(arn):
        case "sqs":
            asked = {"QueueName": name, "QueueOwnerAWSAccountId": account}
            return _json("sqs", "AmazonSQS.GetQueueUrl", "", arn, asked)
        case "sns":
            form = {"Action": "GetTopicAttributes", "Version": _SNS_VERSION, "TopicArn": arn}
            return Request("sns", "", arn, "/", urlencode(form).encode(), dict(_FORM))
        case "events":
            return _json("events", "AWSEvents.DescribeEventBus", "", arn, {"Name": arn.rpartition("event-bus/")[2]})
        case "s3":
            return Request("s3", "", arn, f"/{quote(_bucket(arn))}?location", b"", method="GET")
    return None


def permission_for(arn: str) -> tuple[str, str]:
    """Return the action that a function's role needs to send something to an ARN, and the resource of that action."""
    actions = {
        "sqs": "sqs:SendMessage",
        "sns": "sns:Publish",
        "events": "events:PutEvents",
        "s3": "s3:PutObject",
        "lambda": "lambda:InvokeFunction",
    }
    service = service_of(arn)
    return actions[service], f"{arn}/*" if service == "s3" else arn


def refusal(request: Request, answer: HttpAnswer) -> str:
    """Return why a service did not accept a request; empty if it did."""
    if answer.status >= HTTPStatus.MULTIPLE_CHOICES:
        return f"HTTP {answer.status}: {answer.body[:_SHOWN_BYTES].decode(errors='replace')}"
    # EventBridge reports entries that it did not take in an answer with the status 200.
    taken = request.service != "events" or b'"ErrorCode"' not in answer.body
    return "" if taken else answer.body[:_SHOWN_BYTES].decode(errors="replace")


def _bucket(arn: str) -> str:
    return arn.rpartition(":")[2]


def _json(service: str, target: str, action: str, arn: str, content: Mapping[str, object]) -> Request:
    version = "1.0" if service == "sqs" else "1.1"
    headers = {"Content-Type": f"application/x-amz-json-{version}", "X-Amz-Target": target}
    return Request(service, action, arn, "/", msgspec.json.encode(content), headers)

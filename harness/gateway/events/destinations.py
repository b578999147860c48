"""What follows the end of an event: a record of it for a destination, and the event itself for a dead-letter queue.

    on success, on failure  ->  a record to an SQS queue, an SNS topic, an EventBridge bus, an S3 bucket or a function
    on failure              ->  the event to the dead-letter queue: an SQS queue or an SNS topic

https://docs.aws.amazon.com/lambda/latest/dg/invocation-async-retain-records.html
The function's role has to allow each of these calls, as on AWS.
"""

import logging
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Literal
from urllib.parse import urlsplit

import msgspec

from harness.gateway.answers import Answer
from harness.gateway.connection import HttpAnswer, HttpConnection
from harness.gateway.errors import LambdaApiError
from harness.gateway.events.targets import (
    Request,
    permission_for,
    refusal,
    service_of,
    to_bucket,
    to_bus,
    to_find,
    to_queue,
    to_topic,
)
from harness.gateway.payloads import embedded, error_object
from harness.gateway.permissions import Permissions
from harness.guard import authorization

logger = logging.getLogger(__name__)

SENT_WITHIN_S = 30.0
# Above this, a topic gets the record without payloads: https://docs.aws.amazon.com/lambda/latest/api/API_OnFailure.html
TOPIC_BYTES = 262_144
# https://docs.aws.amazon.com/lambda/latest/dg/invocation-async-retain-records.html#invocation-dlq
ERROR_MESSAGE_BYTES = 1024

Condition = Literal["Success", "RetriesExhausted", "EventAgeExceeded", "ZeroReservedConcurrency"]
# AWS's names of the metrics that count what could not be sent.
Metric = Literal["DeadLetterErrors", "DestinationDeliveryFailures"]


def _uncounted(_function: str, _metric: Metric) -> None:
    """Count nothing."""


@dataclass(frozen=True)
class EndedEvent:
    """An event that has ended.

    Attributes:
        request_id: The request's id.
        function: The function's name.
        role: ARN of the function's role.
        arn: ARN of the invoked function, with the qualifier.
        condition: How it ended.
        tries: How often it ran.
        payload: JSON.
        version: The version that ran.
        answer: The last answer; None if the event never ran.
        trace: X-Ray's trace id of the event.
        lineage: The chain of functions that led to it, first caller first.
    """

    request_id: str
    function: str
    role: str
    arn: str
    condition: Condition
    tries: int
    payload: bytes
    version: str
    answer: Answer | None
    trace: str = ""
    lineage: tuple[str, ...] = ()


class Destinations:
    """Sends what follows the ends of events to the services of the stack.

    Args:
        endpoint: Address of SQS, SNS and EventBridge.
        s3_endpoint: Address of S3.
        access_key: The stack's own access key.
        permissions: The permissions of the functions' roles.
        tell: Takes a function's name and a line for whoever watches the function.
        count: Takes a function's name and the metric of something that could not be sent.
    """

    def __init__(
        self,
        endpoint: str,
        s3_endpoint: str,
        access_key: str,
        permissions: Permissions,
        tell: Callable[[str, str], None],
        count: Callable[[str, Metric], None] = _uncounted,
    ) -> None:
        self._endpoint, self._s3_endpoint, self._key = endpoint, s3_endpoint, access_key
        self._permissions = permissions
        self._tell, self._count = tell, count

    async def send_record(self, arn: str, ended: EndedEvent) -> None:
        """Send the record of an event's end to a destination that is not a function; report what cannot be sent."""
        await self._send(record_request(self._endpoint, arn, ended), arn, ended, "DestinationDeliveryFailures")

    async def send_dead_letter(self, arn: str, ended: EndedEvent) -> None:
        """Send a failed event to a dead-letter queue; report what cannot be sent."""
        await self._send(dead_letter_request(self._endpoint, arn, ended), arn, ended, "DeadLetterErrors")

    async def may_send(self, arn: str, function: str, role: str) -> bool:
        """Return whether a function's role allows to send something to a destination.

        Raises:
            LambdaApiError: IAM does not answer.
        """
        return await self._permissions.allows(function, role, *permission_for(arn))

    async def exists(self, arn: str) -> bool:
        """Return whether a queue, topic, bus or bucket exists.

        Raises:
            LambdaApiError: The service does not answer.
        """
        request = to_find(arn)
        if request is None:
            return False
        try:
            return not refusal(request, await self._answer(request))
        except (OSError, TimeoutError) as error:
            raise LambdaApiError("ServiceException", 500, f"{request.service} does not answer: {error}") from error

    def report(self, arn: str, ended: EndedEvent, metric: Metric, why: str) -> None:
        """Report that something did not reach its destination: in the gateway's log, to watchers, and as a metric."""
        what = "The event" if metric == "DeadLetterErrors" else "The record of event"
        line = f"{what} {ended.request_id} of {ended.function} did not reach {arn}: {why}"
        logger.error("%s (%s)", line, metric)
        self._tell(ended.function, line)
        self._count(ended.function, metric)

    async def _send(self, request: Request | None, arn: str, ended: EndedEvent, metric: Metric) -> None:
        if request is None:
            self.report(arn, ended, metric, "Lambda sends nothing to this kind of resource")
            return
        try:
            if not await self._permissions.allows(ended.function, ended.role, request.action, request.resource):
                why = f"the role {ended.role} does not allow {request.action}"
            else:
                why = refusal(request, await self._answer(request))
        except (OSError, TimeoutError, LambdaApiError) as error:
            why = str(error) or type(error).__name__
        if why:
            self.report(arn, ended, metric, why)

    async def _answer(self, request: Request) -> HttpAnswer:
        connection = HttpConnection(urlsplit(self._s3_endpoint if request.service == "s3" else self._endpoint).netloc)
        # As for the logs: the signature is not checked, and boto3 would cost the gateway 20 MB.
        headers = authorization(self._key, request.service) | request.headers
        try:
            return await connection.request(request.method, request.path, request.body, headers, SENT_WITHIN_S)
        finally:
            connection.close()


def record_request(endpoint: str, arn: str, ended: EndedEvent) -> Request | None:
    """Return the request that sends a record to a destination; None if nothing can be sent to it."""
    content = record(ended)
    match service_of(arn):
        case "sqs":
            return to_queue(endpoint, arn, content.decode(), {}, ended.trace)
        case "sns":
            if len(content) > TOPIC_BYTES:
                content = record(ended, payloads=False)
            return to_topic(arn, content.decode(), {})
        case "events":
            return to_bus(arn, content.decode(), ended.arn, succeeded=ended.condition == "Success")
        case "s3":
            return to_bucket(arn, content, ended.function)
    return None


def dead_letter_request(endpoint: str, arn: str, ended: EndedEvent) -> Request | None:
    """Return the request that sends an event to a dead-letter queue; None if nothing can be sent to it."""
    if ended.answer is None:
        # What AWS writes for an event that never ran is not documented: this is the refusal of the attempt to run it.
        code, message = "429", "Rate Exceeded."
    else:
        error = error_object(ended.answer.payload) or {}
        code, message = "200", str(error.get("errorMessage") or error.get("errorType") or "")
    shortened = message.encode()[:ERROR_MESSAGE_BYTES].decode(errors="ignore")
    attributes = {
        "RequestID": ("String", ended.request_id),
        "ErrorCode": ("Number", code),
        # An attribute must not be empty.
        "ErrorMessage": ("String", shortened or "Unknown"),
    }
    match service_of(arn):
        case "sqs":
            return to_queue(endpoint, arn, ended.payload.decode(), attributes, ended.trace)
        case "sns":
            return to_topic(arn, ended.payload.decode(), attributes)
    return None


def record(ended: EndedEvent, *, payloads: bool = True) -> bytes:
    """Return the record as JSON in AWS's form; an answer that is not JSON becomes a string in it."""
    fields: dict[str, object] = {
        "version": "1.0",
        "timestamp": f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%S.%f}"[:-3] + "Z",
        "requestContext": {
            "requestId": ended.request_id,
            "functionArn": ended.arn,
            "condition": ended.condition,
            "approximateInvokeCount": ended.tries,
        },
    }
    if payloads:
        fields["requestPayload"] = embedded(ended.payload)
    if ended.answer is not None:
        context: dict[str, object] = {"statusCode": 200, "executedVersion": ended.version}
        if ended.answer.error:
            context["functionError"] = ended.answer.error
        fields["responseContext"] = context
        if payloads:
            fields["responsePayload"] = embedded(ended.answer.payload)
    return msgspec.json.encode(fields)

"""Destinations of asynchronous invocations: queues that receive a record of each event's outcome.

https://docs.aws.amazon.com/lambda/latest/dg/invocation-async-retain-records.html
"""

import logging
from dataclasses import dataclass
from datetime import UTC, datetime
from http import HTTPStatus
from typing import Literal
from urllib.parse import urlsplit

import msgspec

from harness.gateway.connection import HttpConnection
from harness.gateway.environment import Answer
from harness.gateway.payloads import embedded
from harness.guard import authorization

logger = logging.getLogger(__name__)

SENT_WITHIN_S = 30.0
# https://docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference/API_SendMessage.html
TARGET = "AmazonSQS.SendMessage"

Condition = Literal["Success", "RetriesExhausted", "EventAgeExceeded"]


@dataclass(frozen=True)
class EndedEvent:
    """An event that has ended.

    Attributes:
        request_id: The request's id.
        arn: ARN of the invoked function, with the qualifier.
        condition: How it ended.
        tries: How often it ran.
        payload: JSON.
        version: The version that ran.
        answer: The last answer; None if the event never ran.
    """

    request_id: str
    arn: str
    condition: Condition
    tries: int
    payload: bytes
    version: str
    answer: Answer | None


class Destinations:
    """Sends records to the emulation of SQS.

    Args:
        endpoint: Address of the service.
        access_key: The stack's own access key.
    """

    def __init__(self, endpoint: str, access_key: str) -> None:
        self._endpoint = endpoint
        # As for the logs: the signature is not checked, and boto3 would cost the gateway 20 MB.
        self._headers = {
            **authorization(access_key, "sqs"),
            "Content-Type": "application/x-amz-json-1.0",
            "X-Amz-Target": TARGET,
        }

    async def send(self, queue: str, ended: EndedEvent) -> None:
        """Send a record; log one that cannot be sent, as CloudWatch would show it on AWS."""
        *_, account, name = queue.split(":")
        message = {"QueueUrl": f"{self._endpoint}/{account}/{name}", "MessageBody": record(ended).decode()}
        connection = HttpConnection(urlsplit(self._endpoint).netloc)
        try:
            answer = await connection.post("/", msgspec.json.encode(message), self._headers, SENT_WITHIN_S)
        except (OSError, TimeoutError):
            logger.exception("the record of event %s did not reach %s", ended.request_id, queue)
            return
        finally:
            connection.close()
        if answer.status != HTTPStatus.OK:
            cause = answer.body[:200].decode(errors="replace")
            logger.error("the record of event %s did not reach %s: %s", ended.request_id, queue, cause)


def record(ended: EndedEvent) -> bytes:
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
        "requestPayload": embedded(ended.payload),
    }
    if ended.answer is not None:
        context: dict[str, object] = {"statusCode": 200, "executedVersion": ended.version}
        if ended.answer.error:
            context["functionError"] = ended.answer.error
        fields |= {"responseContext": context, "responsePayload": embedded(ended.answer.payload)}
    return msgspec.json.encode(fields)

"""Queues of SQS, as the Lambda service uses them: messages are received and deleted, and attributes read.

https://docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference/Welcome.html
"""

from http import HTTPStatus
from typing import Any
from urllib.parse import urlsplit

import msgspec

from harness.gateway.connection import HttpConnection
from harness.gateway.errors import LambdaApiError, invalid_parameter
from harness.guard import authorization

_ANSWERS_WITHIN_S = 30.0


class Message(msgspec.Struct, frozen=True, rename="pascal"):
    """A received message."""

    id: str = msgspec.field(name="MessageId")
    receipt: str = msgspec.field(name="ReceiptHandle")
    body: str = ""
    md5: str = msgspec.field(name="MD5OfBody", default="")
    attributes: dict[str, str] = {}
    message_attributes: dict[str, dict[str, Any]] = {}
    attributes_md5: str | None = msgspec.field(name="MD5OfMessageAttributes", default=None)


class _Received(msgspec.Struct, rename="pascal"):
    messages: list[Message] = []


class _Attributes(msgspec.Struct, rename="pascal"):
    attributes: dict[str, str] = {}


class _Failure(msgspec.Struct):
    type: str = msgspec.field(name="__type", default="")
    message: str = ""


class Queues:
    """The stack's queues.

    Args:
        endpoint: Address of SQS.
        access_key: The stack's own access key.
    """

    def __init__(self, endpoint: str, access_key: str) -> None:
        self._endpoint, self._key = endpoint, access_key

    async def receive(self, arn: str, most: int) -> list[Message]:
        """Return up to so many messages that are in a queue now; they stay there, unseen, until they are deleted."""
        asked = {
            "MaxNumberOfMessages": most,
            "WaitTimeSeconds": 0,
            "AttributeNames": ["All"],
            "MessageAttributeNames": ["All"],
        }
        return msgspec.json.decode(await self._ask("ReceiveMessage", arn, asked), type=_Received).messages

    async def delete(self, arn: str, messages: list[Message]) -> None:
        """Delete received messages."""
        for start in range(0, len(messages), 10):
            entries = [
                {"Id": str(number), "ReceiptHandle": message.receipt}
                for number, message in enumerate(messages[start : start + 10])
            ]
            await self._ask("DeleteMessageBatch", arn, {"Entries": entries})

    async def visibility_timeout_s(self, arn: str) -> int:
        """Return how long received messages stay unseen; refuse a queue that does not exist, as AWS does."""
        asked = {"AttributeNames": ["VisibilityTimeout"]}
        answer = msgspec.json.decode(await self._ask("GetQueueAttributes", arn, asked), type=_Attributes)
        return int(answer.attributes.get("VisibilityTimeout", 30))

    async def _ask(self, action: str, arn: str, asked: dict[str, Any]) -> bytes:
        *_, account, name = arn.split(":")
        # As for the logs: the signature is not checked, and boto3 would cost the gateway 20 MB.
        headers = authorization(self._key, "sqs") | {
            "Content-Type": "application/x-amz-json-1.0",
            "X-Amz-Target": f"AmazonSQS.{action}",
        }
        content = msgspec.json.encode({"QueueUrl": f"{self._endpoint}/{account}/{name}", **asked})
        connection = HttpConnection(urlsplit(self._endpoint).netloc)
        try:
            answer = await connection.post("/", content, headers, _ANSWERS_WITHIN_S)
        except (OSError, TimeoutError) as error:
            raise LambdaApiError("ServiceException", 500, f"SQS does not answer: {error}") from error
        finally:
            connection.close()
        if answer.status == HTTPStatus.OK:
            return answer.body
        raise _refusal(answer.body)


def _refusal(body: bytes) -> LambdaApiError:
    try:
        failure = msgspec.json.decode(body, type=_Failure)
    except msgspec.DecodeError:
        failure = _Failure(message=body[:200].decode(errors="replace"))
    code = failure.type.rpartition("#")[2]
    if code in {"QueueDoesNotExist", "AWS.SimpleQueueService.NonExistentQueue"}:
        code, message = "AWS.SimpleQueueService.NonExistentQueue", "The specified queue does not exist."
    else:
        message = failure.message
    return invalid_parameter(
        f"Error occurred while ReceiveMessage. SQS Error Code: {code}. SQS Error Message: {message}"
    )

"""One invocation of any function."""

import base64
from dataclasses import dataclass
from typing import TYPE_CHECKING

import msgspec
from botocore.exceptions import BotoCoreError, ClientError

from harness.aws.errors import to_harness_error
from harness.errors import HarnessError
from harness.gateway.payloads import read_json

if TYPE_CHECKING:
    from mypy_boto3_lambda import LambdaClient


@dataclass(frozen=True, slots=True)
class InvocationAnswer:
    """The answer of an invocation.

    Attributes:
        payload: The function's answer or its error; for an event, its request id.
        error: Whether the function failed.
        log: The last 4 KB of its log; empty for an event.
    """

    payload: bytes
    error: bool
    log: str


def foreign_cache(event: bytes, cache: str) -> str:
    """Return the Memcached that an event names if it is not the given one, else an empty string.

    Args:
        event: JSON, possibly of a job.
        cache: `host:port` of the stack's Memcached, as functions see it.
    """
    try:
        job = msgspec.json.decode(event, type=_Cache)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return ""
    named = f"{job.host}:{job.port}"
    return "" if named == cache else named


class _Cache(msgspec.Struct):
    host: str
    port: int


def check_event(event: bytes, origin: str) -> None:
    """Check that an event is JSON as Lambda reads it, before anything is made for its sake.

    Args:
        event: The event; nothing stands for the empty object.
        origin: Where it comes from, such as `--event event.json`.

    Raises:
        HarnessError: It is not JSON.
    """
    try:
        read_json(event or b"{}")
    except ValueError as error:
        raise HarnessError(
            f"{origin}: the event is not JSON",
            f"Lambda cannot parse request body into json: {error}",
            'write it as JSON in UTF-8, such as {"name": "you"}',
        ) from error


def invoke(client: "LambdaClient", function: str, event: bytes, *, asynchronous: bool) -> InvocationAnswer:
    """Invoke a function.

    Raises:
        HarnessError: Lambda refused the call; the message quotes it.
    """
    try:
        if asynchronous:
            queued = client.invoke(FunctionName=function, InvocationType="Event", Payload=event)
            request = {"request_id": queued["ResponseMetadata"]["RequestId"]}
            return InvocationAnswer(msgspec.json.encode(request), error=False, log="")
        answer = client.invoke(FunctionName=function, LogType="Tail", Payload=event)
    except ClientError as error:
        raise HarnessError(str(error), f"function {function}") from error
    except BotoCoreError as error:
        raise to_harness_error(f"invoking {function}", error) from error
    return InvocationAnswer(
        payload=answer["Payload"].read(),
        error=bool(answer.get("FunctionError")),
        log=base64.b64decode(answer.get("LogResult", "")).decode(errors="replace"),
    )

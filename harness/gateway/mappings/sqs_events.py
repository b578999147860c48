"""Batches of messages as events, and functions' answers that name the messages that failed.

https://docs.aws.amazon.com/lambda/latest/dg/with-sqs.html
"""

import json
from collections.abc import Sequence
from typing import Any

import msgspec

from harness.gateway import limits
from harness.gateway.mappings.patterns import Pattern, matches
from harness.gateway.mappings.queues import Message


class _Item(msgspec.Struct, rename="camel"):
    item_identifier: str


class _Report(msgspec.Struct, rename="camel"):
    batch_item_failures: list[_Item] | None = None


def event_of(batch: list[Message], queue: str, *, windowed: bool) -> bytes:
    """Return the event of a batch, as JSON.

    Args:
        batch: The messages.
        queue: ARN of their queue.
        windowed: Whether the batch has waited for messages; AWS then writes a digest of no attributes as null.
    """
    return msgspec.json.encode({"Records": [_record(message, queue, windowed=windowed) for message in batch]})


def is_wanted(message: Message, queue: str, patterns: Sequence[Pattern]) -> bool:
    """Return whether a message has what one of the patterns asks for; without patterns, every message is wanted."""
    if not patterns:
        return True
    record = _record(message, queue, windowed=False)
    decoded = {**record, "body": _json(message.body)}
    return any(matches(pattern, decoded if isinstance(pattern.get("body"), dict) else record) for pattern in patterns)


def failed_in(answer: bytes, batch: list[Message]) -> set[str]:
    """Return the ids of the messages that a function's answer names as failed; all if AWS would not understand it.

    https://docs.aws.amazon.com/lambda/latest/dg/services-sqs-errorhandling.html#services-sqs-batchfailurereporting
    """
    every = {message.id for message in batch}
    try:
        report = msgspec.json.decode(answer, type=_Report | None)
    except (msgspec.DecodeError, RecursionError):
        return every
    failed = {item.item_identifier for item in (report.batch_item_failures if report else None) or ()}
    return failed if failed.issubset(every) else every


def _record(message: Message, queue: str, *, windowed: bool) -> dict[str, Any]:
    record: dict[str, Any] = {
        "messageId": message.id,
        "receiptHandle": message.receipt,
        "body": message.body,
        "attributes": message.attributes,
        "messageAttributes": {name: _attribute(one) for name, one in message.message_attributes.items()},
        "md5OfBody": message.md5,
        "eventSource": "aws:sqs",
        "eventSourceARN": queue,
        "awsRegion": limits.REGION,
    }
    if message.attributes_md5 is not None or windowed:
        record["md5OfMessageAttributes"] = message.attributes_md5
    return record


def _json(text: str) -> Any:  # noqa: ANN401 - JSON
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None


def _attribute(attribute: dict[str, Any]) -> dict[str, Any]:
    values = {name[:1].lower() + name[1:]: value for name, value in attribute.items()}
    return {"stringListValues": [], "binaryListValues": [], **values}

"""Payloads of callers and functions: JSON as AWS reads it, and the few structures in it that have a meaning.

A function may answer with any bytes, so these functions accept any bytes without failing.
"""

import base64
import binascii
import json
from typing import Any, NoReturn

import msgspec


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"Unexpected token '{name}': JSON has no such number")


_DECODER = json.JSONDecoder(parse_constant=_refuse_constant)


def read_json(content: bytes) -> Any:  # noqa: ANN401 - any JSON
    """Return the value of a JSON text.

    Unlike Python's own reader, this one refuses `NaN` and `Infinity`, UTF-16, and text that is nested too deeply.

    Raises:
        ValueError: The content is not JSON in UTF-8.
    """
    try:
        return _DECODER.decode(content.decode())
    except RecursionError:
        raise ValueError("the document is nested too deeply") from None


def is_client_context(header: str) -> bool:
    """Return whether Lambda accepts a client context: a JSON object in Base64."""
    try:
        return isinstance(read_json(base64.b64decode(header, validate=True)), dict)
    except (ValueError, binascii.Error):
        return False


def error_object(body: bytes) -> dict[str, Any] | None:
    """Return the error that a runtime reported, an object with `errorType`; None if the body is not one."""
    try:
        content = read_json(body)
    except ValueError:
        return None
    return content if isinstance(content, dict) and isinstance(content.get("errorType"), str) else None


def raised_by_runtime(body: bytes, request_id: str) -> bool:
    """Return whether an answer has the structure that the runtime gives to an exception of this very invocation."""
    if not body.startswith(b'{"errorMessage"'):
        return False
    content = error_object(body)
    keys = {"errorMessage", "errorType", "requestId", "stackTrace"}
    return content is not None and content.keys() == keys and content["requestId"] == request_id


def embedded(body: bytes) -> Any:  # noqa: ANN401 - whatever msgspec encodes
    """Return a payload as a value for a JSON document: as it is, or as a string if it is not JSON."""
    if not body:
        return None
    try:
        read_json(body)
    except ValueError:
        return body.decode(errors="replace")
    return msgspec.Raw(body)

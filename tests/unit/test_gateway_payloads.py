"""Payloads of callers and functions, as AWS reads them."""

import base64
import json

import pytest

from harness.gateway.answers import Answer
from harness.gateway.events.destinations import EndedEvent, record
from harness.gateway.payloads import error_object, is_client_context, raised_by_runtime, read_json

RAISED = {"errorMessage": "m", "errorType": "T", "requestId": "an-id", "stackTrace": []}


@pytest.mark.parametrize(
    "payload",
    [
        b'{"loss": NaN}',
        b"[Infinity]",
        b"-Infinity",
        b"\xff",
        b'"\xed\xa0\x80"',
        "{}".encode("utf-16"),
        pytest.param(b"[" * 100_000 + b"]" * 100_000, id="deep"),
        b"",
        b"{} {}",
    ],
)
def test_what_is_no_json_in_utf_8_is_refused(payload):
    """Python's own reader would accept some of these."""
    with pytest.raises(ValueError):  # noqa: PT011 - the message is Python's
        read_json(payload)


@pytest.mark.parametrize("payload", [b'{"a": 1, "a": 2}', b'"\\ud800"', b" 1e999 ", b"[" * 300 + b"]" * 300, b"-0"])
def test_odd_json_is_json(payload):
    """Duplicate keys, lone surrogates in escapes, and numbers beyond floats are accepted."""
    read_json(payload)


@pytest.mark.parametrize(
    ("context", "fits"),
    [(b"{}", True), (b'{"custom": {"a": 1}}', True), (b"[]", False), (b"nonsense", False), (b"\xff", False)],
)
def test_a_client_context_is_an_object(context, fits):
    """Lambda refuses anything else."""
    assert fits == is_client_context(base64.b64encode(context).decode())


@pytest.mark.parametrize("header", ["?", "e30", "e3 0=", "é"])
def test_a_client_context_is_in_base64(header):
    """Missing padding makes it invalid."""
    assert not is_client_context(header)


@pytest.mark.parametrize(
    "body", [b'["errorType"]', b'"errorType"', b'{"errorType": 5}', b'{"errorMessage"', b"\xff", b"", b"null"]
)
def test_a_body_without_an_errors_type_tells_nothing(body):
    """Such a body is no error, whether the runtime or a handler posted it."""
    assert error_object(body) is None
    assert not raised_by_runtime(body, "an-id")


def test_an_error_is_this_invocations_own():
    """A handler may return the error of another invocation, or half of one."""
    assert raised_by_runtime(json.dumps(RAISED).encode(), "an-id")
    assert not raised_by_runtime(json.dumps(RAISED).encode(), "another")
    assert not raised_by_runtime(json.dumps(RAISED | {"more": 1}).encode(), "an-id")


@pytest.mark.parametrize(
    ("payload", "shown"),
    [(b'{"a": [1]}', {"a": [1]}), (b"\xff\x80", "\ufffd\ufffd"), (b"[NaN]", "[NaN]"), (b"", None), (b'{"e"', '{"e"')],
)
def test_a_record_holds_any_answer(payload, shown):
    """An answer that is not JSON becomes a string."""
    ended = EndedEvent("an-id", "f", "a-role", "an-arn", "Success", 1, b'{"in": "\\ud800"}', "$LATEST", Answer(payload))

    content = json.loads(record(ended))

    assert (shown, {"in": "\ud800"}) == (content["responsePayload"], content["requestPayload"])

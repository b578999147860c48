"""The Lambda service's own records of a run's invocations; only a stack on this machine has them."""

import http.client
from collections.abc import Collection
from typing import Any
from urllib.parse import urlsplit

import msgspec

from harness.gateway.observation import INVOCATIONS
from harness.guard import authorization
from harness.stack.state import StackState

ANSWER_WITHIN_S = 5.0
# The states of an attempt that has not ended, and those of one that waits for Lambda to try it again.
UNDER_WAY = frozenset({"queued", "running", "waiting", "throttled"})
PUT_OFF = frozenset({"waiting", "throttled"})


def invocation_records(stack: StackState | None, requests: Collection[str]) -> list[dict[str, Any]]:
    """Return the records of these invocations, the oldest first, whole; none where nobody has them.

    Args:
        stack: The stack; None on AWS.
        requests: The invocations' request ids.
    """
    numbers = [record["number"] for record in _records(stack, "?brief=1") or [] if record["request_id"] in requests]
    if not numbers:
        return []
    # Records of other runs may be large.
    whole = _records(stack, f"?since={min(numbers) - 1}") or []
    return [record for record in whole if record["request_id"] in requests]


def states_of(stack: StackState | None, requests: Collection[str]) -> set[str] | None:
    """Return the states of these invocations' attempts; None where nobody can tell."""
    records = _records(stack, "?brief=1")
    if records is None:
        return None
    return {str(record["state"]) for record in records if record["request_id"] in requests}


def _records(stack: StackState | None, query: str) -> list[dict[str, Any]] | None:
    """Return records of the gateway; None if it does not answer."""
    if stack is None:
        return None
    address = urlsplit(stack.endpoints.lambda_)
    connection = http.client.HTTPConnection(address.hostname or "", address.port or 80, timeout=ANSWER_WITHIN_S)
    try:
        connection.request("GET", INVOCATIONS + query, headers=authorization(stack.endpoints.access_key))
        answer = connection.getresponse()
        body = answer.read()
        return msgspec.json.decode(body, type=list[dict[str, Any]]) if answer.status == http.client.OK else None
    except (OSError, http.client.HTTPException, msgspec.MsgspecError):
        return None
    finally:
        connection.close()

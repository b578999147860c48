"""The final state of a play: what the services hold, and which functions were invoked."""

import http.client
from collections.abc import Sequence
from http import HTTPStatus
from urllib.parse import urlsplit

import msgspec

from harness.errors import HarnessError
from harness.explore.comparing import Entry, normalised
from harness.explore.records import CallRecord
from harness.explore.rules import Rules
from harness.guard import authorization
from harness.stack.state import Endpoints

CONTENT_ROUTE = "/_harness/content"
ANSWER_WITHIN_S = 30.0


def final_state(endpoints: Endpoints, calls: Sequence[CallRecord], rules: Rules) -> list[Entry]:
    """Return the state as it is compared.

    Args:
        endpoints: The addresses of the services.
        calls: The calls of the play.
        rules: What does not count.

    Raises:
        HarnessError: The services do not answer.
    """
    return normalised([*_content(endpoints), *_invocations(calls)], rules)


def _content(endpoints: Endpoints) -> list[Entry]:
    address = urlsplit(endpoints.aws).netloc
    connection = http.client.HTTPConnection(address, timeout=ANSWER_WITHIN_S)
    try:
        connection.request("GET", CONTENT_ROUTE, headers=authorization(endpoints.access_key))
        answer = connection.getresponse()
        content = answer.read()
    except (OSError, http.client.HTTPException) as error:
        raise HarnessError(f"the services do not answer: {error!r}", address, "run the exploration again") from error
    finally:
        connection.close()
    if answer.status != HTTPStatus.OK:
        raise HarnessError(f"the services do not show their content: {answer.status} {content[:200]!r}", address)
    return msgspec.json.decode(content, type=list[Entry])


def _invocations(calls: Sequence[CallRecord]) -> list[Entry]:
    """Return the invocations of other functions, equal ones once.

    A function has to expect the same invocation twice; what it does then is in the state of the other services.
    """
    made = [
        (f"lambda://{call.target or 'function'}", call.request)
        for call in calls
        if call.service == "lambda" and call.operation.startswith("Invoke") and call.effect
    ]
    return list(dict.fromkeys(made))

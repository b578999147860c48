"""Calls to the stack's own control routes, below /_harness/."""

from collections.abc import Mapping
from http import HTTPStatus
from http.client import HTTPConnection, HTTPException
from urllib.parse import urlencode, urlsplit

import msgspec

from harness.errors import HarnessError
from harness.guard import authorization
from harness.stack.state import Endpoints

ANSWERS_WITHIN_S = 30.0


class Control:
    """The control routes of the gateway and of moto.

    Args:
        endpoints: The stack's addresses.
    """

    def __init__(self, endpoints: Endpoints) -> None:
        self._headers = authorization(endpoints.access_key)
        self._gateway, self._aws = endpoints.lambda_, endpoints.aws

    def reset(self, **settings: object) -> None:
        """Reset the Lambda service, then, when no function is left that could call them, the others."""
        self.call("POST", "reset", settings)
        self._send("POST", f"{self._aws}/_harness/reset", None)

    def call(
        self,
        method: str,
        path: str,
        content: object = None,
        *,
        within_s: float = ANSWERS_WITHIN_S,
        query: Mapping[str, object] | None = None,
    ) -> bytes:
        """Call a route of the gateway; return the answer's body."""
        return self._send(method, f"{self._gateway}/_harness/{path}", content, query, within_s)

    def set_aws_faults(self, plan: object) -> None:
        """Replace the faults of AWS's services other than Lambda."""
        self._send("PUT", f"{self._aws}/_harness/faults", plan)

    def _send(
        self,
        method: str,
        url: str,
        content: object,
        query: Mapping[str, object] | None = None,
        within_s: float = ANSWERS_WITHIN_S,
    ) -> bytes:
        body = b"" if content is None else msgspec.json.encode(content)
        parts = urlsplit(url)
        path = parts.path + (f"?{urlencode(query)}" if query else "")
        # A connection for each call: the services close idle ones. Unlike other clients, this one logs nothing that
        # a test's `caplog` would see.
        connection = HTTPConnection(parts.netloc, timeout=within_s)
        try:
            connection.request(method, path, body, self._headers)
            answer = connection.getresponse()
            received = answer.read()
        except (OSError, HTTPException) as error:
            raise HarnessError(
                "the stack of lambda_stack does not answer",
                f"{method} {url}: {error}",
                "did something kill its processes?",
            ) from error
        finally:
            connection.close()
        if answer.status >= HTTPStatus.BAD_REQUEST:
            raise HarnessError(_message(received), f"{method} {url}: {answer.status}")
        return received


def _message(answer: bytes) -> str:
    try:
        body = msgspec.json.decode(answer)
        return str(body.get("message") or body["Message"])
    except (msgspec.DecodeError, KeyError, TypeError, AttributeError):
        return answer[:400].decode(errors="replace")

"""Calls to the stack's own control routes, below /_harness/."""

from collections.abc import Mapping

import httpx
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
        headers = authorization(endpoints.access_key)
        transport = httpx.HTTPTransport()  # no proxy of the user's
        self._client = httpx.Client(headers=headers, timeout=ANSWERS_WITHIN_S, transport=transport, trust_env=False)
        self._gateway, self._aws = endpoints.lambda_, endpoints.aws

    def close(self) -> None:
        """Close the connections."""
        self._client.close()

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
        try:
            answer = self._client.request(
                method,
                url,
                content=body,
                params={key: str(value) for key, value in (query or {}).items()},
                timeout=within_s,
            )
        except httpx.HTTPError as error:
            raise HarnessError(
                "the stack of lambda_stack does not answer",
                f"{method} {url}: {error}",
                "did something kill its processes?",
            ) from error
        if answer.is_error:
            raise HarnessError(_message(answer), f"{method} {url}: {answer.status_code}")
        return answer.content


def _message(answer: httpx.Response) -> str:
    try:
        return str(msgspec.json.decode(answer.content)["Message"])
    except (msgspec.DecodeError, KeyError, TypeError):
        return answer.text[:400]

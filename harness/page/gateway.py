"""The gateway of a stack as the page uses it: what the development loop asks, and the lists that the page shows."""

import json
from http import HTTPStatus
from typing import Any
from urllib.parse import quote

import httpx
import msgspec

from harness.develop.gateway_client import CONNECT_WITHIN_S, GatewayClient
from harness.errors import HarnessError
from harness.gateway.attempts import InvocationRecord
from harness.gateway.observation import ENVIRONMENTS, INVOCATIONS, METRICS
from harness.gateway.pool import EnvironmentState

# httpx raises the latter for a client that was closed, because its stack has gone in between.
_FAILURES = (httpx.HTTPError, RuntimeError)
FUNCTIONS = "/2015-03-31/functions/"


class FunctionEntry(msgspec.Struct, frozen=True, rename="pascal"):
    """A function, as the Lambda API lists it."""

    function_name: str
    version: str = ""
    memory_size: int = 0
    timeout: int = 0


class _Functions(msgspec.Struct, frozen=True, rename="pascal"):
    functions: list[FunctionEntry]
    next_marker: str | None = None


class _Environments(msgspec.Struct, frozen=True):
    each: list[EnvironmentState]


class PageGateway(GatewayClient):
    """Calls to the gateway of a stack."""

    async def invocations(self) -> list[InvocationRecord]:
        """Return the kept invocations, without payloads and answers, the oldest first.

        Raises:
            HarnessError: The gateway does not answer.
        """
        return msgspec.json.decode(await self._get(f"{INVOCATIONS}?brief=1"), type=list[InvocationRecord])

    async def invocation(self, number: int) -> InvocationRecord | None:
        """Return an invocation with its payload and its answer; None if it is not kept any more.

        Raises:
            HarnessError: The gateway does not answer.
        """
        content = await self._get(f"{INVOCATIONS}/{number}", absent=b"")
        return msgspec.json.decode(content, type=InvocationRecord) if content else None

    async def environments(self) -> list[EnvironmentState]:
        """Return all environments.

        Raises:
            HarnessError: The gateway does not answer.
        """
        return msgspec.json.decode(await self._get(ENVIRONMENTS), type=_Environments).each

    async def functions(self) -> list[FunctionEntry]:
        """Return all functions, each with its version `$LATEST`.

        Raises:
            HarnessError: The gateway does not answer.
        """
        found: list[FunctionEntry] = []
        marker: str | None = ""
        while marker is not None:
            more = f"&Marker={quote(marker)}" if marker else ""
            page = msgspec.json.decode(await self._get(f"{FUNCTIONS}?MaxItems=50{more}"), type=_Functions)
            found += page.functions
            marker = page.next_marker or None
        return found

    async def metrics(self) -> bytes:
        """Return the gateway's figures in Prometheus's text format.

        Raises:
            HarnessError: The gateway does not answer.
        """
        return await self._get(METRICS)

    async def send(self, function: str, payload: bytes, *, event: bool) -> dict[str, Any]:
        """Invoke a function; wait for its answer unless it is an event.

        Args:
            function: The function's name; a version or an alias may follow after a colon.
            payload: JSON.
            event: Whether the payload is queued as an event.

        Returns:
            `status`, `request_id`, `function_error` (null if there is none) and `answer`, the answer's text.

        Raises:
            HarnessError: The gateway does not answer.
        """
        headers = {**self._invoke_headers, "X-Amz-Invocation-Type": "Event" if event else "RequestResponse"}
        timeout = httpx.Timeout(None, connect=CONNECT_WITHIN_S)
        path = f"{FUNCTIONS}{quote(function, safe='')}/invocations"
        try:
            answer = await self._client.post(path, content=payload, headers=headers, timeout=timeout)
        except _FAILURES as error:
            raise HarnessError(f"the gateway does not answer: {error}") from error
        return {
            "status": answer.status_code,
            "request_id": answer.headers.get("X-Amzn-RequestId", ""),
            "function_error": answer.headers.get("X-Amz-Function-Error") or answer.headers.get("x-amzn-ErrorType"),
            "answer": answer.text,
        }

    async def _get(self, path: str, absent: bytes | None = None) -> bytes:
        headers = self._headers if path.startswith("/_") else self._invoke_headers
        try:
            answer = await self._client.get(path, headers=headers)
            if answer.status_code == HTTPStatus.NOT_FOUND and absent is not None:
                return absent
            return answer.raise_for_status().content
        except _FAILURES as error:
            raise HarnessError(f"the gateway does not answer: {error}") from error


def encoded_payload(payload: object) -> bytes:
    """Return an event as bytes."""
    return json.dumps(payload).encode()

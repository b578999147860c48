"""The gateway as the development loop uses it: its feed, the last invocations, and invocations again."""

import json
from collections.abc import AsyncGenerator
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

import httpx
import msgspec

from harness.errors import HarnessError
from harness.gateway.attempts import InvocationRecord
from harness.gateway.feed import FEED, FeedCode, FeedLines, FeedRecord, FeedSkipped
from harness.gateway.observation import INVOCATIONS
from harness.guard import authorization
from harness.stack import StackState

CONNECT_WITHIN_S, ANSWER_WITHIN_S = 10.0, 10.0
_RECORD = msgspec.json.Decoder(FeedLines | InvocationRecord | FeedCode | FeedSkipped)
_RECORDS = msgspec.json.Decoder(list[InvocationRecord])


@dataclass(frozen=True, slots=True)
class Answered:
    """The answer to an invocation.

    Attributes:
        payload: The function's answer or its error, or the error of the Lambda service.
        failed: Whether it is an error.
    """

    payload: str
    failed: bool


class GatewayClient:
    """Calls to the gateway of a stack.

    Args:
        stack: The stack.
    """

    def __init__(self, stack: StackState) -> None:
        key = stack.endpoints.access_key
        self._headers, self._invoke_headers = authorization(key), authorization(key, "lambda")
        # The user's proxies and certificates are for other hosts than this one.
        self._client = httpx.AsyncClient(
            base_url=stack.endpoints.lambda_, trust_env=False, timeout=httpx.Timeout(ANSWER_WITHIN_S)
        )

    async def close(self) -> None:
        """Close all connections."""
        await self._client.aclose()

    async def feed(self) -> AsyncGenerator[FeedRecord | None, None]:
        """Yield the feed's records, and None as soon as the gateway knows this listener; end when the gateway ends."""
        timeout = httpx.Timeout(None, connect=CONNECT_WITHIN_S)
        try:
            async with self._client.stream("GET", FEED, headers=self._headers, timeout=timeout) as answer:
                answer.raise_for_status()
                async for line in answer.aiter_lines():
                    yield _RECORD.decode(line) if line else None
        except httpx.HTTPError:
            return

    async def last_invocations(self) -> list[InvocationRecord]:
        """Return the last invocations that have ended with their events, the newest first.

        Raises:
            HarnessError: The gateway does not answer.
        """
        try:
            answer = await self._client.get(INVOCATIONS, headers=self._headers)
            kept = _RECORDS.decode(answer.raise_for_status().content)
            return sorted((one for one in kept if one.ended), key=lambda one: one.ended_at or 0.0, reverse=True)
        except httpx.HTTPError as error:
            raise HarnessError(f"the gateway does not answer: {error}") from error

    async def running(self) -> int:
        """Return how many invocations are running; 0 if the gateway does not answer."""
        try:
            answer = await self._client.get("/_harness/environments", headers=self._headers)
            counts: dict[str, Any] = answer.raise_for_status().json()["environments"]
        except httpx.HTTPError:
            return 0
        return sum(count["busy"] for count in counts.values())

    async def invoke(self, function: str, payload: str) -> Answered:
        """Invoke a function and wait for its answer, however long it takes.

        Raises:
            HarnessError: The gateway does not answer.
        """
        path = f"/2015-03-31/functions/{quote(function)}/invocations"
        timeout = httpx.Timeout(None, connect=CONNECT_WITHIN_S)
        try:
            answer = await self._client.post(
                path, content=payload.encode(), headers=self._invoke_headers, timeout=timeout
            )
        except httpx.HTTPError as error:
            raise HarnessError(f"the gateway does not answer: {error}") from error
        if answer.is_success:
            return Answered(answer.text, "X-Amz-Function-Error" in answer.headers)
        try:
            body: Any = json.loads(answer.text)
            words = body.get("Message") or body.get("message") or answer.text
        except (ValueError, AttributeError):
            words = answer.text
        return Answered(f"{answer.headers.get('x-amzn-ErrorType', answer.status_code)}: {words}", failed=True)

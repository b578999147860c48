"""The browsers that show the page: each follows an own stream of server-sent events.

    event        data
    hello        {"server": id of this server's start}
    state        what `GET /api/state` returns, when it has changed
    invocations  records whose state has changed, without payloads and answers
    run          {"run_id": ID}: its view has changed
    log          lines of logs

News are collected and sent at most four times a second; what a browser is too slow for is left out, newest lines last.
https://html.spec.whatwg.org/multipage/server-sent-events.html
"""

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Iterable, Iterator
from typing import Any

import msgspec

INTERVAL_S = 0.25
# A browser tries again after so long.
RETRY_MS = 1000
# Proxies and browsers take a stream that is silent for long for a dead one.
ALIVE_EVERY_S = 15.0
MOST_LINES, MOST_INVOCATIONS = 2_000, 2_000


class Visitor:
    """One browser, with the news that it has not got yet."""

    def __init__(self) -> None:
        self._state: bytes | None = None
        self._invocations: dict[int, Any] = {}
        self._runs: dict[str, None] = {}
        self._lines: deque[Any] = deque(maxlen=MOST_LINES)
        self._arrived = asyncio.Event()
        self._ended = False

    def put_state(self, state: bytes) -> None:
        """Take a new state, encoded."""
        self._state = state
        self._arrived.set()

    def put_invocations(self, records: Iterable[Any]) -> None:
        """Take records of invocations that have changed; a newer one replaces an older one of the same number."""
        for record in records:
            self._invocations[record.number] = record
            if len(self._invocations) > MOST_INVOCATIONS:
                del self._invocations[next(iter(self._invocations))]
        self._arrived.set()

    def put_run(self, run_id: str) -> None:
        """Take the name of a run that has changed."""
        self._runs[run_id] = None
        self._arrived.set()

    def put_lines(self, lines: Iterable[Any]) -> None:
        """Take lines of logs."""
        self._lines.extend(lines)
        self._arrived.set()

    def end(self) -> None:
        """End the stream, because the server ends."""
        self._ended = True
        self._arrived.set()

    async def events(self, hello: dict[str, Any]) -> AsyncIterator[bytes]:
        """Yield the stream, starting with the server's own event.

        Args:
            hello: The data of that event.
        """
        yield f"retry: {RETRY_MS}\n\n".encode() + _event("hello", msgspec.json.encode(hello))
        while not self._ended:
            try:
                async with asyncio.timeout(ALIVE_EVERY_S):
                    await self._arrived.wait()
            except TimeoutError:
                yield b": alive\n\n"
                continue
            self._arrived.clear()
            if news := self._take():
                yield news
                await asyncio.sleep(INTERVAL_S)

    def _take(self) -> bytes:
        parts = []
        if self._state is not None:
            parts.append(_event("state", self._state))
        if self._invocations:
            parts.append(_event("invocations", msgspec.json.encode(list(self._invocations.values()))))
        parts += [_event("run", msgspec.json.encode({"run_id": run_id})) for run_id in self._runs]
        if self._lines:
            parts.append(_event("log", msgspec.json.encode(list(self._lines))))
        self._state = None
        for news in (self._invocations, self._runs, self._lines):
            news.clear()
        return b"".join(parts)


class Visitors:
    """All browsers that are connected now."""

    def __init__(self) -> None:
        self._all: set[Visitor] = set()

    def __bool__(self) -> bool:
        return bool(self._all)

    def __iter__(self) -> Iterator[Visitor]:
        return iter(tuple(self._all))

    def enter(self) -> Visitor:
        """Return a new visitor, who gets all news from now on."""
        visitor = Visitor()
        self._all.add(visitor)
        return visitor

    def leave(self, visitor: Visitor) -> None:
        """Forget a visitor."""
        self._all.discard(visitor)

    def end(self) -> None:
        """End all streams."""
        for visitor in self._all:
            visitor.end()


def _event(name: str, data: bytes) -> bytes:
    # JSON has no line ends of its own.
    return b"event: " + name.encode() + b"\ndata: " + data + b"\n\n"

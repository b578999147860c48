"""Turns of throttled events: when an invocation ends and leaves room, the event that has waited longest takes it.

AWS reads its queue again as soon as functions can run. Events that only waited for their growing delays would all come
back at the same moments, one of them would run at each, and the last one hours later.
"""

import asyncio
from collections import defaultdict, deque


class Turns:
    """The throttled events that wait, by the concurrency that they wait for."""

    def __init__(self) -> None:
        self._waiting: defaultdict[str, deque[asyncio.Future[None]]] = defaultdict(deque)

    def join(self, concurrency: str) -> asyncio.Future[None]:
        """Return a future that is completed when it is an event's turn; whoever stops waiting completes it."""
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting[concurrency].append(turn)
        return turn

    def pass_on(self, concurrency: str) -> None:
        """Give the room that an invocation has left to the event that has waited longest for this concurrency."""
        waiting = self._waiting.get(concurrency)
        while waiting:
            turn = waiting.popleft()
            if not turn.done():
                turn.set_result(None)
                return
        self._waiting.pop(concurrency, None)

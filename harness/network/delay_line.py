"""A delay line: bytes enter it in order, each with the time at which it is due, and leave it then."""

import asyncio
from collections import deque
from collections.abc import Callable

# Above this much in the line, its source is to wait; below the half, it goes on. The fastest function's burst fills
# this in the longest trip.
HIGH_WATER = 4 << 20
# A timer would take as long as this: such bytes leave at once.
SOON_S = 50e-6

Released = Callable[[float, float], object]


class DelayLine:
    """One direction of a connection.

    Args:
        write: Called with bytes that are due.
        hold: Called when the source is to wait.
        free: Called when it may go on.
    """

    def __init__(
        self, write: Callable[[bytes], object], hold: Callable[[], object], free: Callable[[], object]
    ) -> None:
        self._loop = asyncio.get_running_loop()
        self._write, self._hold, self._free = write, hold, free
        self._waiting: deque[tuple[float, bytes, Released | None]] = deque()
        self._size = 0
        self._held = False
        self._timer: asyncio.TimerHandle | None = None
        self._at_end: Callable[[], object] | None = None

    def put(self, data: bytes, due: float, now: float, released: Released | None = None) -> None:
        """Let these bytes in.

        Args:
            data: They.
            due: When they leave, on the loop's clock; behind all earlier ones in any case.
            now: The time.
            released: Called with `due`, and with the time at which they leave.
        """
        if due <= now + SOON_S and not self._waiting:
            if released is not None:
                released(due, now)
            self._write(data)
            return
        self._waiting.append((due, data, released))
        self._size += len(data)
        if self._size > HIGH_WATER and not self._held:
            self._held = True
            self._hold()
        if self._timer is None:
            self._timer = self._loop.call_at(due, self._release)

    def end(self, call: Callable[[], object]) -> None:
        """Call this when all that is in the line has left."""
        self._at_end = call
        if not self._waiting:
            call()

    def close(self) -> None:
        """Drop what is in the line."""
        if self._timer is not None:
            self._timer.cancel()
        self._waiting.clear()

    def _release(self) -> None:
        self._timer = None
        waiting, now = self._waiting, self._loop.time()
        while waiting and waiting[0][0] <= now + SOON_S:
            due, data, released = waiting.popleft()
            self._size -= len(data)
            if released is not None:
                released(due, now)
            self._write(data)
        if self._held and self._size < HIGH_WATER // 2:
            self._held = False
            self._free()
        if waiting:
            self._timer = self._loop.call_at(waiting[0][0], self._release)
        elif self._at_end is not None:
            self._at_end()

"""What a container prints, read from the engine in a thread and handed to the event loop."""

import asyncio
import threading
from collections import deque
from collections.abc import Callable
from typing import Any

from docker.errors import DockerException


class Output:
    """A container's output, from the engine's blocking stream into the event loop.

    The reading thread waits while too many chunks have not been taken; in the end, the container waits, too.
    """

    MOST_CHUNKS = 16
    # The most that the pipe, the engine's own buffer of 1 MB and the socket hold.
    MOST_UNREAD_BYTES = 2 << 20
    # What RIE prints from a runtime's end to its own silence fits in.
    LAST_WORDS = 2000

    def __init__(self) -> None:
        self.ended = False
        self.last_words = ""
        self._loop = asyncio.get_running_loop()
        self._room = threading.Semaphore(self.MOST_CHUNKS)
        self._chunks: deque[bytes] = deque()
        self._take: Callable[[bytes], bool] | None = None
        self._held = False
        self._beyond_room = 0

    def read(self, stream: Any) -> None:  # noqa: ANN401 - docker-py's generator
        """Start to read, in a thread that ends with the container."""
        threading.Thread(target=self._pump, args=(stream,), daemon=True).start()

    def start(self, take: Callable[[bytes], bool]) -> None:
        """Start to deliver the output; see `Sandbox.read_output`."""
        self._take = take
        self.resume()

    def resume(self) -> None:
        """Deliver the chunks that have arrived, until there is no more room."""
        self._held = False
        self._hand_over()

    def drain(self) -> None:
        """Deliver what has arrived and what is in transit, even without room: the content of the buffers at most."""
        self._beyond_room = self.MOST_UNREAD_BYTES
        self.resume()

    def _hand_over(self) -> None:
        while self._take is not None and self._chunks and not self._held:
            chunk = self._chunks.popleft()
            self._room.release()
            self._beyond_room -= len(chunk)
            self._held = not self._take(chunk) and self._beyond_room <= 0

    def _pump(self, stream: Any) -> None:  # noqa: ANN401 - docker-py's generator
        try:
            for chunk in stream:
                # The engine may hand over each line of RIE's apart.
                self.last_words = (self.last_words + chunk.decode(errors="replace"))[-self.LAST_WORDS :]
                self._room.acquire()
                if self._loop.is_closed():
                    return
                self._loop.call_soon_threadsafe(self._arrived, chunk)
        except (OSError, DockerException):
            pass  # the container was removed, or the engine is gone: the output has ended
        finally:
            self.ended = True

    def _arrived(self, chunk: bytes) -> None:
        self._chunks.append(chunk)
        self._hand_over()

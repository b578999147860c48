"""The gateway's HTTP server: uvicorn, with each answer in one piece, and limits on how long a request may take.

Uvicorn sends the head of an answer and its body one by one: each wakes the caller, for which an answer of a few bytes
takes a quarter longer.
It waits for ever for the rest of a request; here a connection ends when a head or a body is not whole in time.
"""

import asyncio
import math
import resource
from typing import Any, ClassVar, cast

import h11
import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol

SHUTDOWN_WITHIN_S = 1
# A head is a few hundred bytes, the longest body a package of 70 MB from this machine.
HEAD_WITHIN_S, BODY_WITHIN_S = 10.0, 60.0
_LIMITS: dict[object, float] = {h11.IDLE: HEAD_WITHIN_S, h11.SEND_BODY: BODY_WITHIN_S}
# Beyond a quarter of the descriptors that this process may open, connections that have been silent so long are ended.
SILENT_SHARE, SILENT_FOR_S = 4, 1.0


def config(app: Any, *, host: str, port: int) -> uvicorn.Config:  # noqa: ANN401 - uvicorn's own type is private
    """Return how an application is served.

    Args:
        app: An ASGI application.
        host: Address to listen at.
        port: Port to listen at.
    """
    return uvicorn.Config(
        app,
        host=host,
        port=port,
        http=LimitedRequests,
        log_level="warning",
        access_log=False,
        proxy_headers=False,
        timeout_graceful_shutdown=SHUTDOWN_WITHIN_S,
    )


def serve(app: Any, *, host: str, port: int) -> None:  # noqa: ANN401 - as above
    """Serve an application until a signal asks for the end."""
    uvicorn.Server(config(app, host=host, port=port)).run()


class WholeAnswers(H11Protocol):
    """Sends together what is written in one go."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # uvicorn's
        """For asyncio."""
        super().connection_made(cast("asyncio.Transport", GatheredWrites(transport)))


class LimitedRequests(WholeAnswers):
    """Ends a connection whose request is not whole in time, and the oldest without one when there are too many.

    One timer for each connection: what a request costs is a comparison.
    """

    # Connections that have not sent the head of a request yet, with the time of their beginning, oldest first.
    _silent: ClassVar[dict["LimitedRequests", float]] = {}
    _most_silent: ClassVar[int] = resource.getrlimit(resource.RLIMIT_NOFILE)[0] // SILENT_SHARE

    _phase: object = None
    _deadline = math.inf
    _timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # uvicorn's
        """For asyncio."""
        super().connection_made(transport)
        self._update_phase()
        self._timer = self.loop.call_later(HEAD_WITHIN_S, self._check)
        now, silent = self.loop.time(), self._silent
        silent[self] = now
        while len(silent) > self._most_silent:
            oldest, since = next(iter(silent.items()))
            if now - since < SILENT_FOR_S:
                break
            oldest.end()

    def handle_events(self) -> None:
        """For uvicorn: whenever something came, and when an answer is complete."""
        super().handle_events()
        if self.conn.their_state is not self._phase:
            self._update_phase()

    def connection_lost(self, exc: Exception | None) -> None:
        """For asyncio."""
        self._silent.pop(self, None)
        if self._timer is not None:
            self._timer.cancel()
        super().connection_lost(exc)

    def end(self) -> None:
        """End the connection at once."""
        self._silent.pop(self, None)
        self.transport.abort()

    def _update_phase(self) -> None:
        self._phase = self.conn.their_state
        limit = _LIMITS.get(self._phase, math.inf)
        self._deadline = self.loop.time() + limit
        if self._phase is not h11.IDLE:
            self._silent.pop(self, None)

    def _check(self) -> None:
        now = self.loop.time()
        if now >= self._deadline:
            self.end()
            return
        self._timer = self.loop.call_at(min(self._deadline, now + HEAD_WITHIN_S), self._check)


class GatheredWrites:
    """A transport that writes when the event loop comes round, all that it was given until then.

    Args:
        transport: The real one; whatever is not about writing is its business.
    """

    def __init__(self, transport: asyncio.Transport) -> None:
        self._transport = transport
        self._held: list[bytes] = []

    def write(self, data: bytes) -> None:
        """Takes what is to be written."""
        if not self._held:
            asyncio.get_running_loop().call_soon(self._flush)
        self._held.append(data)

    def close(self) -> None:
        """Closes the connection behind what was given so far."""
        self._flush()
        self._transport.close()

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401 - as the transport has it
        return getattr(self._transport, name)

    def _flush(self) -> None:
        held, self._held = self._held, []
        if held:
            self._transport.write(b"".join(held))

"""The gateway's HTTP server: uvicorn, with each answer sent in one piece, and time limits for requests.

Uvicorn sends the head and the body of an answer separately. Each wakes the caller, which makes a short answer take a
quarter longer.
Uvicorn also waits forever for the rest of a request; here, a head or body that is not complete in time ends the
connection.
"""

import asyncio
import math
import resource
from typing import Any, ClassVar, cast

import h11
import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol

SHUTDOWN_WITHIN_S = 1
# A head has a few hundred bytes; the longest body is a package of 70 MB from this machine.
HEAD_WITHIN_S, BODY_WITHIN_S = 10.0, 60.0
_LIMITS: dict[object, float] = {h11.IDLE: HEAD_WITHIN_S, h11.SEND_BODY: BODY_WITHIN_S}
# A connection between two requests. A client that uses it again at the very moment at which it is closed sees an error,
# and invocations are not repeated; uvicorn's 5 s are a usual pause of a caller.
_KEPT_ALIVE, KEPT_ALIVE_S = object(), 60
# If silent connections use more than a quarter of the process's descriptors, those silent for this long are ended.
SILENT_SHARE, SILENT_FOR_S = 4, 1.0


def config(app: Any, *, host: str, port: int) -> uvicorn.Config:  # noqa: ANN401 - uvicorn's own type is private
    """Return the configuration of a server.

    Args:
        app: An ASGI application.
        host: Address to listen on.
        port: Port to listen on.
    """
    return uvicorn.Config(
        app,
        host=host,
        port=port,
        http=LimitedRequests,
        log_level="warning",
        access_log=False,
        proxy_headers=False,
        timeout_keep_alive=KEPT_ALIVE_S,
        timeout_graceful_shutdown=SHUTDOWN_WITHIN_S,
    )


def serve(app: Any, *, host: str, port: int) -> None:  # noqa: ANN401 - as above
    """Serve an application until a signal requests the end."""
    uvicorn.Server(config(app, host=host, port=port)).run()


class WholeAnswers(H11Protocol):
    """Sends everything written in one turn of the event loop together."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # uvicorn's
        """Wrap the transport; called by asyncio."""
        super().connection_made(cast("asyncio.Transport", GatheredWrites(transport)))


class LimitedRequests(WholeAnswers):
    """Ends connections whose request is not complete in time, and the oldest without a request if there are too many.

    Each connection has one timer, so a request costs only a comparison.
    """

    # Connections that have not sent the head of a request yet, with their start time, oldest first.
    _silent: ClassVar[dict["LimitedRequests", float]] = {}
    _most_silent: ClassVar[int] = resource.getrlimit(resource.RLIMIT_NOFILE)[0] // SILENT_SHARE

    _phase: object = None
    _deadline = math.inf
    _timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # uvicorn's
        """Start the timer, and end the oldest silent connections if there are too many; called by asyncio."""
        super().connection_made(transport)
        now, silent = self.loop.time(), self._silent
        silent[self] = now
        self._update_phase()
        self._timer = self.loop.call_later(HEAD_WITHIN_S, self._check)
        while len(silent) > self._most_silent:
            oldest, since = next(iter(silent.items()))
            if now - since < SILENT_FOR_S:
                break
            oldest.end()

    def handle_events(self) -> None:
        """Update the time limit; uvicorn calls this when data has arrived and when an answer is complete."""
        super().handle_events()
        if self._current_phase() is not self._phase:
            self._update_phase()

    def connection_lost(self, exc: Exception | None) -> None:
        """Cancel the timer; called by asyncio."""
        self._silent.pop(self, None)
        if self._timer is not None:
            self._timer.cancel()
        super().connection_lost(exc)

    def end(self) -> None:
        """End the connection at once."""
        self._silent.pop(self, None)
        self.transport.abort()

    def _current_phase(self) -> object:
        state = self.conn.their_state
        begun = self in self._silent or self.conn.trailing_data[0]
        return state if begun or state is not h11.IDLE else _KEPT_ALIVE

    def _update_phase(self) -> None:
        self._phase = self._current_phase()
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
    """A transport that collects data and writes it all in the next turn of the event loop.

    Args:
        transport: The real transport, which handles everything but writing.
    """

    def __init__(self, transport: asyncio.Transport) -> None:
        self._transport = transport
        self._held: list[bytes] = []

    def write(self, data: bytes) -> None:
        """Collect data to write."""
        if not self._held:
            asyncio.get_running_loop().call_soon(self._flush)
        self._held.append(data)

    def close(self) -> None:
        """Write the collected data and close the connection."""
        self._flush()
        self._transport.close()

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401 - as the transport has it
        return getattr(self._transport, name)

    def _flush(self) -> None:
        held, self._held = self._held, []
        if held:
            self._transport.write(b"".join(held))

"""The gateway's HTTP server: uvicorn, with each answer in one piece.

Uvicorn sends the head of an answer and its body one by one: each wakes the caller, for which an answer of a few bytes
takes a quarter longer.
"""

import asyncio
from typing import Any, cast

import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol

SHUTDOWN_WITHIN_S = 1


def serve(app: Any, *, host: str, port: int) -> None:  # noqa: ANN401 - uvicorn's own type is private
    """Serves an application until a signal asks for the end.

    Args:
        app: An ASGI application.
        host: Address to listen at.
        port: Port to listen at.
    """
    uvicorn.run(
        app,
        host=host,
        port=port,
        http=WholeAnswers,
        log_level="warning",
        access_log=False,
        proxy_headers=False,
        timeout_graceful_shutdown=SHUTDOWN_WITHIN_S,
    )


class WholeAnswers(H11Protocol):
    """Sends together what is written in one go."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # uvicorn's
        """For asyncio."""
        super().connection_made(cast("asyncio.Transport", GatheredWrites(transport)))


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

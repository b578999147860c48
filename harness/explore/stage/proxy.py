"""The proxy before all of AWS's services: whole requests go in, and an answer comes out, or the connection's end.

    function --request--> proxy --> handler --> send(request, address) --> moto, or the gateway
    function <--answer--- proxy <-- handler

It reads each message to its end before it passes it on, so that a handler knows what it decides about, and a call has
either its whole effect or none. Requests to the services have connections of their own: a service that was brought
back to a snapshot has lost all connections.
"""

import asyncio
import socket
from collections.abc import Awaitable, Callable
from contextlib import suppress

import h11

from harness.errors import HarnessError
from harness.explore.stage.answers import StageAnswer
from harness.explore.stage.requests import StageRequest
from harness.system.ports import LOOPBACK

_READ_BYTES = 1 << 18
# What belongs to one connection, and what the proxy itself decides.
_OF_A_CONNECTION = {"connection", "keep-alive", "transfer-encoding", "expect", "host"}

Address = tuple[str, int]
# Returns the answer; None to end the connection without one.
Handler = Callable[[StageRequest], Awaitable[StageAnswer | None]]


class StageProxy:
    """The proxy.

    Args:
        listener: The socket on which it listens.
        handler: Decides about each request.
    """

    def __init__(self, listener: socket.socket, handler: Handler) -> None:
        self._listener, self._handler = listener, handler
        self._server: asyncio.Server | None = None

    async def start(self) -> None:
        """Accept connections."""
        self._server = await asyncio.start_server(self._client, sock=self._listener)

    async def stop(self) -> None:
        """Accept no more connections."""
        if self._server is not None:
            self._server.close()

    async def _client(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        http = h11.Connection(h11.SERVER)
        try:
            # Environments are killed in the middle of whatever they do, and a stage that is stopped loses its services
            # first; of a service that is lost while it plays, the play itself tells.
            with suppress(h11.ProtocolError, OSError, HarnessError):
                while await self._exchange(http, reader, writer):
                    http.start_next_cycle()
        finally:
            writer.close()

    async def _exchange(self, http: h11.Connection, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        """Answer one request; return whether the connection can take another."""
        request = await _read_request(http, reader, writer)
        if request is None:
            return False
        answer = await self._handler(request)
        if answer is None:
            return False
        for event in _answer_events(answer, request.method):
            writer.write(http.send(event) or b"")
        await writer.drain()
        return http.our_state is h11.DONE and http.their_state is h11.DONE


async def _read_request(
    http: h11.Connection, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
) -> StageRequest | None:
    """Return the next request; None if there is no more."""
    event = await _next_event(http, reader)
    if not isinstance(event, h11.Request):
        return None
    if http.they_are_waiting_for_100_continue:
        writer.write(http.send(h11.InformationalResponse(status_code=100, headers=[])) or b"")
    body = bytearray()
    while not isinstance(part := await _next_event(http, reader), h11.EndOfMessage):
        if not isinstance(part, h11.Data):
            return None
        body += part.data
    headers = tuple((name.decode("latin-1"), value.decode("latin-1")) for name, value in event.headers.raw_items())
    return StageRequest(event.method.decode("latin-1"), event.target.decode("latin-1"), headers, bytes(body))


async def send(request: StageRequest, to: Address) -> StageAnswer:
    """Send a request to a service, and return its whole answer.

    Args:
        request: The request.
        to: The service's address.

    Raises:
        OSError: The service is gone.
    """
    host, port = to
    reader, writer = await asyncio.open_connection(host, port)
    try:
        http = h11.Connection(h11.CLIENT)
        kept = [(name, value) for name, value in request.headers if name.lower() not in _OF_A_CONNECTION]
        if all(name.lower() != "content-length" for name, _ in kept):
            kept.append(("Content-Length", str(len(request.body))))
        headers = [("Host", f"{host}:{port}"), *kept, ("Connection", "close")]
        head = h11.Request(method=request.method, target=request.target, headers=headers)
        writer.write(http.send(head) or b"")
        writer.write(http.send(h11.Data(data=request.body)) or b"")
        writer.write(http.send(h11.EndOfMessage()) or b"")
        await writer.drain()
        return await _read_answer(http, reader)
    except h11.ProtocolError as error:
        raise ConnectionError(f"the service at {host}:{port} does not speak HTTP: {error}") from error
    finally:
        writer.close()


async def _read_answer(http: h11.Connection, reader: asyncio.StreamReader) -> StageAnswer:
    event = await _next_event(http, reader)
    while isinstance(event, h11.InformationalResponse):
        event = await _next_event(http, reader)
    if not isinstance(event, h11.Response):
        raise ConnectionError("the service has ended the connection")
    body = bytearray()
    while not isinstance(part := await _next_event(http, reader), h11.EndOfMessage):
        if not isinstance(part, h11.Data):
            raise ConnectionError("the service has ended the connection within an answer")
        body += part.data
    headers = tuple((name.decode("latin-1"), value.decode("latin-1")) for name, value in event.headers.raw_items())
    return StageAnswer(event.status_code, headers, bytes(body))


def _answer_events(answer: StageAnswer, method: str) -> list[h11.Event]:
    headers = [(name, value) for name, value in answer.headers if name.lower() not in _OF_A_CONNECTION]
    bodiless = method == "HEAD" or answer.status in {204, 304}
    if not bodiless and all(name.lower() != "content-length" for name, _ in headers):
        headers.append(("Content-Length", str(len(answer.body))))
    head = h11.Response(status_code=answer.status, headers=headers)
    return [head, *([] if bodiless else [h11.Data(data=answer.body)]), h11.EndOfMessage()]


async def _next_event(http: h11.Connection, reader: asyncio.StreamReader) -> object:
    while (event := http.next_event()) is h11.NEED_DATA:
        http.receive_data(await reader.read(_READ_BYTES))
    return event


def listen() -> socket.socket:
    """Return a socket that listens on a free port of this machine."""
    listener = socket.socket()
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.bind((LOOPBACK, 0))
    listener.listen(512)
    return listener

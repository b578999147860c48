"""A proxy in front of S3 that injects the planned faults.

It parses requests and answers with h11 and streams them. A client's bytes pass unchanged, except that the proxy
itself answers `Expect: 100-continue`.
"""

import asyncio
from dataclasses import dataclass

import h11

from harness.faults.board import Board
from harness.faults.plan import Fault
from harness.guard import Guard, Refusal
from harness.network.discovery import Node
from harness.network.listener import Listener, reset

CHUNK_BYTES = 65_536
# S3's own status, code and message; S3 reports a full disk as an internal error.
# https://docs.aws.amazon.com/AmazonS3/latest/API/ErrorResponses.html
_ANSWERS = {
    "503": (503, "SlowDown", "Please reduce your request rate."),
    "refuse": (500, "InternalError", "We encountered an internal error: no space left on device."),
}
_OTHER_END = {"host", "expect"}


class S3Proxy:
    """The proxy.

    Args:
        listen: The address that clients connect to.
        s3: The address of the real S3.
        board: The plans of all runs.
        guard: Decides which requests pass; it runs here because S3 behind the proxy sees another host name.
    """

    def __init__(self, listen: Node, s3: Node, board: Board, guard: Guard) -> None:
        self.listener = Listener(listen, self._client)
        self._s3, self._board, self._guard = s3, board, guard
        self._cuts: set[asyncio.Task[None]] = set()

    async def _client(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        server = _Peer(*await asyncio.open_connection(*self._s3), h11.Connection(h11.CLIENT))
        client = _Peer(reader, writer, h11.Connection(h11.SERVER))
        try:
            while await self._exchange(client, server):
                client.http.start_next_cycle()
                if server.http.our_state is not h11.IDLE:  # IDLE if the proxy itself has answered
                    server.http.start_next_cycle()
        except h11.ProtocolError:
            reset(writer)
        finally:
            server.writer.close()

    async def _exchange(self, client: "_Peer", server: "_Peer") -> bool:
        """Forward one request and its answer; return whether the connection can take another."""
        request = await client.next_event()
        if not isinstance(request, h11.Request):
            return False
        path, _, query = request.target.decode("latin-1").partition("?")
        headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in reversed(request.headers)}
        refusal = self._guard.refusal(request.method.decode("latin-1"), headers.get, path, query)
        if refusal is not None:
            await _refuse(client, request, refusal)
            return False
        answer = None
        for fault in self._board.at_request(request.method.decode(), path):
            if fault.action == "delay":
                await asyncio.sleep((fault.ms or 0.0) / 1000)
            elif fault.action == "cut":
                self._cut(fault)
                return False
            else:
                answer = fault.action
        if client.http.they_are_waiting_for_100_continue:
            await client.send(h11.InformationalResponse(status_code=100, headers=[]))
        if answer is not None:
            await _drain(client)
            await _answer(client, request, *_ANSWERS[answer])
        else:
            passed = [(name, value) for name, value in request.headers if name.decode() not in _OTHER_END]
            host = f"{self._s3.host}:{self._s3.port}".encode()
            await server.send(
                h11.Request(method=request.method, target=request.target, headers=[(b"host", host), *passed])
            )
            await _pass_on(client, server)
            await _pass_on(server, client)
        return client.http.our_state is h11.DONE and server.http.our_state in {h11.DONE, h11.IDLE}

    def _cut(self, fault: Fault) -> None:
        task = asyncio.create_task(self._outage(fault.s or 0.0))
        self._cuts.add(task)
        task.add_done_callback(self._cuts.discard)

    async def _outage(self, seconds: float) -> None:
        async with self.listener.outage():
            await asyncio.sleep(seconds)


@dataclass
class _Peer:
    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    http: h11.Connection

    async def next_event(self) -> object:
        """Return the next part of the peer's message."""
        while (event := self.http.next_event()) is h11.NEED_DATA:
            self.http.receive_data(await self.reader.read(CHUNK_BYTES))
        return event

    async def send(self, event: h11.Event) -> None:
        """Send a part of a message."""
        data = self.http.send(event)
        if data:
            self.writer.write(data)
            await self.writer.drain()


async def _pass_on(source: _Peer, sink: _Peer) -> None:
    """Forward one message to its end."""
    while True:
        event = await source.next_event()
        if isinstance(event, h11.ConnectionClosed | type(h11.PAUSED)):
            raise ConnectionError
        assert isinstance(event, h11.Event)  # noqa: S101 - only parts of a message remain
        await sink.send(event)
        if isinstance(event, h11.EndOfMessage):
            return


async def _drain(client: _Peer) -> None:
    while not isinstance(await client.next_event(), h11.EndOfMessage | h11.ConnectionClosed):
        pass


async def _answer(client: _Peer, request: h11.Request, status: int, code: str, message: str) -> None:
    body = f'<?xml version="1.0" encoding="UTF-8"?><Error><Code>{code}</Code><Message>{message}</Message></Error>'
    await _refuse(client, request, Refusal(status, code, {"Content-Type": "application/xml"}, body.encode()))


async def _refuse(client: _Peer, request: h11.Request, refusal: Refusal) -> None:
    body = refusal.body
    headers = [*refusal.headers.items(), ("Content-Length", str(len(body)))]
    await client.send(h11.Response(status_code=refusal.status, headers=headers))
    if request.method != b"HEAD":
        await client.send(h11.Data(data=body))
    await client.send(h11.EndOfMessage())

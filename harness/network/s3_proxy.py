"""A proxy in front of S3 that injects the planned faults, and emulates S3's own time, bandwidth and limits.

It parses requests and answers with h11 and streams them. A client's bytes pass unchanged, except that the proxy
itself answers `Expect: 100-continue`.
"""

import asyncio
from dataclasses import dataclass

import h11

from harness.faults.board import Board
from harness.faults.plan import Fault
from harness.guard import Guard, Refusal
from harness.network.clients import ClientNetworks
from harness.network.conditions import FunctionNetwork
from harness.network.discovery import Node
from harness.network.lines import ClientLine, ClientLines, ConnectionEndedError, Ranks, lasts
from harness.network.listener import Listener, reset
from harness.network.places import Places
from harness.network.request_limit import read_request
from harness.network.s3_answers import NO_SPACE, SLOW_DOWN, S3Error, error_events
from harness.network.s3_conditions import S3Conditions, S3Trip

CHUNK_BYTES = 65_536
# Less than this is not waited for: a timer takes as long.
SHORTEST_WAIT_S = 0.0005
# How far a body may be ahead of the emulated clock on its way to S3: what S3 does with it here takes its time as well,
# and must not come on top of what is emulated.
AHEAD_S = 0.1
_FAULT_ANSWERS = {"503": SLOW_DOWN, "refuse": NO_SPACE}
_OTHER_END = {"host", "expect"}


class S3Proxy:
    """The proxy.

    Args:
        listen: The address that clients connect to.
        s3: The address of the real S3.
        board: The plans of all runs.
        guard: Decides which requests pass; it runs here because S3 behind the proxy sees another host name.
        networks: The emulated networks of its clients; None for this machine's S3 as it is.
        places: Knows the zone of each client; None where no fault depends on it.
        ranks: Know the rank of each client; None where no fault depends on it.
    """

    def __init__(
        self,
        listen: Node,
        s3: Node,
        board: Board,
        guard: Guard,
        networks: ClientNetworks | None = None,
        places: Places | None = None,
        ranks: Ranks | None = None,
    ) -> None:
        self._lines = ClientLines(board, ranks, by_run=False)
        self.listener = Listener(listen, self._client, self._lines.end)
        self._s3, self._board, self._guard, self._networks, self._places = s3, board, guard, networks, places
        self._conditions = S3Conditions(networks.functions) if networks else None
        self._cuts: set[asyncio.Task[None]] = set()

    async def _client(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        line = self._lines.open(writer)
        try:
            await line.check()
            server = _Peer(*await asyncio.open_connection(*self._s3), h11.Connection(h11.CLIENT))
            client = _Peer(reader, writer, h11.Connection(h11.SERVER), line)
            try:
                await self._serve(client, server)
                await line.linger()
            finally:
                server.writer.close()
        except (h11.ProtocolError, ConnectionEndedError):
            reset(writer)
        finally:
            self._lines.close(writer)

    async def _serve(self, client: "_Peer", server: "_Peer") -> None:
        """Forward requests until their connection takes no more."""
        function = None
        if self._networks is not None:
            function = await self._networks.of(client.writer.get_extra_info("socket"))
        while await self._exchange(client, server, function):
            client.http.start_next_cycle()
            if server.http.our_state is not h11.IDLE:  # IDLE if the proxy itself has answered
                server.http.start_next_cycle()

    async def _exchange(self, client: "_Peer", server: "_Peer", function: FunctionNetwork | None) -> bool:
        """Forward one request and its answer; return whether the connection can take another."""
        request = await client.next_event()
        if not isinstance(request, h11.Request):
            return False
        method, target = request.method.decode("latin-1"), request.target.decode("latin-1")
        path, _, query = target.partition("?")
        headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in reversed(request.headers)}
        refusal = self._guard.refusal(method, headers.get, path, query)
        if refusal is not None:
            await _refuse(client, request, refusal)
            return False
        error = await self._inject(client, method, path)
        trip = None
        if function is not None and self._conditions is not None and error is None:
            asked = read_request(method, path, query)
            if self._conditions.admits(asked, asyncio.get_running_loop().time()):
                trip = self._conditions.begin(function, asked, client.heard_at)
            else:
                error = SLOW_DOWN
        if error is not None:
            await _answer(client, request, error)
            return False
        await self._forward(client, server, request, trip)
        return client.http.our_state is h11.DONE and server.http.our_state in {h11.DONE, h11.IDLE}

    async def _inject(self, client: "_Peer", method: str, path: str) -> S3Error | None:
        """Inject the faults of a request; return S3's error in place of an answer, if there is one.

        Raises:
            ConnectionEndedError: The client is cut off.
        """
        error = None
        zone, ranks = await self._zone_of(client), await self._ranks_of(client)
        for run_id, fault in self._board.at_request(method, path, zone, ranks):
            if fault.action == "delay":
                await asyncio.sleep(fault.draw_delay_s(self._board.dice))
                client.heard_at = asyncio.get_running_loop().time()
            elif lasts(fault):
                self._lines.begin(fault, run_id)
                if fault.action == "cut":
                    raise ConnectionEndedError
            elif fault.action == "cut":
                self._cut(fault)
                raise ConnectionEndedError
            else:
                error = _FAULT_ANSWERS[fault.action]
        return error

    async def _zone_of(self, client: "_Peer") -> str:
        """Return the zone of a client, looked up once; empty as long as no fault depends on it."""
        if not self._board.depends_on_zones or self._places is None:
            return ""
        if client.zone is None:
            place = await self._places.of(client.writer.get_extra_info("socket"))
            client.zone = place.zone if place else ""
        return client.zone

    async def _ranks_of(self, client: "_Peer") -> dict[str, int | None]:
        """Return the rank of a client, by run, for the runs of which a fault depends on it."""
        if client.line is None:
            return {}
        return {run_id: await client.line.rank_in(run_id) for run_id in self._board.runs_with_ranks_at_s3()}

    async def _forward(self, client: "_Peer", server: "_Peer", request: h11.Request, trip: S3Trip | None) -> None:
        if client.http.they_are_waiting_for_100_continue:
            await client.send(h11.InformationalResponse(status_code=100, headers=[]))
        passed = [(name, value) for name, value in request.headers if name.decode() not in _OTHER_END]
        host = f"{self._s3.host}:{self._s3.port}".encode()
        await server.send(h11.Request(method=request.method, target=request.target, headers=[(b"host", host), *passed]))
        if trip is None:
            await _pass_on(client, server)
            await _pass_on(server, client)
        else:
            await _upload(client, server, trip)
            await _download(server, client, trip)

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
    # Only of a client.
    line: ClientLine | None = None
    zone: str | None = None
    # When its newest bytes arrived, on the loop's clock: the time in which the proxy looks at them counts.
    heard_at: float = 0.0

    async def next_event(self) -> object:
        """Return the next part of the peer's message."""
        while (event := self.http.next_event()) is h11.NEED_DATA:
            data = await self.reader.read(CHUNK_BYTES)
            self.heard_at = asyncio.get_running_loop().time()
            if self.line is not None:
                if self.http.their_state is h11.IDLE:
                    self.line.forget_ranks()
                await self.line.passed(len(data))
            self.http.receive_data(data)
        return event

    async def next_part(self) -> h11.Event:
        """Return the next part of a message that has not ended.

        Raises:
            ConnectionError: The peer is gone.
        """
        event = await self.next_event()
        if isinstance(event, h11.ConnectionClosed | type(h11.PAUSED)):
            raise ConnectionError
        assert isinstance(event, h11.Event)  # noqa: S101 - only parts of a message remain
        return event

    async def send(self, event: h11.Event) -> None:
        """Send a part of a message."""
        data = self.http.send(event)
        if data and self.line is not None:
            await self.line.write(data)
        elif data:
            self.writer.write(data)
            await self.writer.drain()


async def _pass_on(source: _Peer, sink: _Peer) -> None:
    """Forward one message to its end."""
    while True:
        event = await source.next_part()
        await sink.send(event)
        if isinstance(event, h11.EndOfMessage):
            return


async def _upload(client: _Peer, server: _Peer, trip: S3Trip) -> None:
    """Forward a request's body, not much sooner than it would have arrived."""
    while True:
        event = await client.next_part()
        await server.send(event)
        if isinstance(event, h11.EndOfMessage):
            return
        if isinstance(event, h11.Data):
            await _wait_until(trip.upload(len(event.data), client.heard_at) - AHEAD_S)


async def _download(server: _Peer, client: _Peer, trip: S3Trip) -> None:
    """Forward an answer, each part of it when it would have arrived."""
    while True:
        event = await server.next_part()
        if isinstance(event, h11.Data):
            await _wait_until(trip.download(len(event.data)))
        elif isinstance(event, h11.Response):
            await _wait_until(trip.answer_at)
            trip.conditions.count(trip, asyncio.get_running_loop().time())
        await client.send(event)
        if isinstance(event, h11.EndOfMessage):
            return


async def _wait_until(time_s: float) -> None:
    wait_s = time_s - asyncio.get_running_loop().time()
    if wait_s > SHORTEST_WAIT_S:
        await asyncio.sleep(wait_s)


async def _answer(client: _Peer, request: h11.Request, error: S3Error) -> None:
    """Give S3's answer to a request that it refuses, in its place."""
    # A client that waits to be told whether to send its body learns now that it need not.
    if not client.http.they_are_waiting_for_100_continue:
        while not isinstance(await client.next_event(), h11.EndOfMessage | h11.ConnectionClosed):
            pass
    for event in error_events(error, request.method):
        await client.send(event)


async def _refuse(client: _Peer, request: h11.Request, refusal: Refusal) -> None:
    body = refusal.body
    headers = [*refusal.headers.items(), ("Content-Length", str(len(body)))]
    await client.send(h11.Response(status_code=refusal.status, headers=headers))
    if request.method != b"HEAD":
        await client.send(h11.Data(data=body))
    await client.send(h11.EndOfMessage())

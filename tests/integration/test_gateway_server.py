"""The gateway's HTTP server under requests that are never complete."""

import asyncio
import logging
import socket
import threading
import time
from contextlib import closing

import h11
import pytest
import uvicorn
from starlette.applications import Starlette
from starlette.requests import ClientDisconnect
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from harness.gateway import server
from harness.system.probes import wait_until

WITHIN_S = 0.3
ANSWERED_WITHIN_S = 10


@pytest.fixture
def _limits(monkeypatch):
    """Set limits that a test can wait for."""
    monkeypatch.setattr(server, "HEAD_WITHIN_S", WITHIN_S)
    monkeypatch.setattr(server, "_LIMITS", {h11.IDLE: WITHIN_S, h11.SEND_BODY: WITHIN_S})
    monkeypatch.setattr(server, "SILENT_FOR_S", 0.05)
    monkeypatch.setattr(server.LimitedRequests, "_most_silent", 20)


@pytest.fixture
def address(_limits):
    """Return the address of an application with two routes."""

    async def echo(request):
        return PlainTextResponse(await request.body())

    async def slow(_request):
        await asyncio.sleep(3 * WITHIN_S)
        return PlainTextResponse("slow")

    async def gone(_request, _error):
        return Response()

    routes = [Route("/echo", echo, methods=["POST"]), Route("/slow", slow)]
    app = Starlette(routes=routes, exception_handlers={ClientDisconnect: gone})
    listener = socket.create_server(("127.0.0.1", 0))
    running = uvicorn.Server(server.config(app, host="", port=0))
    thread = threading.Thread(target=running.run, kwargs={"sockets": [listener]})
    thread.start()
    assert wait_until(lambda: running.started, ANSWERED_WITHIN_S)
    yield listener.getsockname()
    running.should_exit = True
    thread.join()
    listener.close()


def post(body):
    """Return a complete request."""
    return b"POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body)


def answer(connection):
    """Return the next answer up to the end of its body, or of the connection."""
    connection.settimeout(ANSWERED_WITHIN_S)
    try:
        return connection.recv(65536)
    except ConnectionResetError:
        return b""


@pytest.mark.parametrize(
    "sent",
    [
        b"",
        b"POST /echo HT",
        b"POST /echo HTTP/1.1\r\nHost: x\r\n",
        b"POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\nhalf",
        b"POST /echo HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n",
        post(b"whole") + b"POST /echo HTT",
        post(b"whole") + b"POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\nhalf",
    ],
)
def test_a_request_that_is_not_whole_in_time_ends_its_connection(address, sent, caplog):
    """Its head or its body never ends, for the first or a later request on a connection; nothing is logged."""
    begun = time.monotonic()
    with closing(socket.create_connection(address)) as connection, caplog.at_level(logging.WARNING):
        connection.sendall(sent)
        while answer(connection):
            pass
        seconds = time.monotonic() - begun

    assert WITHIN_S * 0.9 < seconds < ANSWERED_WITHIN_S
    assert [] == caplog.records


def test_a_connection_waits_for_its_next_request(address):
    """A caller that pauses uses its connection again, while one that never finishes its head is ended, twice."""
    with closing(socket.create_connection(address)) as kept:
        kept.sendall(post(b"first"))
        assert answer(kept).endswith(b"first")
        for _ in range(2):
            with closing(socket.create_connection(address)) as unfinished:
                unfinished.sendall(b"POST /echo HT")
                while answer(unfinished):
                    pass
        kept.sendall(post(b"second"))

        assert answer(kept).endswith(b"second")


def test_bytes_that_trickle_do_not_prolong_it(address):
    """The limit applies to the whole head."""
    ended = False
    with closing(socket.create_connection(address)) as connection:
        connection.sendall(b"GET /slow HTTP/1.1\r\n")
        deadline = time.monotonic() + ANSWERED_WITHIN_S
        try:
            while time.monotonic() < deadline:
                connection.sendall(b"X")
                time.sleep(WITHIN_S / 10)  # the pace of the attack, not a wait
        except OSError:
            ended = True

    assert ended


def test_an_answer_may_take_as_long_as_it_takes(address):
    """An invocation may run for minutes, and its connection stays usable for another request."""
    with closing(socket.create_connection(address)) as connection:
        connection.sendall(b"GET /slow HTTP/1.1\r\nHost: x\r\n\r\n")
        first = answer(connection)
        connection.sendall(post(b"next"))
        second = answer(connection)

    assert first.endswith(b"slow")
    assert second.endswith(b"next")


def test_many_silent_connections_keep_nobody_out(address):
    """The oldest of them are ended well before their time limit; a client that sends a request is answered."""
    silent = [socket.create_connection(address) for _ in range(60)]
    try:
        time.sleep(0.1)  # they must have been silent for a while

        with closing(socket.create_connection(address)) as connection:
            connection.sendall(post(b"served"))
            assert answer(connection).endswith(b"served")

        for one in silent[:40]:
            assert answer(one) == b""
    finally:
        for one in silent:
            one.close()

"""The emulated network as a function sees it: a client in front of the proxy, a real memcached behind it."""

import asyncio
import itertools
import json
import os
import socket
import subprocess
import sys
import threading
import time

import pytest
from pymemcache.client.base import Client
from pymemcache.exceptions import MemcacheError

from harness.network.clients import ClientNetworks
from harness.network.conditions import NetworkOfFunctions
from harness.network.discovery import Node
from harness.network.hop import measure
from harness.network.places import Places
from harness.network.precise_loop import precise_loop
from harness.network.shaped_proxy import ShapedProxy
from harness.presets.distribution import Constant
from harness.presets.emulated_network import EmulatedNetwork
from harness.presets.preset import load_preset
from harness.presets.zones import CACHE_ZONE, ZONES
from harness.stack.memcached import find_memcached, memcached_service
from harness.system.ports import ReservedPorts
from harness.system.probes import answers_memcached, wait_until
from training.exchange.channel.memcached import MemcachedChannel

HOST = "127.0.0.1"


def emulated(**figures):
    """The default preset with these figures."""
    preset = load_preset()
    values = {name: figure.value for name, figure in preset.figures.items()}
    changed = {name: Constant(value) for name, value in figures.items()}
    return EmulatedNetwork(preset=preset.name, figures=values | changed)


class Emulation:
    """A proxy in a thread of its own, in front of an address.

    Args:
        network: What is emulated.
        behind: The cache's address.
        zone: The zone of all clients; None for clients that are no functions.
    """

    def __init__(self, network, behind, zone=CACHE_ZONE):
        self.functions, self._zone, self._numbers = NetworkOfFunctions(network), zone, itertools.count()
        self._loop = precise_loop()
        self._thread = threading.Thread(target=self._loop.run_forever)
        self._thread.start()
        functions = self.functions
        self._proxy = ShapedProxy(
            Node(HOST, 0), behind, self._of, functions.to_cache, functions.from_cache, functions.tally
        )
        self.port = asyncio.run_coroutine_threadsafe(self._proxy.open(), self._loop).result(20)

    async def _of(self, _connection):
        if self._zone is None:
            return None
        return self.functions.of_environment(str(next(self._numbers)), self._zone, time.monotonic())

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._loop.call_soon_threadsafe(self._proxy.close)
        # What closing has scheduled comes before the end.
        self._loop.call_soon_threadsafe(self._loop.call_later, 0.05, self._loop.stop)
        self._thread.join()
        self._loop.close()

    def client(self):
        """A client like the workers'."""
        return Client((HOST, self.port), timeout=20, connect_timeout=5, default_noreply=False)


@pytest.fixture(scope="module")
def cache():
    """The address of a memcached for this module."""
    ports = ReservedPorts(["cache"], {})
    port = ports.numbers["cache"]
    process = subprocess.Popen(memcached_service(find_memcached(), port).command)
    assert wait_until(lambda: answers_memcached(port), 10)
    yield Node(HOST, port)
    process.kill()
    process.wait()
    ports.close()


def seconds(action):
    """How long it takes."""
    began = time.monotonic()
    action()
    return time.monotonic() - began


def test_bytes_pass_unchanged(cache):
    """Every command of pymemcache works, with large and awkward values."""
    values = {"a": bytes(range(256)) * 3000, "b": b"", "c": b"END\r\n", "d": b"VALUE x 0 9\r\n"}

    with Emulation(emulated(), cache) as emulation:
        client = emulation.client()
        assert [] == client.set_many(values)
        assert values == client.get_many([*values, "absent"])
        assert client.add("counter", b"1", expire=60)
        assert 3 == client.incr("counter", 2)
        assert client.stats()[b"version"] == client.version()
        client.close()


def test_a_trip_takes_what_was_drawn(cache):
    """No trip is shorter, for small and for large requests, and the tally tells what was delivered."""
    with Emulation(emulated(store_latency=40), cache) as emulation:
        client = emulation.client()
        took = [seconds(lambda: client.get("absent")) for _ in range(5)]
        took.append(seconds(lambda: client.set("large", bytes(900_000))))
        took.append(seconds(lambda: client.get("large")))
        client.close()
        (figures,) = emulation.functions.tally.figures()

    assert min(took) >= 0.04
    assert (figures.kind, figures.zone, figures.trips) == ("store_latency", CACHE_ZONE, 7)
    assert figures.drawn_ms == {"p50": 40.0, "p99": 40.0}
    assert 39.9 < figures.delivered_ms["p50"]


def test_another_zone_is_farther(cache):
    """A function in another zone waits for that zone's draw."""
    with Emulation(emulated(store_latency=1, store_latency_other_zone=60), cache, zone=ZONES[1]) as emulation:
        client = emulation.client()
        assert seconds(lambda: client.get("absent")) >= 0.06
        client.close()
        (figures,) = emulation.functions.tally.figures()

    assert (figures.kind, figures.zone) == ("store_latency_other_zone", ZONES[1])


def test_a_far_put_is_seen_late(cache):
    """What a function in another zone stores cannot be read before the longer half of its trip is over."""
    figures = emulated(store_latency=1, store_latency_other_zone=600)
    client = Client((HOST, cache.port), timeout=20)
    with Emulation(figures, cache, zone=ZONES[1]) as emulation:
        far, began = emulation.client(), time.monotonic()
        writer = threading.Thread(target=far.set, args=("far", b"1"))
        writer.start()
        assert wait_until(lambda: client.get("far") is not None, 20)
        seen = time.monotonic() - began
        writer.join()
        whole = time.monotonic() - began
        far.close()
    client.close()

    assert 0.29 < seen < whole
    assert whole >= 0.6


def test_the_harness_itself_is_not_slowed(cache):
    """A client that is no function gets its answer at once."""
    with Emulation(emulated(store_latency=5000), cache, zone=None) as emulation:
        client = emulation.client()
        assert seconds(lambda: client.set("direct", b"1")) < 4
        client.close()


def test_bandwidth_is_limited(cache):
    """4 MB over a cable of 2 MB/s take 2 s in each direction, and do not count as latency."""
    with Emulation(emulated(store_latency=1, store_bandwidth=2), cache) as emulation:
        client = emulation.client()
        sent = seconds(lambda: client.set_many({str(key): bytes(1_000_000) for key in range(4)}))
        received = seconds(lambda: client.get_many([str(key) for key in range(4)]))
        client.close()
        (figures,) = emulation.functions.tally.figures()

    assert sent >= 1.9
    assert received >= 1.9
    assert figures.delivered_ms["p50"] < 1500


def test_a_functions_bucket_runs_dry(cache):
    """Behind a burst of 1 MB, bytes come at the base rate, in pulses."""
    figures = emulated(store_latency=1, function_burst=1, function_bandwidth=5)
    with Emulation(figures, cache) as emulation:
        client = emulation.client()
        first = seconds(lambda: client.set("burst", bytes(900_000)))
        later = seconds(lambda: client.set_many({str(key): bytes(900_000) for key in range(3)}))
        client.close()

    assert later >= 0.4
    assert first < later


def test_the_workers_channel_exchanges_large_values(cache):
    """Pipelined stores and reads of many values pass, as a reduce-scatter sends them."""
    values = {f"key{number}": os.urandom(500_000) for number in range(8)}
    with Emulation(emulated(), cache) as emulation:
        channel = MemcachedChannel(HOST, emulation.port, 20)
        found = channel.round_trip(values, list(values))
        again = channel.round_trip({}, [*values, "absent"])
        channel.delete_many(list(values))
        channel.close()

    assert {key: bytes(value) for key, value in found.items()}.items() <= values.items()
    assert values == {key: bytes(value) for key, value in again.items()}
    client = Client((HOST, cache.port), timeout=20)
    assert {} == client.get_many(list(values))
    client.close()


@pytest.mark.parametrize("rest", [b"VALUE k 0 3\r\nabc\r\nEND\r\n", b"late"])
def test_an_answer_that_comes_in_parts_is_complete(rest):
    """The rest comes through, whether the first part looks like the end of an answer or not."""
    asked = threading.Event()
    with socket.create_server((HOST, 0)) as listener:

        def answer():
            connection, _ = listener.accept()
            with connection:
                connection.recv(100)
                connection.sendall(b"STORED\r\n")
                asked.wait(20)
                connection.sendall(rest)
                connection.recv(100)

        cache = threading.Thread(target=answer)
        cache.start()
        with (
            Emulation(emulated(store_latency=1), Node(*listener.getsockname())) as emulation,
            socket.create_connection((HOST, emulation.port), timeout=20) as client,
        ):
            client.sendall(b"set k 0 0 3\r\nabc\r\nget k\r\n")
            first = client.recv(8, socket.MSG_WAITALL)
            asked.set()
            second = client.recv(len(rest), socket.MSG_WAITALL)
        cache.join()

    assert (first, second) == (b"STORED\r\n", rest)


def test_a_cache_that_dies_ends_its_connections():
    """A client whose cache is gone sees the end of its connection, and is refused a new one."""
    ports = ReservedPorts(["cache"], {})
    port = ports.numbers["cache"]
    process = subprocess.Popen(memcached_service(find_memcached(), port).command)
    assert wait_until(lambda: answers_memcached(port), 10)
    with Emulation(emulated(store_latency=1), Node(HOST, port)) as emulation:
        client = emulation.client()
        client.set("a", b"1")
        process.kill()
        process.wait()

        for one in (client, emulation.client()):
            with pytest.raises((OSError, MemcacheError)):
                one.get("a")
            one.close()
    ports.close()


def test_this_machines_own_hop_is_measured(cache):
    """Its figures are there, and its part of a trip is less than the whole."""
    own = asyncio.run(measure(emulated(), cache))

    assert 0 < own.trip_ms < 1000
    assert 0 <= own.unseen_ms < 1000
    assert own.bandwidth > 1


def test_timers_are_precise():
    """A loop whose timers are rounded to whole milliseconds is 0.7 ms late for a wait of 0.3 ms; ours is not."""

    async def lateness(loop):
        late = []
        for _ in range(200):
            due = loop.time() + 0.0003
            await asyncio.sleep(due - loop.time())
            late.append(loop.time() - due)
        # A busy machine makes most of them late; one that is in time tells such a loop from asyncio's own.
        return min(late)

    with asyncio.Runner(loop_factory=precise_loop) as runner:
        assert runner.run(lateness(runner.get_loop())) < 0.0005


class ListedPlaces:
    """Lists environments as the gateway does, and counts how often it is asked."""

    def __init__(self, places):
        self.asked, self._places = 0, places

    async def places(self):
        """The environments as JSON."""
        self.asked += 1
        return json.dumps(self._places).encode()


CHILD = """
import os, socket, sys
if len(sys.argv) > 2 and (child := os.fork()):
    os.waitpid(child, 0)
    sys.exit()
with socket.create_connection(("127.0.0.1", int(sys.argv[1])), timeout=20) as connection:
    connection.recv(1)
"""


@pytest.mark.parametrize("arguments", [[], ["grandchild"]])
def test_a_connection_is_of_the_environment_whose_process_holds_it(arguments):
    """A process and its children are recognised; a known environment's next connection asks nobody."""

    async def found(listener):
        gateway = ListedPlaces([{"id": "e1", "function": "f", "zone": "use1-az2", "pids": [child.pid]}])
        networks = ClientNetworks(NetworkOfFunctions(emulated()), Places(gateway))
        connection, _ = listener.accept()
        with connection:
            first = await networks.of(connection)
            again = await networks.of(connection)
        return first, again, gateway.asked

    with socket.create_server((HOST, 0)) as listener:
        child = subprocess.Popen([sys.executable, "-c", CHILD, str(listener.getsockname()[1]), *arguments])
        first, again, asked = asyncio.run(found(listener))
        child.wait(20)

    assert first.zone == "use1-az2"
    assert (first is again, asked) == (True, 1)


def test_this_process_is_no_function():
    """A connection of the harness's own is of no environment."""

    async def found(connection):
        return await Places(ListedPlaces([])).of(connection)

    with socket.create_server((HOST, 0)) as listener, socket.create_connection(listener.getsockname(), 20):
        connection, _ = listener.accept()
        with connection:
            assert asyncio.run(found(connection)) is None


def test_a_client_that_leaves_at_once_harms_nobody(cache):
    """Clients that connect and close, with and without a request, leave the proxy to the others."""
    with Emulation(emulated(store_latency=1), cache) as emulation:
        for number in range(50):
            with socket.create_connection((HOST, emulation.port), timeout=20) as client:
                if number % 2:
                    client.sendall(b"get a\r\n")
        client = emulation.client()
        assert client.version()
        client.close()


def test_a_request_that_wants_no_answer_is_followed_by_one_that_does(cache):
    """A delete without a reply is carried out, and the next request is answered."""
    with Emulation(emulated(store_latency=1), cache) as emulation:
        client = emulation.client()
        client.set("gone", b"1")
        client.delete("gone", noreply=True)
        assert client.get("gone") is None
        client.close()

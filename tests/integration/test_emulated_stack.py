"""A stack with an emulated network: what functions and the harness notice of it."""

import io
import json
import socket
import time
import zipfile

import msgspec
import pytest

from harness.aws.clients import clients_for
from harness.errors import HarnessError
from harness.presets.distribution import Constant
from harness.presets.emulated_network import EmulatedNetwork
from harness.presets.preset import load_preset
from harness.presets.zones import CACHE_ZONE, ZONES
from harness.runs.emulated_network import network_of_run
from harness.settings import OWN_RUNTIME
from harness.stack import start_private_stack
from tests.support.functions import ROLE

TRIP_S = 2.0
ASKS = b"""
import os, socket, time

def handler(event, context):
    host, port = event["cache"].split(":")
    with socket.create_connection((host, int(port)), timeout=30) as cache:
        began = time.monotonic()
        cache.sendall(b"version\\r\\n")
        cache.recv(100)
        took = time.monotonic() - began
    return {"took": took, "told": [name for name in os.environ if "HARNESS" in name]}
"""


@pytest.fixture(scope="module")
def network():
    """A network on which a trip to the cache takes 2 s from its zone, and 4 s from the other."""
    figures = {name: figure.value for name, figure in load_preset().figures.items()}
    latencies = {"store_latency": Constant(1e3 * TRIP_S), "store_latency_other_zone": Constant(2e3 * TRIP_S)}
    return EmulatedNetwork(preset="slow", figures={**figures, **latencies, "start_scale": Constant(0)}, zones=2)


@pytest.fixture(scope="module")
def slow_stack(settings, network):
    """A stack on that network, with functions in two zones."""
    gateway = msgspec.structs.replace(settings.gateway, zones=2)
    with start_private_stack(msgspec.structs.replace(settings, gateway=gateway), s3="moto", network=network) as stack:
        yield stack


def asked(stack, name):
    """What a new function in the stack has seen."""
    code = io.BytesIO()
    with zipfile.ZipFile(code, "w") as package:
        package.writestr("asks.py", ASKS)
    functions = clients_for(stack.endpoints).management
    functions.create_function(
        FunctionName=name,
        Role=ROLE,
        Runtime=OWN_RUNTIME,
        Handler="asks.handler",
        Code={"ZipFile": code.getvalue()},
        Timeout=60,
    )
    functions.get_waiter("function_active_v2").wait(FunctionName=name)
    payload = json.dumps({"cache": stack.endpoints.memcached})
    answer = functions.invoke(FunctionName=name, Payload=payload)
    return json.loads(answer["Payload"].read())


def test_functions_are_slowed_and_the_harness_is_not(slow_stack):
    """A function's trip takes what was drawn, and it is told nothing; the harness's own takes no such time."""
    seen = asked(slow_stack, "asks")
    host, _, port = slow_stack.endpoints.memcached.partition(":")
    with socket.create_connection((host, int(port)), timeout=30) as cache:
        began = time.monotonic()
        cache.sendall(b"version\r\n")
        answer = cache.recv(100)
        own = time.monotonic() - began

    # What the stack takes for this machine's own part of a trip was measured while it started, and may be too much.
    assert seen["took"] >= 0.9 * TRIP_S
    assert [] == seen["told"]
    assert answer.startswith(b"VERSION")
    assert own < TRIP_S
    run = network_of_run(slow_stack, n_workers=1)
    assert ("slow", 2, CACHE_ZONE) == (run.preset, run.zones, run.cache_zone)
    trips = {trip.zone: (trip.kind, trip.drawn_ms["p50"]) for trip in run.trips}
    assert (
        trips.items()
        <= {
            CACHE_ZONE: ("store_latency", 1e3 * TRIP_S),
            ZONES[1]: ("store_latency_other_zone", 2e3 * TRIP_S),
        }.items()
    )
    assert 1 == sum(trip.trips for trip in run.trips)


def test_without_a_network_nothing_is_in_between(settings):
    """A stack without one has no process of the network, and Memcached is what functions connect to."""
    with start_private_stack(settings, s3="moto") as stack:
        assert {"network", "faults"}.isdisjoint(stack.processes)
        assert "memcached" in stack.processes
        assert network_of_run(stack, n_workers=1) is None


def test_a_network_that_does_not_answer_is_an_error(slow_stack):
    """The error names its address."""
    endpoints = msgspec.structs.replace(slow_stack.endpoints, network="http://127.0.0.1:9")

    with pytest.raises(HarnessError, match="the emulated network does not answer") as caught:
        network_of_run(msgspec.structs.replace(slow_stack, endpoints=endpoints), n_workers=1)

    assert caught.value.where == "http://127.0.0.1:9"

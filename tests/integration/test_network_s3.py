"""S3 under an emulated network, as functions see it: latency, bandwidth, and too many requests a second."""

import json
import uuid
from contextlib import contextmanager

import httpx
import pytest

from harness.aws.clients import clients_for
from harness.guard import authorization
from harness.network.s3_proxy import SHORTEST_WAIT_S
from harness.presets.distribution import Constant
from harness.presets.emulated_network import EmulatedNetwork
from harness.presets.preset import load_preset
from harness.stack import start_private_stack
from tests.support.functions import ROLE, code_arguments

BUCKET = "timed"
# Far above what this machine takes by itself.
READ_S, WRITE_S, BANDWIDTH_MB_S = 0.15, 0.25, 10.0
FIGURES = {
    "s3_latency": 1e3 * READ_S,
    "s3_write_latency": 1e3 * WRITE_S,
    "s3_bandwidth": BANDWIDTH_MB_S,
    "s3_write_bandwidth": BANDWIDTH_MB_S,
}
# A prefix serves one request in five seconds: another one that follows is too many, also on a slow machine.
FEW = 0.2


@contextmanager
def stack_of(settings, figures):
    """A stack with these figures in place of the default preset's."""
    preset = load_preset()
    values = {name: figure.value for name, figure in preset.figures.items()}
    changed = {name: Constant(value) for name, value in figures.items()}
    network = EmulatedNetwork(preset=preset.name, figures=values | changed)
    with start_private_stack(settings, s3="moto", mode="process", network=network) as state:
        clients_for(state.endpoints).s3.create_bucket(Bucket=BUCKET)
        yield state


@pytest.fixture(scope="module")
def slow(settings):
    """A stack whose S3 is slow."""
    with stack_of(settings, FIGURES) as state:
        yield state


@pytest.fixture(scope="module")
def busy(settings):
    """A stack whose S3 serves few requests a second."""
    with stack_of(settings, {"s3_latency": 1.0, "s3_write_latency": 1.0, "s3_reads": FEW, "s3_writes": FEW}) as state:
        yield state


@contextmanager
def function(stack):
    """A function that times requests to S3; a call of what is provided invokes it once."""
    client = clients_for(stack.endpoints).functions
    name = f"time_s3-{uuid.uuid4().hex[:8]}"
    client.create_function(FunctionName=name, Role=ROLE, Timeout=60, **code_arguments("time_s3", None))

    def timed(keys, **event):
        payload = json.dumps({"bucket": BUCKET, "keys": keys, **event})
        return json.loads(client.invoke(FunctionName=name, Payload=payload)["Payload"].read())

    try:
        yield timed
    finally:
        client.delete_function(FunctionName=name)


def put(stack, key, size):
    """Store an object as the harness does: past the emulated network, in no time."""
    clients_for(stack.endpoints).s3.put_object(Bucket=BUCKET, Key=key, Body=bytes(size))


def trips(stack, kind):
    """What the network says of its trips of one kind."""
    answer = httpx.get(f"{stack.endpoints.network}/network", headers=authorization(stack.endpoints.access_key))
    return next(trip for trip in answer.json()["trips"] if trip["kind"] == kind)


def test_reads_and_writes_take_their_latency_and_their_bytes_time(slow):
    """With boto3 and without: 2 MB at 10 MB/s take 0.2 s."""
    put(slow, "a/large", 2_000_000)

    with function(slow) as timed:
        (read,) = timed(["a/large"])
        (written,) = timed(["a/written"], bytes=2_000_000)
        (bare,) = timed(["a/large"], bare=True)

    for one in (read, bare):
        assert one["answered_s"] >= READ_S - SHORTEST_WAIT_S
        assert one["seconds"] >= READ_S + 0.2 - SHORTEST_WAIT_S
    assert written["seconds"] >= WRITE_S + 0.2 - SHORTEST_WAIT_S


def test_what_was_drawn_is_what_was_delivered_to_functions_alone(slow):
    """The network's record, which a run's summary shows, has the functions' requests and none of the harness."""
    put(slow, "d/small", 1)
    with function(slow) as timed:
        timed(["d/small"] * 3)
        before = trips(slow, "s3_latency")
        clients_for(slow.endpoints).s3.get_object(Bucket=BUCKET, Key="d/small")
        timed(["d/small"] * 3, bare=True)
    after = trips(slow, "s3_latency")

    assert 1e3 * READ_S == after["drawn_ms"]["p50"]
    assert 0.99e3 * READ_S < after["delivered_ms"]["p50"]
    # Each invocation lists the buckets first, and one without boto3 does so once more.
    assert 3 + 2 == after["trips"] - before["trips"]


def test_too_many_requests_to_a_prefix_are_refused_as_by_s3(busy):
    """Without retries, the function sees S3's error; other prefixes do not, and writes count by themselves."""
    for key in ("e/one", "f/one"):
        put(busy, key, 1)

    with function(busy) as timed:
        read, *refused_reads, elsewhere = timed(["e/one", "e/one", "f/one"], retries=0)
        # boto3 waits for S3 to ask for the body, which it does not.
        written, *refused_writes = timed(["e/two", "e/three"], bytes=100_000, retries=0)

    assert all("error" not in one for one in (read, elsewhere, written))
    for refused in (refused_reads, refused_writes):
        assert [("SlowDown", "Please reduce your request rate.", 503)] == [
            (one["error"]["Code"], one["error"]["Message"], one["status"]) for one in refused
        ]


def test_boto3_retries_until_the_prefix_has_room(busy):
    """With the retries of its client, a function only notices that a request takes longer."""
    put(busy, "g/one", 1)

    with function(busy) as timed:
        first, second = timed(["g/one", "g/one"], retries=9)

    assert 0 == first["retries"]
    assert second["retries"] >= 1

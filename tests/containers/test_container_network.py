"""An emulated network, and faults, in a stack of containers."""

import json
import time
import uuid

import msgspec
import pytest

from harness.aws.clients import clients_for
from harness.cli._stack_text import describe
from harness.faults import Plan, parse_fault
from harness.presets.distribution import Constant
from harness.presets.emulated_network import EmulatedNetwork
from harness.presets.preset import load_preset
from harness.presets.zones import CACHE_ZONE, ZONES
from harness.runs.faults import in_force
from harness.stack import start_private_stack
from tests.support.functions import ROLE, code_arguments, handlers_image
from tests.support.running import run_job

# Far above what this machine takes by itself, and apart from one another.
FIGURES = {
    "store_latency": 3.0,
    "store_latency_other_zone": 9.0,
    "s3_latency": 150.0,
    "s3_write_latency": 250.0,
    "cold_start_image": 3000.0,
}
JOB = {"n_workers": 2, "n_epochs": 3, "batch_size": 100, "optim": "grad_avg"}


@pytest.fixture(scope="module")
def stack(engine, base, settings):
    """A stack in containers, with functions in two zones, whose network is emulated and takes fault plans."""
    del engine, base
    preset = load_preset()
    figures = {name: figure.value for name, figure in preset.figures.items()}
    changed = {name: Constant(value) for name, value in FIGURES.items()}
    network = EmulatedNetwork(preset=preset.name, figures=figures | changed, zones=2)
    quick = msgspec.structs.replace(settings.gateway, zones=2, retry_time_scale=0.02)
    settings = msgspec.structs.replace(settings, gateway=quick)
    with start_private_stack(settings, s3="moto", mode="container", network=network, faults=True) as state:
        yield state


@pytest.fixture(scope="module")
def invoke(stack, tmp_path_factory):
    """Creates a function of one behaviour and invokes it once: its answer."""
    client = clients_for(stack.endpoints).functions
    with handlers_image(tmp_path_factory.mktemp("image")) as image:

        def invoke_function(behaviour, event):
            name = f"{behaviour}-{uuid.uuid4().hex[:8]}"
            client.create_function(FunctionName=name, Role=ROLE, Timeout=60, **code_arguments(behaviour, image))
            try:
                answer = client.invoke(FunctionName=name, Payload=json.dumps(event))
                return json.loads(answer["Payload"].read())
            finally:
                client.delete_function(FunctionName=name)

        yield invoke_function


def networks_of(engine, stack, name):
    """The addresses of one of the stack's containers by network."""
    attached = engine.containers.get(stack.containers[name]).attrs["NetworkSettings"]["Networks"]
    return {network: entry["IPAddress"] for network, entry in attached.items()}


def test_the_network_is_a_container_without_privileges(engine, stack):
    """It is read-only, an ordinary user without capabilities, and has neither the engine nor this machine's files."""
    found = engine.containers.get(stack.containers["network"])
    host = found.attrs["HostConfig"]

    assert host["ReadonlyRootfs"]
    assert not host["Privileged"]
    assert ["ALL"] == host["CapDrop"]
    assert not host["CapAdd"]
    assert ["no-new-privileges"] == host["SecurityOpt"]
    assert [] == found.attrs["Mounts"]
    assert host["NetworkMode"] != "host"
    assert "1000:1000" == found.attrs["Config"]["User"]


def test_a_listing_of_the_stack_has_the_network(stack):
    """As `harness status` prints it, with the address that this machine has for it."""
    lines = [str(line) for line in describe(stack, [])]

    assert any("network" in line and str(stack.endpoints.network) in line for line in lines), lines


def test_functions_reach_cache_and_s3_through_the_network_alone(engine, stack, invoke):
    """The cache's name leads to the network's container, and the cache itself is in no network of theirs."""
    (cache,) = networks_of(engine, stack, "memcached").values()
    between = networks_of(engine, stack, "network")[stack.network]
    through = [f"{between}:11211", f"{between}:4566", "memcached:11211"]

    found = invoke("look_around", {"addresses": [*through, f"{cache}:11211"]})

    assert through == found["reached"]


def test_an_image_starts_as_late_as_was_drawn(invoke):
    """A first invocation waits for its container, and for what AWS would take beyond that."""
    begun = time.monotonic()

    assert 1 == invoke("echo", {})["count"]

    assert time.monotonic() - begun >= 3.0


def test_a_function_waits_for_s3_as_long_as_was_drawn(stack, invoke):
    """Reads and writes take their latency, for any client of S3."""
    clients_for(stack.endpoints).s3.create_bucket(Bucket="timed")

    written = invoke("time_s3", {"bucket": "timed", "keys": ["a", "b"], "bytes": 1000})
    read = invoke("time_s3", {"bucket": "timed", "keys": ["a", "b"]})

    assert all(one["seconds"] >= 0.25 for one in written), written
    assert all(one["seconds"] >= 0.15 for one in read), read


def test_a_run_in_two_zones_has_the_same_model_with_faults_and_without(stack, settings):
    """Each zone has its own trips; a killed rank and a restarted cache leave the same bits."""
    calm = run_job(stack, settings, **JOB)
    hit = run_job(stack, settings, faults=["kill rank=1 round=3", "restart memcached round=9"], **JOB)

    assert calm.model["sha256"] == hit.model["sha256"]
    assert 2 == hit.workers[1].attempts
    faults = {event["fault"]: event["times"] for event in hit.events if event["event"] == "fault"}
    assert {"kill rank=1 round=3": 1, "restart round=9": 1} == faults
    trips = {(trip.kind, trip.zone): trip for trip in calm.network.trips}
    for kind, zone in (("store_latency", CACHE_ZONE), ("store_latency_other_zone", ZONES[1])):
        trip = trips[kind, zone]
        assert FIGURES[kind] == trip.drawn_ms["p50"]
        # Answers are fetched early by as much as timers are usually late, up to 0.3 ms.
        assert trip.delivered_ms["p50"] > 0.8 * FIGURES[kind]
        assert trip.trips >= calm.rounds


@pytest.mark.parametrize(
    ("fault", "seen"),
    [
        ("cut rank=1 round=5 s=600", {"put": "ConnectionResetError", "new": "ConnectionResetError", "s3": "OK"}),
        ("cut s3 rank=1 round=5 s=600", {"put": "STORED", "new": "VERSION", "s3": "ConnectionClosedError"}),
    ],
)
def test_one_rank_is_cut_off_and_the_others_are_not(stack, invoke, fault, seen):
    """The container between knows whose connection it is, behind an emulated network too."""
    run_id = uuid.uuid4().hex

    def ask(rank, round_number):
        put = f"{run_id}/{round_number}/0/{rank}"
        event = {"run_id": run_id, "worker_index": rank, "cache": "memcached:11211", "put": put}
        told = invoke("reach", event)
        return {key: told[key] for key in ("put", "new", "s3")}

    up = {"put": "STORED", "new": "VERSION", "s3": "OK"}
    with in_force(stack, run_id, 3, Plan((parse_fault(fault),))):
        assert up == ask(1, 4)
        assert seen == ask(1, 5)
        assert up == ask(2, 4)
    assert up == ask(1, 5)


@pytest.mark.slow
@pytest.mark.parametrize(
    "fault",
    [
        "cut rank=1 round=3 s=1",
        "freeze rank=0 round=3 s=0.5",
        "freeze rank=0 round=3 factor=3",
        "kill rank=1 round=3 how=oom",
        "503 n=2",
    ],
)
def test_faults_of_a_container_are_those_of_a_process(stack, settings, fault):
    """Each is injected, and the run recovers."""
    summary = run_job(stack, settings, faults=[fault], **JOB)

    (injected,) = [event for event in summary.events if event["event"] == "fault"]
    assert injected["times"] >= 1
    if "kill" in fault:
        assert {"event": "died", "rank": 1, "cause": "Runtime.OutOfMemory"} in summary.events

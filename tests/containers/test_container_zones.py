"""Zones and starts in container mode: a function learns its zone, is lost with it, and starts as slowly as on AWS.

The network of this stack is emulated; its starts are so long that no machine takes as much by itself.
"""

import json
import os
import time
import uuid
from concurrent.futures import ThreadPoolExecutor

import httpx
import msgspec
import pytest

from harness.aws.clients import clients_for
from harness.guard import authorization
from harness.presets.distribution import ByCount, Constant
from harness.presets.emulated_network import EmulatedNetwork
from harness.presets.preset import load_preset
from harness.presets.zones import ZONES
from harness.stack import start_private_stack
from harness.system.probes import wait_until
from tests.support.functions import ROLE, code_arguments, handlers_image, remove_image

# An image of so many MB more than its base starts so much later.
OWN_MB, LATER_S = 10, 8.0
STARTS = {"cold_start_image": 1.0, "cold_start_zip": 1.0, "cold_start_image_mb": 1e3 * LATER_S / OWN_MB}


@pytest.fixture(scope="module")
def stack(engine, base, settings):
    """A stack in containers, whose functions are in two zones."""
    del engine, base
    preset = load_preset()
    figures = {name: figure.value for name, figure in preset.figures.items()}
    figures |= {name: Constant(value) for name, value in STARTS.items()}
    figures["fan_out"] = ByCount((1, 1000), (0.001, 0.002))
    network = EmulatedNetwork(preset=preset.name, figures=figures, zones=2)
    in_two = msgspec.structs.replace(settings, gateway=msgspec.structs.replace(settings.gateway, zones=2))
    with start_private_stack(in_two, s3="moto", mode="container", network=network) as state:
        yield state


@pytest.fixture(scope="module")
def image(tmp_path_factory):
    """The image of all handlers."""
    with handlers_image(tmp_path_factory.mktemp("image")) as image_id:
        yield image_id


@pytest.fixture
def large_image(engine, image, tmp_path):
    """An image on top of that one; to be asked for before the function that needs it, which is removed first."""
    (tmp_path / "own").write_bytes(os.urandom(OWN_MB * 1_000_000))
    (tmp_path / "Dockerfile").write_text(f"FROM {image}\nCOPY own /var/task/own\n")
    built, _ = engine.images.build(path=str(tmp_path), rm=True)
    yield built.id
    remove_image(engine, built.id)


@pytest.fixture
def create(stack):
    """Creates a function that runs a handler from an image; returns its name and what invokes it."""
    functions, names = clients_for(stack.endpoints).functions, []

    def create_function(handler, image):
        name = f"zones-{uuid.uuid4().hex[:8]}"
        functions.create_function(FunctionName=name, Role=ROLE, Timeout=90, **code_arguments(handler, image))
        names.append(name)

        def invoke(event):
            answer = functions.invoke(FunctionName=name, Payload=json.dumps(event))
            return answer.get("FunctionError"), json.load(answer["Payload"])

        return name, invoke

    yield create_function
    for name in names:
        functions.delete_function(FunctionName=name)


def call(stack, method, path, content=None):
    """What the gateway answers to the harness."""
    signed = authorization(stack.endpoints.access_key)
    url = f"{stack.endpoints.lambda_}/_harness/{path}"
    answer = httpx.request(method, url, json=content, headers=signed, timeout=60, trust_env=False)
    return answer.raise_for_status().content


def places(stack, name):
    """Where a function's environments are."""
    return [place for place in json.loads(call(stack, "GET", "places")) if place["function"] == name]


def meeting(stack, count):
    """The event of a handler that waits for others."""
    return {"cache": stack.functions_see.memcached, "key": uuid.uuid4().hex, "count": count, "seconds": 60}


def zone_in(answer):
    """The zone that a function has learnt."""
    error, told = answer
    assert error is None, told
    return json.loads(told["body"])["AvailabilityZoneID"]


def test_each_container_learns_the_zone_that_its_address_is_listed_in(stack, create, image):
    """Two containers that run at once are in two zones; a wrong token is refused."""
    name, invoke = create("ask_metadata", image)
    with ThreadPoolExecutor(2) as pool:
        answers = list(pool.map(invoke, [{"meeting": meeting(stack, 2)}] * 2))

    own = places(stack, name)
    assert list(ZONES[:2]) == sorted(map(zone_in, answers)) == sorted(place["zone"] for place in own)
    assert [1, 1] == [len(place["addresses"]) for place in own]
    assert [[], []] == [place["pids"] for place in own]
    assert 401 == invoke({"token": "wrong"})[1]["status"]


def test_a_lost_zone_takes_its_containers_along(stack, create, image):
    """The invocation fails, although no process in a container can be killed by itself; the next is elsewhere."""
    name, invoke = create("ask_metadata", image)
    with ThreadPoolExecutor(1) as pool:
        lost = pool.submit(invoke, {"meeting": meeting(stack, 2)})
        assert wait_until(lambda: places(stack, name), 60)
        (zone,) = [place["zone"] for place in places(stack, name)]
        fault = {"action": "lose", "target": "zone", "zone": zone}
        call(stack, "POST", "faults/a-run/strike", {"fault": fault, "ranks": []})
        assert "Unhandled" == lost.result(timeout=60)[0]

    assert {zone, zone_in(invoke({}))} == set(ZONES[:2])
    call(stack, "DELETE", "faults/a-run")


def test_a_large_image_starts_later(large_image, create):
    """Each MB above the base counts; the same environment serves its next invocation at once."""
    _, invoke = create("echo", large_image)

    began = time.monotonic()
    invoke({})
    cold_s, began = time.monotonic() - began, time.monotonic()
    invoke({})
    warm_s = time.monotonic() - began

    assert warm_s < LATER_S <= cold_s

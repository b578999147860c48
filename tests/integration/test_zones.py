"""Zones: environments take turns in them, and a function learns its own by the metadata endpoint."""

import importlib.util
import json
import uuid
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import msgspec
import psutil
import pytest

from harness.aws.clients import clients_for
from harness.guard import authorization
from harness.runs.functions import package
from harness.settings import OWN_RUNTIME, FunctionSettings
from harness.stack import start_private_stack
from harness.system.probes import wait_until
from tests.support.functions import ROLE

ZONES = ("use1-az1", "use1-az2")
ENDPOINT = "/2026-01-15/metadata/execution-environment"

# It waits until all are there, so that each invocation has an environment of its own.
ASK = """
import os, time, urllib.error, urllib.request
from aws_lambda_powertools.utilities.metadata import get_lambda_metadata
import boto3

def ask(method, authorization):
    url = f"http://{os.environ['AWS_LAMBDA_METADATA_API']}/2026-01-15/metadata/execution-environment"
    headers = {} if authorization is None else {"Authorization": authorization}
    try:
        answer = urllib.request.urlopen(urllib.request.Request(url, headers=headers, method=method))
    except urllib.error.HTTPError as error:
        answer = error
    headers = {name.lower(): value for name, value in answer.headers.items()}
    return [answer.status, headers["content-type"], headers.get("cache-control"), answer.read().decode()]

def handler(event, context):
    token = os.environ["AWS_LAMBDA_METADATA_TOKEN"]
    if event:
        s3 = boto3.client("s3")
        s3.put_object(Bucket=event["barrier"], Key=token, Body=b"")
        while s3.list_objects_v2(Bucket=event["barrier"])["KeyCount"] < event["n"]:
            time.sleep(0.01)
    wrong = [("GET", None), ("GET", "Bearer wrong"), ("GET", f"Basic {token}"), ("POST", f"Bearer {token}")]
    return {
        "zone": get_lambda_metadata().availability_zone_id,
        "token": token,
        "pid": os.getpid(),
        "private": [name for name in os.environ if name.startswith("_HARNESS")],
        "answer": ask("GET", f"Bearer {token}"),
        "refusals": [ask(*each) for each in wrong],
    }
"""


@pytest.fixture(scope="module")
def two_zones(settings):
    """A stack whose functions run in two zones."""
    gateway = msgspec.structs.replace(settings.gateway, zones=2)
    with start_private_stack(msgspec.structs.replace(settings, gateway=gateway), s3="moto") as stack:
        yield stack


@pytest.fixture(scope="module")
def code(tmp_path_factory):
    """The package of a function with the library that AWS's page recommends."""
    folder = tmp_path_factory.mktemp("asking")
    (folder / "function.py").write_text(ASK)
    library = Path(importlib.util.find_spec("aws_lambda_powertools").origin).parent
    needed = [library.with_name(name) for name in ("jmespath", "typing_extensions.py")]
    return package(FunctionSettings(source=folder, handler="function.handler", include=(library, *needed)))


class Asking:
    """A function that tells what it learns of its zone."""

    def __init__(self, stack, code) -> None:
        self.name, self.stack, self.clients = f"zones-{uuid.uuid4().hex[:8]}", stack, clients_for(stack.endpoints)
        self.clients.functions.create_function(
            FunctionName=self.name,
            Role=ROLE,
            Runtime=OWN_RUNTIME,
            Handler="function.handler",
            Code={"ZipFile": code},
            Timeout=60,
        )

    def invoke(self, event=None):
        """The answer of one environment."""
        answer = self.clients.functions.invoke(FunctionName=self.name, Payload=json.dumps(event or {}))
        payload = json.load(answer["Payload"])
        assert "FunctionError" not in answer, payload
        return payload

    def at_once(self, number):
        """The answers of so many environments."""
        bucket = f"zones-{uuid.uuid4().hex[:8]}"
        self.clients.s3.create_bucket(Bucket=bucket)
        with ThreadPoolExecutor(number) as pool:
            return list(pool.map(self.invoke, [{"barrier": bucket, "n": number}] * number))

    def places(self):
        """Where the gateway says that its environments are."""
        return [place for place in self.observe("places") if place["function"] == self.name]

    def states(self):
        """What the gateway says that its environments do."""
        return [one["state"] for one in self.observe("environments")["each"] if one["function"] == self.name]

    def observe(self, what):
        """What the gateway tells an observer."""
        url, signed = f"{self.stack.endpoints.lambda_}/_harness/{what}", authorization(self.stack.endpoints.access_key)
        return httpx.get(url, headers=signed, trust_env=False).raise_for_status().json()


@pytest.fixture
def asking(two_zones, code):
    """Such a function in a stack with two zones."""
    function = Asking(two_zones, code)
    yield function
    function.clients.functions.delete_function(FunctionName=function.name)


def test_environments_take_turns_and_powertools_says_which_zone_each_is_in(asking):
    """Two of four environments are in each zone, and the gateway lists the same zone for each one's process."""
    answers = asking.at_once(4)

    listed = asking.places()
    zones = {
        process.pid: place["zone"]
        for place in listed
        for pid in place["pids"]
        for process in (psutil.Process(pid), *psutil.Process(pid).children(recursive=True))
    }
    assert sorted(ZONES * 2) == sorted(answer["zone"] for answer in answers)
    assert [answer["zone"] for answer in answers] == [zones[answer["pid"]] for answer in answers]
    assert [[]] * 4 == [place["addresses"] for place in listed]
    assert 4 == len({answer["token"] for answer in answers}) == len({place["id"] for place in listed})
    assert not any(answer["private"] for answer in answers)


def test_the_endpoint_answers_as_aws_documents_it(asking):
    """The zone may be cached for twelve hours; a missing or wrong token is 401, and any method but GET is 405."""
    answer = asking.invoke()

    body = f'{{"AvailabilityZoneID":"{answer["zone"]}"}}'
    assert [200, "application/json", "private, max-age=43200, immutable", body] == answer["answer"]
    plain = "text/plain; charset=utf-8", None
    assert [[401, *plain, "Unauthorized\n"]] * 3 == answer["refusals"][:3]
    assert [405, *plain, "Method Not Allowed\n"] == answer["refusals"][3]


def test_the_token_of_an_environment_that_has_ended_is_refused(two_zones, code):
    """It is of no use to whoever has kept it."""
    function = Asking(two_zones, code)
    headers = {"Authorization": f"Bearer {function.invoke()['token']}"}
    while_alive = httpx.get(two_zones.endpoints.lambda_ + ENDPOINT, headers=headers, trust_env=False)

    function.clients.functions.delete_function(FunctionName=function.name)
    assert wait_until(lambda: not function.places(), 30)
    afterwards = httpx.get(two_zones.endpoints.lambda_ + ENDPOINT, headers=headers, trust_env=False)

    assert (200, 401) == (while_alive.status_code, afterwards.status_code)


def lose(stack, zone):
    """Lose a zone, as the proxy does that has seen the put of a plan's fault."""
    fault = {"action": "lose", "target": "zone", "zone": zone}
    control(stack, "POST", "/strike", {"fault": fault, "ranks": []})


def control(stack, method, path="", content=None):
    """Steer the faults of a run."""
    url, signed = f"{stack.endpoints.lambda_}/_harness/faults/a-run{path}", authorization(stack.endpoints.access_key)
    httpx.request(method, url, json=content, headers=signed, timeout=30, trust_env=False).raise_for_status()


def test_the_environments_of_a_lost_zone_end_and_others_start_elsewhere(two_zones, code):
    """Its invocation fails at once; what follows runs in the zone that is left, until the run is over."""
    function = Asking(two_zones, code)
    bucket = f"zones-{uuid.uuid4().hex[:8]}"
    function.clients.s3.create_bucket(Bucket=bucket)
    with ThreadPoolExecutor(1) as pool:
        # It waits for another one, which never comes.
        lost = pool.submit(function.invoke, {"barrier": bucket, "n": 2})
        assert wait_until(lambda: "Contents" in function.clients.s3.list_objects_v2(Bucket=bucket), 30)
        (zone,) = [place["zone"] for place in function.places()]

        lose(two_zones, zone)
        with pytest.raises(AssertionError, match="FunctionError"):
            lost.result(timeout=30)
    (left,) = set(ZONES) - {zone}
    assert {left} == {answer["zone"] for answer in function.at_once(2)}

    control(two_zones, "DELETE")
    assert set(ZONES) == {answer["zone"] for answer in function.at_once(4)}
    function.clients.functions.delete_function(FunctionName=function.name)


def test_while_the_only_zone_is_lost_invocations_wait(forked, code):
    """They run as soon as it is back."""
    function = Asking(forked.stack, code)
    lose(forked.stack, ZONES[0])
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(function.invoke)
        assert wait_until(lambda: "cold" in function.states(), 30)
        assert not function.places()

        control(forked.stack, "DELETE")
        assert ZONES[0] == waiting.result(timeout=30)["zone"]
    function.clients.functions.delete_function(FunctionName=function.name)

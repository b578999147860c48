"""Faults of the Lambda service, in answers and in logs: real environments killed, frozen, delayed or duplicated."""

import json
import time
import uuid
from concurrent.futures import ThreadPoolExecutor

import httpx
import msgspec
import pytest

from harness.aws.clients import clients_for
from harness.faults import Plan, parse_fault
from harness.guard import authorization
from harness.runs.functions import package
from harness.settings import FunctionSettings
from harness.stack import start_private_stack
from harness.system.probes import wait_until
from tests.support.functions import lines_of

WITHIN_S = 30
# Says that it has come, and runs until it is let go, however long that takes.
HOLDS = """
import os, time
def handler(event, context):
    if "came" in event:
        open(event["came"], "a").close()
    while "until" in event and not os.path.exists(event["until"]):
        time.sleep(0.01)
    return "let go"
"""


class Service:
    """A gateway that retries within a second, with one function that runs until a test lets it go."""

    def __init__(self, stack, folder) -> None:
        self.clients = clients_for(stack.endpoints)
        signed = authorization(stack.endpoints.access_key)
        self.control = httpx.Client(base_url=f"{stack.endpoints.lambda_}/_harness", headers=signed, timeout=10)
        self.clients.functions.create_function(
            FunctionName="holds",
            Runtime="python3.11",
            Role="arn:aws:iam::123456789012:role/any",
            Handler="holds.handler",
            Code={"ZipFile": package(FunctionSettings(source=folder, handler="holds.handler"))},
            Timeout=60,
            MemorySize=256,
        )

    def plan(self, *faults):
        """Send faults to the gateway and return their run."""
        run_id = uuid.uuid4().hex
        plan = Plan(tuple(map(parse_fault, faults)))
        body = msgspec.json.encode({"n_workers": 2, "plan": plan})
        self.control.put(f"/faults/{run_id}", content=body).raise_for_status()
        return run_id

    def events(self, run_id):
        """Return the outcomes of the faults."""
        return self.control.get(f"/faults/{run_id}").json()

    def inject(self, run_id, fault, *ranks):
        """Request an injection as the proxy does when it observes a put."""
        body = msgspec.json.encode({"fault": parse_fault(fault), "ranks": ranks})
        self.control.post(f"/faults/{run_id}/strike", content=body).raise_for_status()

    def invoke(self, run_id, rank=0, *, kind="RequestResponse", **event):
        """Invoke a worker as the coordinator does."""
        payload = json.dumps({"run_id": run_id, "worker_index": rank, **event})
        answer = self.clients.functions.invoke(FunctionName="holds", InvocationType=kind, Payload=payload)
        return answer | {"Body": answer["Payload"].read().decode()}

    def log(self, answer):
        """Return the lines of one request, over all its attempts."""
        request_id = answer["ResponseMetadata"]["RequestId"]
        return [line for line in lines_of(self.clients.logs, "holds") if request_id in line]

    def reports(self, answer):
        """Return the REPORT lines of one request, one for each attempt that has ended."""
        return [line for line in self.log(answer) if line.startswith("REPORT")]


@pytest.fixture(scope="module")
def service(settings, tmp_path_factory):
    """Provide the service on a stack of its own."""
    folder = tmp_path_factory.mktemp("holds")
    (folder / "holds.py").write_text(HOLDS)
    gateway = msgspec.structs.replace(settings.gateway, retry_time_scale=0.005)
    with start_private_stack(msgspec.structs.replace(settings, gateway=gateway), s3="moto") as stack:
        service = Service(stack, folder)
        yield service
        service.control.close()


@pytest.mark.parametrize(
    ("how", "words"), [("sigkill", "signal: killed"), ("oom", "signal: killed"), ("exit", "exit status 1")]
)
def test_a_killed_rank_is_reported_as_on_aws(service, tmp_path, how, words):
    """Only that rank's process dies, at once; the answer and the log contain AWS's words for such an end."""
    run_id = service.plan()
    end, came = tmp_path / "end", [tmp_path / "0", tmp_path / "1"]
    with ThreadPoolExecutor(2) as pool:
        victim, other = (
            pool.submit(service.invoke, run_id, rank, came=str(came[rank]), until=str(end)) for rank in (0, 1)
        )
        assert wait_until(lambda: all(file.exists() for file in came), WITHIN_S)
        service.inject(run_id, f"kill rank=0 how={how}", 0)
        died = victim.result(timeout=WITHIN_S)
        assert not other.done()
        end.touch()

    assert "Unhandled" == died["FunctionError"]
    assert "Runtime.ExitError" == json.loads(died["Body"])["errorType"]
    assert words in json.loads(died["Body"])["errorMessage"]
    assert '"let go"' == other.result()["Body"]
    assert wait_until(lambda: service.reports(died), WITHIN_S)
    assert ("Max Memory Used: 256 MB" in service.reports(died)[0]) == (how == "oom")


def test_a_killed_event_is_tried_again(service, tmp_path):
    """Lambda delivers the same request again, to another environment."""
    run_id, end, came = service.plan(), tmp_path / "end", tmp_path / "came"
    answer = service.invoke(run_id, kind="Event", came=str(came), until=str(end))
    assert wait_until(came.exists, WITHIN_S)

    service.inject(run_id, "kill rank=0", 0)

    assert wait_until(lambda: len(service.reports(answer)) == 1, WITHIN_S), service.log(answer)
    end.touch()
    assert wait_until(lambda: len(service.reports(answer)) == 2, WITHIN_S), service.log(answer)


@pytest.mark.parametrize("fault", ["freeze rank=0 factor=10", "freeze rank=0 s=1.5"])
def test_a_frozen_rank_goes_on_later(service, tmp_path, fault):
    """A frozen process completes its work after it is resumed."""
    run_id, end, came = service.plan(), tmp_path / "end", tmp_path / "came"
    with ThreadPoolExecutor(1) as pool:
        answer = pool.submit(service.invoke, run_id, came=str(came), until=str(end))
        assert wait_until(came.exists, WITHIN_S)
        started = time.monotonic()
        service.inject(run_id, fault, 0)
        end.touch()

    assert '"let go"' == answer.result()["Body"]
    if "s=" in fault:
        assert time.monotonic() - started >= 1.5
    assert '"let go"' == service.invoke(run_id)["Body"]


def test_an_event_is_delivered_twice(service):
    """The same request id runs twice; another rank's runs once."""
    run_id = service.plan("duplicate rank=0 delay_s=0.2")

    twice, once = (service.invoke(run_id, rank, kind="Event") for rank in (0, 1))

    assert wait_until(lambda: len(service.reports(twice)) == 2, WITHIN_S), service.log(twice)
    assert wait_until(lambda: len(service.reports(once)) == 1, WITHIN_S), service.log(once)
    assert [1] == [event["times"] for event in service.events(run_id)]


def test_a_throttled_event_comes_later(service):
    """A throttled event runs once, as soon as there is room."""
    run_id = service.plan("throttle rank=0 n=2")

    answer = service.invoke(run_id, kind="Event")

    assert wait_until(lambda: len(service.reports(answer)) == 1, WITHIN_S)
    assert [2] == [event["times"] for event in service.events(run_id)]


def test_a_late_and_a_lost_cold_start(service):
    """A late environment answers late; a lost one is a failed attempt, logged and retried."""
    run_id = service.plan("cold-start rank=0 delay_s=0.4", "cold-start rank=1 lost")
    started = time.monotonic()

    assert '"let go"' == service.invoke(run_id)["Body"]

    assert time.monotonic() - started >= 0.4
    lost = service.invoke(run_id, rank=1, kind="Event")
    assert wait_until(lambda: len(service.reports(lost)) == 1, WITHIN_S)
    assert [1, 1] == [event["times"] for event in service.events(run_id)]
    assert any("the cold start was lost" in line for line in service.log(lost))


def test_other_runs_are_let_alone(service):
    """The plan of one run affects neither another run nor an event that belongs to no run."""
    service.plan("throttle n=5", "cold-start lost")

    assert '"let go"' == service.invoke("another-run")["Body"]
    plain = service.clients.functions.invoke(FunctionName="holds", Payload=b'{"run_id": ["odd"]}')
    assert b'"let go"' == plain["Payload"].read()

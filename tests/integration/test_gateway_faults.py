"""Faults of the Lambda service, in answers and in logs: real environments killed, frozen, delayed or duplicated."""

import json
import time
import uuid
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

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

HANDLERS = Path(__file__).parents[2] / "fixtures" / "handlers"
WITHIN_S = 20


class Service:
    """A gateway that retries within a second, with one function that sleeps."""

    def __init__(self, stack) -> None:
        self.clients = clients_for(stack.endpoints)
        signed = authorization(stack.endpoints.access_key)
        self.control = httpx.Client(base_url=f"{stack.endpoints.lambda_}/_harness", headers=signed, timeout=10)
        self.clients.functions.create_function(
            FunctionName="sleep",
            Runtime="python3.11",
            Role="arn:aws:iam::123456789012:role/any",
            Handler="sleep.handler",
            Code={"ZipFile": package(FunctionSettings(source=HANDLERS, handler="sleep.handler"))},
            Timeout=20,
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

    def invoke(self, run_id, rank=0, seconds=0.0, kind="RequestResponse"):
        """Invoke a worker as the coordinator does."""
        payload = json.dumps({"run_id": run_id, "worker_index": rank, "seconds": seconds})
        answer = self.clients.functions.invoke(FunctionName="sleep", InvocationType=kind, Payload=payload)
        return answer | {"Body": answer["Payload"].read().decode()}

    def log(self, answer):
        """Return the lines of one request, over all its attempts."""
        request_id = answer["ResponseMetadata"]["RequestId"]
        return [line for line in lines_of(self.clients.logs, "sleep") if request_id in line]

    def reports(self, answer):
        """Return the REPORT lines of one request, one for each attempt that has ended."""
        return [line for line in self.log(answer) if line.startswith("REPORT")]

    def busy(self):
        """Return the number of busy environments."""
        counts = self.control.get("/environments").json()["environments"]
        return counts.get("sleep", {"busy": 0})["busy"]


@pytest.fixture(scope="module")
def service(settings):
    """Provide the service on a stack of its own."""
    gateway = msgspec.structs.replace(settings.gateway, retry_time_scale=0.005)
    with start_private_stack(msgspec.structs.replace(settings, gateway=gateway), s3="moto") as stack:
        service = Service(stack)
        yield service
        service.control.close()


@pytest.mark.parametrize(
    ("how", "words"), [("sigkill", "signal: killed"), ("oom", "signal: killed"), ("exit", "exit status 1")]
)
def test_a_killed_rank_is_reported_as_on_aws(service, how, words):
    """Only that rank's process dies, at once; the answer and the log contain AWS's words for such an end."""
    run_id = service.plan()
    with ThreadPoolExecutor(2) as pool:
        victim, other = (pool.submit(service.invoke, run_id, rank, seconds) for rank, seconds in ((0, 15), (1, 1)))
        assert wait_until(lambda: service.busy() == 2, WITHIN_S)
        assert wait_until(lambda: any("START" in line for line in running_log(service)), WITHIN_S)
        service.inject(run_id, f"kill rank=0 how={how}", 0)
        died = victim.result(timeout=5)

    assert "Unhandled" == died["FunctionError"]
    assert "Runtime.ExitError" == json.loads(died["Body"])["errorType"]
    assert words in json.loads(died["Body"])["errorMessage"]
    assert '"slept"' == other.result()["Body"]
    assert wait_until(lambda: service.reports(died), WITHIN_S)
    assert ("Max Memory Used: 256 MB" in service.reports(died)[0]) == (how == "oom")


def running_log(service):
    """Return all lines of the function."""
    return lines_of(service.clients.logs, "sleep")


def test_a_killed_event_is_tried_again(service):
    """Lambda delivers the same request again, to another environment."""
    run_id = service.plan()
    answer = service.invoke(run_id, seconds=1, kind="Event")
    assert wait_until(lambda: service.busy() == 1, WITHIN_S)

    service.inject(run_id, "kill rank=0", 0)

    assert wait_until(lambda: len(service.reports(answer)) == 2, WITHIN_S), service.log(answer)


@pytest.mark.parametrize("fault", ["freeze rank=0 s=1.5", "freeze rank=0 factor=10"])
def test_a_frozen_rank_goes_on_later(service, fault):
    """A frozen process completes its work after it is resumed."""
    run_id = service.plan()
    service.invoke(run_id)
    started = time.monotonic()
    with ThreadPoolExecutor(1) as pool:
        answer = pool.submit(service.invoke, run_id, 0, 0.5)
        assert wait_until(lambda: service.busy() == 1, WITHIN_S)
        service.inject(run_id, fault, 0)

    assert '"slept"' == answer.result()["Body"]
    if "s=" in fault:
        assert time.monotonic() - started >= 1.5
    assert '"slept"' == service.invoke(run_id)["Body"]


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

    assert '"slept"' == service.invoke(run_id)["Body"]

    assert time.monotonic() - started >= 0.4
    lost = service.invoke(run_id, rank=1, kind="Event")
    assert wait_until(lambda: len(service.reports(lost)) == 1, WITHIN_S)
    assert [1, 1] == [event["times"] for event in service.events(run_id)]
    assert any("the cold start was lost" in line for line in service.log(lost))


def test_other_runs_are_let_alone(service):
    """The plan of one run affects neither another run nor an event that belongs to no run."""
    service.plan("throttle n=5", "cold-start lost")

    assert '"slept"' == service.invoke("another-run")["Body"]
    plain = service.clients.functions.invoke(FunctionName="sleep", Payload=b'{"seconds": 0, "run_id": ["odd"]}')
    assert b'"slept"' == plain["Payload"].read()

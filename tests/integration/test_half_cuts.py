"""Faults that strike the connections of one rank: what two real functions see of Memcached and S3 meanwhile."""

import json
import uuid

import pytest

from harness.aws.clients import clients_for
from harness.faults import Plan, parse_fault
from harness.runs.faults import in_force, read_events
from harness.stack import start_private_stack
from tests.support.functions import ROLE, code_arguments

UP = {"before": "VERSION", "idle": "VERSION", "new": "VERSION", "s3": "OK"}
CUT, SILENT = "ConnectionResetError", "TimeoutError"


@pytest.fixture(scope="module")
def faulty_stack(settings):
    """A stack with faults."""
    with start_private_stack(settings, s3="moto", faults=True) as state:
        yield state


@pytest.fixture(scope="module")
def ask(faulty_stack):
    """A function that says what it can reach; a call invokes it as a rank of a run."""
    client, name = clients_for(faulty_stack.endpoints).functions, f"reach-{uuid.uuid4().hex[:8]}"
    client.create_function(FunctionName=name, Role=ROLE, Timeout=60, **code_arguments("reach", None))

    def asked(run_id, rank, put=None):
        event = {"run_id": run_id, "worker_index": rank, "cache": faulty_stack.endpoints.memcached}
        if put is not None:
            event["put"] = f"{run_id}/{put}/0/{rank}"
        answer = client.invoke(FunctionName=name, Payload=json.dumps(event))
        told = json.load(answer["Payload"])
        assert "FunctionError" not in answer, told
        return told

    yield asked
    client.delete_function(FunctionName=name)


@pytest.mark.parametrize(
    ("fault", "seen"),
    [
        ("cut memcached rank=1 round=5 s=600", {"put": CUT, "idle": CUT, "new": CUT}),
        ("blackhole rank=1 round=5 s=600", {"put": SILENT, "idle": SILENT, "new": SILENT}),
        ("cut s3 rank=1 round=5 s=600", {"put": "STORED", "s3": "ConnectionClosedError"}),
        ("blackhole s3 rank=1 round=5 s=600", {"put": "STORED", "s3": "ReadTimeoutError"}),
    ],
)
def test_one_rank_is_cut_off_and_the_others_are_not(ask, faulty_stack, fault, seen):
    """All connections of the rank are struck, an idle and a new one too, and no other rank's, until the run is over."""
    run_id = uuid.uuid4().hex
    with in_force(faulty_stack, run_id, 3, Plan((parse_fault(fault),))):
        assert UP == ask(run_id, 1)
        assert UP | {"put": "STORED"} == ask(run_id, 2, put=4)

        assert UP | seen == ask(run_id, 1, put=5)

        assert UP == ask(run_id, 2)
        afterwards = {key: value for key, value in (UP | seen).items() if key != "put"}
        assert afterwards | {"before": afterwards["new"]} == ask(run_id, 1)
        (event,) = read_events(faulty_stack, run_id)
        assert (1, 1) == (event.times, event.rank)
    assert UP == ask(run_id, 1)

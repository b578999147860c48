"""Peers revive a dead rank: nobody waits for Lambda's minute, and the model is that of an undisturbed run."""

import json

import msgspec
import pytest

from harness.aws.clients import clients_for
from harness.errors import HarnessError
from harness.runs.prepared import RESULT_BUCKET
from harness.stack import start_private_stack
from harness.system.probes import wait_until
from tests.support.fault_jobs import DATA, JOBS, N_WORKERS, WORKER
from tests.support.running import run_job
from training.exchange.recovery.revival import MOST_REVIVALS
from training.run.results import RunFolder

WITHIN_S = 60
EM = {"model": "kmeans", "optim": "em", "n_clusters": 20, "kmeans_init": "first_rows", "n_epochs": 30}
OPTIMISERS = {**JOBS, "em": EM}


@pytest.fixture(scope="module")
def patient_settings(settings):
    """Lambda's retries take a minute and two, as on AWS."""
    assert settings.gateway.retry_time_scale == 1
    return settings


@pytest.fixture(scope="module")
def patient_stack(patient_settings):
    """A stack with faults and Lambda's own delays."""
    with start_private_stack(patient_settings, s3="moto", faults=True) as state:
        yield state


@pytest.fixture(scope="module")
def train(patient_stack, patient_settings):
    """Runs a job there; returns its summary."""

    def run_it(algorithm, *faults, **job):
        event = {"n_workers": N_WORKERS, "sync_mode": "reduce", **OPTIMISERS[algorithm], **job}
        return run_job(patient_stack, patient_settings, data=DATA, faults=faults, **event)

    return run_it


def revivals(summary):
    """Which rank was revived by which, in order."""
    return [(event["rank"], event["by"]) for event in summary.events if event["event"] == "revived"]


@pytest.mark.timeout(55)  # Lambda's own retry would come after a minute
@pytest.mark.parametrize(
    ("algorithm", "killed", "expected"),
    [
        ("grad_avg", (1,), [(1, 0)]),
        ("admm", (0,), [(0, 1)]),
        pytest.param("grad_avg", (1, 2), [(1, 0), (2, 0)], marks=pytest.mark.slow),
        pytest.param("grad_avg", (0,), [(0, 1)], marks=pytest.mark.slow),
        pytest.param("model_avg", (1,), [(1, 0)], marks=pytest.mark.slow),
        pytest.param("admm", (1, 2), [(1, 0), (2, 0)], marks=pytest.mark.slow),
        pytest.param("em", (1,), [(1, 0)], marks=pytest.mark.slow),
        pytest.param("em", (0,), [(0, 1)], marks=pytest.mark.slow),
    ],
)
def test_the_lowest_survivor_revives_a_killed_rank(algorithm, killed, expected, train, entry):
    """The same bits; the summary tells who revived whom, and counts the attempt."""
    entry(scenario=f"rank {', '.join(map(str, killed))} killed under Lambda's own delays", algorithm=algorithm)
    undisturbed = train(algorithm)

    summary = train(algorithm, *(f"kill rank={rank} round=5" for rank in killed))

    took = summary.seconds.total - undisturbed.seconds.total
    entry(outcome="same model", cost=f"{took:+.2f}")
    assert undisturbed.model["sha256"] == summary.model["sha256"]
    assert expected == sorted(revivals(summary))
    assert [2 if rank in killed else 1 for rank in range(N_WORKERS)] == [one.attempts for one in summary.workers]
    # The invocations of the dead and of the revived rank are both paid for.
    assert summary.cost_usd > undisturbed.cost_usd


@pytest.mark.timeout(120)
def test_lambda_s_own_retry_comes_late_and_leaves(fault_settings, entry):
    """It finds its rank taken, or the run over: one short invocation that changes nothing."""
    entry(scenario="Lambda's retry after a revival", algorithm="grad_avg")
    gateway = msgspec.structs.replace(fault_settings.gateway, retry_time_scale=0.1)
    settings = msgspec.structs.replace(fault_settings, gateway=gateway)
    with start_private_stack(settings, s3="moto", faults=True) as stack:
        job = {"n_workers": N_WORKERS, "sync_mode": "reduce", **JOBS["grad_avg"]}
        summary = run_job(stack, settings, data=DATA, faults=["kill rank=1 round=5"], **job)
        clients = clients_for(stack.endpoints)
        folder = RunFolder(clients.s3, RESULT_BUCKET, summary.run_id)
        before = {name: folder.read(name) for name in folder.names("")}
        first = folder.read_json("invoked.json")["requests"][1]

        assert wait_until(lambda: superfluous(clients, first), WITHIN_S), log_of(clients)
        assert before == {name: folder.read(name) for name in folder.names("")}

    assert [(1, 0)] == revivals(summary)
    assert [1, 2, 1] == [one.attempts for one in summary.workers]
    entry(outcome="nothing changed")


def superfluous(clients, request_id):
    """Whether an invocation has said that it is a duplicate, and has ended."""
    lines = log_of(clients)
    said = [line for line in lines if line.startswith("{") and json.loads(line)["event"] == "superfluous"]
    reports = [line for line in lines if line.startswith(f"REPORT RequestId: {request_id}")]
    return any(json.loads(line)["request_id"] == request_id for line in said) and len(reports) == 2


def log_of(clients):
    """The lines of the worker's log."""
    pages = clients.logs.get_paginator("filter_log_events").paginate(logGroupName=f"/aws/lambda/{WORKER}")
    return [event["message"] for page in pages for event in page["events"]]


@pytest.mark.slow
@pytest.mark.timeout(240)
def test_a_rank_that_dies_at_every_try_is_revived_a_few_times(play, faulty_stack, entry):
    """Neither Lambda nor the peers go on for ever; the run ends with the platform's words."""
    entry(scenario="a rank killed at every try, with revivals", algorithm="grad_avg", pattern="reduce")
    run_id = "always-dies"

    with pytest.raises(HarnessError, match=r"worker 1 died, \d+ times: Runtime.ExitError"):
        play("grad_avg", "reduce", [f"kill rank=1 attempt={number} how=exit" for number in range(1, 40)], run_id=run_id)

    folder = RunFolder(clients_for(faulty_stack.endpoints).s3, RESULT_BUCKET, run_id)
    assert MOST_REVIVALS == len(folder.names("revivals/"))
    entry(outcome="one error")


@pytest.mark.timeout(60)
def test_revival_can_be_left_to_lambda(play, undisturbed, entry):
    """With `revive` off, Lambda's retry continues the rank, as it always did."""
    entry(scenario="revive off", algorithm="grad_avg", pattern="reduce")
    sha256, _ = undisturbed("grad_avg", "reduce")

    summary = play("grad_avg", "reduce", ["kill rank=1 round=5"], revive=False)

    assert sha256 == summary.model["sha256"]
    assert [] == revivals(summary)
    assert [1, 2, 1] == [one.attempts for one in summary.workers]
    entry(outcome="same model")

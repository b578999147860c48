"""Faults beyond a single rank: the coordinator, the gateway, time limits, other runs, a full disk."""

import json
import time
import uuid
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress

import httpx
import msgspec
import psutil
import pytest

from harness.aws.clients import clients_for
from harness.errors import HarnessError
from harness.faults import Plan, parse_fault
from harness.guard import authorization
from harness.runs.declared import COORDINATOR
from harness.runs.faults import post_plan, read_events
from harness.runs.prepared import RESULT_BUCKET
from harness.stack import start_private_stack
from harness.system.probes import wait_until
from tests.support.fault_jobs import DATA, JOBS, N_WORKERS, WORKER
from tests.support.running import run_job
from training.run.results import RunFolder

WITHIN_S = 60


@pytest.fixture(scope="module")
def clients(faulty_stack):
    """Clients of the stack with faults."""
    return clients_for(faulty_stack.endpoints)


def quiet(stack):
    """Whether no invocation runs any more."""
    url, headers = f"{stack.endpoints.lambda_}/_harness/environments", authorization(stack.endpoints.access_key)
    counts = httpx.get(url, headers=headers).json()["environments"].values()
    return all(count["busy"] == 0 for count in counts)


@pytest.mark.timeout(90)
@pytest.mark.parametrize(
    ("after", "pattern"),
    [
        (1, "reduce"),
        # A worker of the first fan-out and one of the second go by the same measurement.
        (1, "auto"),
        pytest.param(2, "reduce", marks=pytest.mark.slow),
        pytest.param(2, "auto", marks=pytest.mark.slow),
    ],
)
def test_the_coordinator_is_killed_in_its_fan_out(after, pattern, play, undisturbed, faulty_stack, clients, entry):
    """Lambda retries it: every rank runs once more or is left alone, there is one run and its model is the same."""
    entry(scenario=f"coordinator killed after {after}", algorithm="grad_avg", pattern=pattern)
    sha256, _ = undisturbed("grad_avg", pattern)
    job = play("grad_avg", pattern).job
    run_id = f"fan-out-{uuid.uuid4().hex[:8]}"
    plan = Plan((parse_fault(f"kill coordinator after={after}"),))
    post_plan(faulty_stack, run_id, N_WORKERS, plan)
    folder = RunFolder(clients.s3, RESULT_BUCKET, run_id)

    event = json.dumps({**job, "run_id": run_id})
    clients.functions.invoke(FunctionName=COORDINATOR, InvocationType="Event", Payload=event)

    assert wait_until(lambda: folder.read("result.json") is not None, WITHIN_S), folder.names("")
    assert wait_until(lambda: quiet(faulty_stack), WITHIN_S)
    assert 1 == read_events(faulty_stack, run_id)[0].times
    assert sha256 == folder.read_json("result.json")["model"]["sha256"]
    assert [] == folder.names("failed/")
    entry(outcome="same model")


@pytest.mark.timeout(120)
@pytest.mark.parametrize("delay_s", [3, pytest.param(30, marks=pytest.mark.slow)])
def test_an_event_delivered_again_after_the_run_changes_nothing(delay_s, play, undisturbed, clients, entry):
    """The late delivery finds the run done: it ends well, and the results are those of the first."""
    entry(scenario=f"an event delivered again after {delay_s} s", algorithm="grad_avg", pattern="reduce")
    sha256, _ = undisturbed("grad_avg", "reduce")

    summary = play("grad_avg", "reduce", [f"duplicate rank=1 delay_s={delay_s}"])

    folder = RunFolder(clients.s3, RESULT_BUCKET, summary.run_id)
    before = {name: folder.read(name) for name in folder.names("")}
    log, group = clients.logs.filter_log_events, f"/aws/lambda/{WORKER}"
    (mine, *_) = [
        line for line in lines(log, group) if f'"event":"started","run_id":"{summary.run_id}","rank":1,' in line
    ]
    request_id = json.loads(mine)["request_id"]
    ended = f"REPORT RequestId: {request_id}"
    assert wait_until(lambda: sum(line.startswith(ended) for line in lines(log, group)) == 2, WITHIN_S + delay_s)
    assert sha256 == summary.model["sha256"]
    assert before == {name: folder.read(name) for name in folder.names("")}
    entry(outcome="nothing changed")


def lines(filter_log_events, group):
    """The worker's whole log."""
    events, token = [], {}
    while True:
        page = filter_log_events(logGroupName=group, **token)
        events += page["events"]
        if "nextToken" not in page:
            return [event["message"] for event in events]
        token = {"nextToken": page["nextToken"]}


@pytest.mark.timeout(90)
def test_a_cold_start_beyond_the_others_patience(play, entry):
    """Ranks that have joined wait for a late one as long as they were told, and then name it."""
    entry(scenario="a cold start longer than the join timeout", algorithm="grad_avg", pattern="all_gather")
    started = time.perf_counter()

    with pytest.raises(HarnessError, match=r"round 0, step 0: nothing from rank 1 within \d\.\d s"):
        play("grad_avg", "all_gather", ["cold-start rank=1 delay_s=30"], join_timeout_s=1.0)

    took = time.perf_counter() - started
    entry(outcome=f"error after {took:.1f} s")
    assert took < 30  # the late one was not waited for


@pytest.mark.timeout(90)
def test_one_of_two_runs_aborts(play, undisturbed, entry):
    """Runs that share a cache do not meet: one ends with its own error, the other with its model."""
    entry(scenario="two runs, one aborts")
    sha256, _ = undisturbed("grad_avg", "all_gather")

    deadly = [f"kill rank=1 attempt={attempt}" for attempt in (1, 2, 3)]

    with ThreadPoolExecutor(2) as pool:
        ill = pool.submit(play, "grad_avg", "reduce", deadly, revive=False)
        well = [play("grad_avg", "all_gather").model["sha256"] for _ in range(2)]

    assert isinstance(ill.exception(), HarnessError)
    assert [sha256] * 2 == well
    entry(outcome="one model, one error")


@pytest.mark.slow
@pytest.mark.timeout(180)
def test_results_that_cannot_be_stored_are_told(play, entry):
    """A full disk under the results ends the run with the object and S3's words, after the retries."""
    entry(scenario="disk full under the results", algorithm="grad_avg", pattern="reduce")
    started = time.perf_counter()

    with pytest.raises(HarnessError, match=r"model\.npz: InternalError.*no space left"):
        play("grad_avg", "reduce", ["refuse s3 key=*/model.npz"])

    entry(outcome=f"error after {time.perf_counter() - started:.1f} s")
    assert time.perf_counter() - started < 120


@pytest.mark.timeout(90)
def test_a_rank_that_always_dies_ends_the_run_with_its_cause(play, entry):
    """When Lambda has used up its retries and nobody revives, the run ends at once, with the platform's words."""
    entry(scenario="a rank killed at every try", algorithm="grad_avg", pattern="reduce")
    started = time.perf_counter()

    deadly = [f"kill rank=1 attempt={attempt} how=exit" for attempt in (1, 2, 3)]

    with pytest.raises(HarnessError, match=r"worker 1 died, 3 times: Runtime.ExitError"):
        play("grad_avg", "reduce", deadly, revive=False)

    entry(outcome=f"error after {time.perf_counter() - started:.1f} s")
    assert time.perf_counter() - started < WITHIN_S


@pytest.mark.slow
@pytest.mark.timeout(180)
@pytest.mark.parametrize(
    ("algorithm", "limit_s", "least_links", "job"),
    [
        ("grad_avg", 5, 3, {}),
        ("model_avg", 5, 2, {}),
        ("admm", 5, 2, {}),
        # AWS stops a function that calls itself for the seventeenth time, unless it is told not to.
        ("grad_avg", 3, 17, {"n_epochs": 34}),
    ],
)
def test_a_time_limit_shorter_than_the_work_makes_a_chain(
    algorithm, limit_s, least_links, job, undisturbed, faulty_stack, fault_settings, entry
):
    """Workers that run out of time go on in the next link from a common checkpoint, to the same model."""
    entry(scenario=f"time limit of {limit_s} s, work for more", algorithm=algorithm, pattern="reduce")
    sha256, seconds = undisturbed(algorithm, "reduce", **job)
    worker = msgspec.structs.replace(fault_settings.functions[WORKER], timeout_s=limit_s)
    limited = msgspec.structs.replace(fault_settings, functions={**fault_settings.functions, WORKER: worker})
    started = time.perf_counter()

    event = {"n_workers": N_WORKERS, "sync_mode": "reduce", **JOBS[algorithm], **job}
    slowly = f"delay rank=0 ms={60 * limit_s}"
    summary = run_job(faulty_stack, limited, data=DATA, faults=[slowly], **event)

    entry(outcome="same model", cost=f"{time.perf_counter() - started - seconds:+.2f}")
    assert sha256 == summary.model["sha256"]
    assert least_links <= min(worker.links for worker in summary.workers)


@pytest.mark.timeout(120)
def test_a_killed_gateway_ends_the_run(fault_settings, entry):
    """Without its Lambda service a run ends within seconds, and no process of it is left."""
    entry(scenario="gateway killed", algorithm="grad_avg", pattern="reduce")
    with start_private_stack(fault_settings, s3="moto", faults=True) as stack:
        gateway = psutil.Process(stack.processes["gateway"])
        family: list[psutil.Process] = []

        def watch(_):
            with suppress(psutil.NoSuchProcess):  # it may die while it is looked at
                family[:] = gateway.children(recursive=True) or family

        struck: list[float] = []
        job = {"n_workers": N_WORKERS, "sync_mode": "reduce", **JOBS["grad_avg"], "run_id": "no-gateway"}
        with ThreadPoolExecutor(1) as pool:
            run = pool.submit(run_job, stack, fault_settings, data=DATA, faults=["kill gateway round=5"], **job)
            while not run.done():
                watch(None)
                if not struck and not gateway.is_running():
                    struck.append(time.monotonic())
                time.sleep(0.02)
        told = time.monotonic()

        assert isinstance(run.exception(), HarnessError)
        assert struck
        assert told - struck[0] < 20
        assert wait_until(lambda: not any(process.is_running() for process in family), 30)
    entry(outcome=f"error after {told - struck[0]:.1f} s")

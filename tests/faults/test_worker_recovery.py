"""Workers that die, come twice or run out of time: the run ends with the model of an undisturbed one."""

import json
import time

import msgspec
import psutil
import pytest

from harness.aws.clients import clients_for
from harness.errors import HarnessError
from harness.runs.prepared import RESULT_BUCKET
from harness.stack import start_private_stack
from tests.support.running import run_job
from training.run.results import RunFolder

pytestmark = pytest.mark.slow

DATA = "synthetic:rows=6000,features=10"
# Some seconds of rounds.
LONG = {"n_workers": 3, "n_epochs": 100, "batch_size": 20, "valid_ratio": 0.1}
JOBS = {
    "grad_avg": LONG,
    "model_avg": LONG | {"optim": "model_avg", "n_epochs": 600},
    "adam": LONG | {"optimiser": "adam", "lr_schedule": "cosine", "warmup": 0.1, "clip_norm": 1.0},
    "admm": LONG | {"optim": "admm", "n_admm_epochs": 60, "n_epochs": 20, "lambda": 0.001},
    "kmeans": {
        "data": "synthetic:rows=40000,features=10",
        "n_workers": 3,
        "model": "kmeans",
        "n_clusters": 100,
        "kmeans_init": "first_rows",
        "n_epochs": 400,
    },
}


@pytest.fixture(scope="module")
def quick_settings(settings):
    """Lambda's retries after 0.6 and 1.2 s instead of 1 and 2 minutes."""
    return msgspec.structs.replace(settings, gateway=msgspec.structs.replace(settings.gateway, retry_time_scale=0.01))


@pytest.fixture(scope="module")
def quick_stack(quick_settings):
    """A stack with quick retries."""
    with start_private_stack(quick_settings, s3="moto") as state:
        yield state


def worker_processes(stack):
    """The processes of the workers that are in a run: those that talk to the cache."""
    port = int(stack.endpoints.memcached.rsplit(":", 1)[1])
    supervisor = psutil.Process(stack.pid)
    found = []
    for process in supervisor.children(recursive=True):
        try:
            if "linear_ec_2.handler" in process.cmdline():
                peers = [connection.raddr.port for connection in process.net_connections() if connection.raddr]
                found += [process] if port in peers else []
        except psutil.NoSuchProcess:
            continue
    return found


class Killer:
    """Kills workers once training is under way; to be called with every look at the run's progress."""

    def __init__(self, stack, count, rounds=(3,)):
        self._stack, self._count, self._rounds = stack, count, list(rounds)

    def __call__(self, progress):
        """Kills when the run is in the next of the rounds."""
        if self._rounds and max(rank.round for rank in progress.ranks) >= self._rounds[0]:
            self._rounds.pop(0)
            for process in worker_processes(self._stack)[: self._count]:
                process.kill()


@pytest.mark.parametrize("name", JOBS)
def test_a_worker_that_is_killed_comes_back_with_the_same_model(quick_stack, quick_settings, name):
    """One rank has two attempts, and the model's bits are those of the undisturbed run."""
    undisturbed = run_job(quick_stack, quick_settings, **{"data": DATA, **JOBS[name]})

    summary = run_job(quick_stack, quick_settings, watch=Killer(quick_stack, 1), **{"data": DATA, **JOBS[name]})

    assert undisturbed.model["sha256"] == summary.model["sha256"]
    assert [1, 1, 2] == sorted(worker.attempts for worker in summary.workers)
    assert {"died", "rejoined"} <= {event["event"] for event in summary.events}


def test_two_workers_that_are_killed_at_once_come_back(quick_stack, quick_settings):
    """Two of three ranks die in the same moment; the third hands its state to both."""
    undisturbed = run_job(quick_stack, quick_settings, data=DATA, **LONG)

    summary = run_job(quick_stack, quick_settings, data=DATA, watch=Killer(quick_stack, 2), **LONG)

    assert undisturbed.model["sha256"] == summary.model["sha256"]
    assert [1, 2, 2] == sorted(worker.attempts for worker in summary.workers)


@pytest.mark.parametrize("name", ["grad_avg", "admm"])
def test_all_workers_that_are_killed_go_on_from_the_checkpoint(quick_stack, quick_settings, name):
    """Nobody is left who trains; all go on from the newest checkpoint, or from the start."""
    undisturbed = run_job(quick_stack, quick_settings, **{"data": DATA, **JOBS[name]})

    summary = run_job(
        quick_stack, quick_settings, data=DATA, watch=Killer(quick_stack, 3), checkpoint_every_s=0.2, **JOBS[name]
    )

    assert undisturbed.model["sha256"] == summary.model["sha256"]
    assert [2, 2, 2] == [worker.attempts for worker in summary.workers]
    assert "resumed" in {event["event"] for event in summary.events}


def test_a_worker_that_is_killed_too_often_ends_the_run(quick_stack, quick_settings):
    """After Lambda's last try the run ends within seconds, with the worker and its cause."""
    job = LONG | {"n_workers": 1, "n_epochs": 4000}
    ended = []

    def killer(progress):
        # Its try has begun: the handler's process is there and has printed.
        if progress.ranks[0].state in {"started", "training"}:
            ended.append(time.monotonic())
            for process in worker_processes(quick_stack):
                process.kill()

    with pytest.raises(HarnessError, match=r"worker 0 died, 3 times: Runtime.ExitError"):
        run_job(quick_stack, quick_settings, data=DATA, watch=killer, **job)

    assert time.monotonic() - ended[-1] < 30


def test_a_second_delivery_leaves_quietly(quick_stack, quick_settings):
    """The same event twice, at once and after the end: one rank trains, the other says so and returns."""
    clients = clients_for(quick_stack.endpoints)
    answers = []

    def deliver_again(progress):
        if not answers and progress.ranks[1].round >= 3:
            answers.append(deliver(clients, worker_event(clients, "twice", 1)))

    undisturbed = run_job(quick_stack, quick_settings, data=DATA, **LONG)
    summary = run_job(quick_stack, quick_settings, data=DATA, run_id="twice", watch=deliver_again, **LONG)
    late = deliver(clients, worker_event(clients, "twice", 1))

    assert undisturbed.model["sha256"] == summary.model["sha256"]
    assert [1, 1, 1] == [worker.attempts for worker in summary.workers]
    assert [True, True] == [answer["body"]["duplicate"] for answer in (*answers, late)]


def worker_event(clients, run_id, rank):
    """The event that the coordinator sent to a rank."""
    job = RunFolder(clients.s3, RESULT_BUCKET, run_id).read_json("job.json")["job"]
    return {**job, "worker_index": rank, "file": f"{rank}_{job['n_workers']}"}


def deliver(clients, event):
    """Invokes a worker and returns its answer."""
    return json.load(clients.functions.invoke(FunctionName="linear_ec_2", Payload=json.dumps(event))["Payload"])


@pytest.mark.parametrize("name", ["grad_avg", "admm"])
def test_a_chain_of_short_functions_ends_with_the_model_of_one_long_one(quick_stack, quick_settings, name):
    """Work for many times the function's limit is done link by link; the summary adds the links' times."""
    worker = msgspec.structs.replace(quick_settings.functions["linear_ec_2"], timeout_s=3)
    short = msgspec.structs.replace(quick_settings, functions=quick_settings.functions | {"linear_ec_2": worker})
    job = JOBS[name] | (
        {"n_epochs": 150} if name == "grad_avg" else {"n_admm_epochs": 200, "n_epochs": 10, "lr": 0.01, "rho": 0.01}
    )
    in_one = run_job(quick_stack, quick_settings, data=DATA, **job)

    chain = run_job(quick_stack, short, data=DATA, **job)

    assert in_one.model["sha256"] == chain.model["sha256"]
    assert {1} == {worker.attempts for worker in chain.workers}
    assert min(worker.links for worker in chain.workers) > 1
    links = max(worker.links for worker in chain.workers)
    assert len([event for event in chain.events if event["event"] in {"handed_on", "resumed"}]) == links - 1
    folder = RunFolder(clients_for(quick_stack.endpoints).s3, RESULT_BUCKET, chain.run_id)
    records = [folder.read_json(name) for name in (*folder.names("links/"), *folder.names("workers/"))]
    own = [record for record in records if record["rank"] == 1]
    assert chain.workers[1].phases["train"] == pytest.approx(sum(record["phases"]["train"] for record in own))
    timings = [folder.read_json(f"telemetry/1.{attempt}.json") for attempt in range(1, len(own) + 1)]
    assert chain.rounds == sum(len(one["round_ms"]) for one in timings)
    assert chain.workers[1].wait_s == pytest.approx(sum(sum(one["wait_ms"]) for one in timings) / 1e3, abs=1e-3)

"""The function is updated while a run is in progress: nobody notices, or the run ends with one clear error."""

import shutil
import uuid
from concurrent.futures import ThreadPoolExecutor

import httpx
import msgspec
import pytest

from harness.aws.clients import clients_for
from harness.errors import HarnessError
from harness.guard import authorization
from harness.runs.faults import read_events
from harness.runs.functions import make_declared
from harness.runs.prepared import RESULT_BUCKET
from harness.system.probes import wait_until
from tests.support.fault_jobs import DATA, JOBS, N_WORKERS, WORKER
from tests.support.running import run_job
from training.run.code import RECORD
from training.run.results import RunFolder

WITHIN_S = 60
UPDATED = r"(rank|worker) \d.*: this function's code \(sha256 .*\) is not what the run began with .*Start the run again"
# Rounds take a tenth of a second, so that an update is over long before the run.
SLOWLY = "delay ms=20"


class Running:
    """A run in a thread of its own, on a stack whose worker is updated meanwhile."""

    def __init__(self, stack, settings, pool, **event) -> None:
        self.stack, self.run_id = stack, f"updated-{uuid.uuid4().hex[:8]}"
        self.clients = clients_for(stack.endpoints)
        self.folder = RunFolder(self.clients.s3, RESULT_BUCKET, self.run_id)
        job = {"n_workers": N_WORKERS, "sync_mode": "reduce", **JOBS["grad_avg"], **event, "run_id": self.run_id}
        self.outcome = pool.submit(run_job, stack, settings, data=DATA, faults=[SLOWLY], **job)
        assert wait_until(self._trains, WITHIN_S)

    def _trains(self):
        return RECORD in self.folder.names("") and read_events(self.stack, self.run_id)[0].times > 10 * N_WORKERS

    def update(self, settings):
        """Update the worker, as a second `harness run` does after an edit."""
        make_declared(self.clients.functions, WORKER, settings, "process", log=lambda _: None)

    def kill(self, *ranks):
        """Kill ranks, as the proxy does that has seen the put of a plan's fault."""
        fault = {"action": "kill", "target": "worker"}
        url = f"{self.stack.endpoints.lambda_}/_harness/faults/{self.run_id}/strike"
        headers = authorization(self.stack.endpoints.access_key)
        content = {"fault": fault, "ranks": ranks}
        httpx.post(url, json=content, headers=headers, timeout=30, trust_env=False).raise_for_status()


@pytest.fixture
def edited(fault_settings, tmp_path):
    """The settings of a project whose worker has one line more."""
    worker = fault_settings.functions[WORKER]
    folder = shutil.copytree(worker.source, tmp_path / "worker")
    with (folder / "linear_ec_2.py").open("a") as handler:
        handler.write(f"# {uuid.uuid4().hex}\n")
    changed = msgspec.structs.replace(worker, source=folder)
    return msgspec.structs.replace(fault_settings, functions={**fault_settings.functions, WORKER: changed})


@pytest.mark.timeout(120)
def test_ranks_that_live_go_on_with_the_code_they_have(faulty_stack, fault_settings, edited, undisturbed, entry):
    """An update ends no environment that works; the run's model is the same."""
    entry(scenario="code updated in mid-run", algorithm="grad_avg", pattern="reduce")
    sha256, _ = undisturbed("grad_avg", "reduce", n_epochs=20)

    with ThreadPoolExecutor(1) as pool:
        running = Running(faulty_stack, fault_settings, pool, n_epochs=20)
        running.update(edited)
        summary = running.outcome.result(WITHIN_S)

    assert sha256 == summary.model["sha256"]
    entry(outcome="same model")


@pytest.mark.timeout(120)
@pytest.mark.parametrize("ranks", [(1,), (0, 1, 2)])
def test_a_rank_that_comes_back_with_other_code_ends_the_run(faulty_stack, fault_settings, edited, entry, ranks):
    """One error says so, at once, whoever has invoked it; a run that begins afterwards has the new code."""
    entry(scenario=f"code updated, then killed: {ranks}", algorithm="grad_avg", pattern="reduce")

    with ThreadPoolExecutor(1) as pool:
        running = Running(faulty_stack, fault_settings, pool, n_epochs=1000)
        before = running.folder.read_json(RECORD)
        running.update(edited)
        running.kill(*ranks)
        with pytest.raises(HarnessError, match=UPDATED):
            running.outcome.result(WITHIN_S)

        again = Running(faulty_stack, edited, pool)
        assert again.outcome.result(WITHIN_S).model
    assert before == running.folder.read_json(RECORD) != again.folder.read_json(RECORD)
    entry(outcome="one error")


@pytest.mark.slow
@pytest.mark.timeout(180)
def test_a_link_with_other_code_ends_the_run(faulty_stack, fault_settings, edited, entry):
    """A worker that runs low on time invokes its function, which is another one by then."""
    entry(scenario="code updated before the next link", algorithm="grad_avg", pattern="reduce")

    def limited(settings):
        worker = msgspec.structs.replace(settings.functions[WORKER], timeout_s=8)
        return msgspec.structs.replace(settings, functions={**settings.functions, WORKER: worker})

    with ThreadPoolExecutor(1) as pool:
        running = Running(faulty_stack, limited(fault_settings), pool, n_epochs=1000)
        running.update(limited(edited))
        with pytest.raises(HarnessError, match=UPDATED):
            running.outcome.result(WITHIN_S)
    entry(outcome="one error")

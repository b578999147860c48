"""A run that is under way, followed or stopped from outside: started in another terminal, by hand, or on AWS."""

import time
from collections.abc import Callable

import msgspec

from harness.errors import HarnessError
from harness.history.records import KeptRecord
from harness.runs.coordinator import stop_workers
from harness.runs.declared import declared
from harness.runs.follow import PATIENCE_MARGIN_S, RETRY_DELAYS_S, follow
from harness.runs.harvest import keep_standing
from harness.runs.health import service_answers
from harness.runs.invocation_records import PUT_OFF, UNDER_WAY, states_of
from harness.runs.keeping import STOPPED
from harness.runs.log_tail import LogTail
from harness.runs.progress import Watcher
from harness.runs.standing import BEFORE_S, Gathered, StandingFolder, invoked_requests, revived_requests
from harness.runs.worker import worker_function
from training.job import Job, decode_job
from training.run.results import JobRecord

POLL_S = 0.2
# The coordinator stores the job before it invokes the workers.
INVOKED_WITHIN_S = 120.0
# Behind its results, a worker stays until no other rank needs it.
ENDED_WITHIN_S = 30.0
# A worker that computes reads at its next exchange that it is to stop.
STOPPED_WITHIN_S = 60.0


def attach(folder: StandingFolder, report: Callable[[str], None], watch: Watcher) -> Gathered:
    """Follow a run to its end, and keep it.

    Args:
        folder: Its folder.
        report: Called with each stage, in a few words.
        watch: Called with the progress of its ranks.

    Returns:
        What is known of it, with its summary.

    Raises:
        HarnessError: The run is lost; the message names the first cause.
    """
    target, settings = folder.target, folder.settings
    report("looking at the run")
    job, requests = _job_of(folder), _requests_of(folder)
    worker = worker_function(settings, job)
    function = declared(settings, worker) if worker in settings.functions else None
    scale = settings.gateway.retry_time_scale if target.stack is not None else 1.0
    since_ms = int(1000 * (folder.times().get("job.json", time.time()) - BEFORE_S))
    report("training")
    try:
        follow(
            folder,
            LogTail(target.clients.logs, f"/aws/lambda/{worker}", since_ms, target.polling),
            requests,
            retries=function.retries if function else 2,
            # Its own follower, if it has one, knows whether a plan of faults kills workers on purpose.
            oom_is_final=False,
            patience_s=(function.timeout_s if function else 900) + PATIENCE_MARGIN_S,
            watch=watch,
            service_answers=lambda: service_answers(target.clients, target.stack),
            retry_delays_s=tuple(scale * delay_s for delay_s in RETRY_DELAYS_S),
            revive=job.revive,
        )
    except HarnessError:
        _keep(folder)
        raise
    report("reading the results")
    return _keep(folder)


def stop(folder: StandingFolder, report: Callable[[str], None]) -> KeptRecord:
    """End a run that is under way, and keep it as stopped.

    Args:
        folder: Its folder.
        report: Called with each stage, in a few words.

    Raises:
        HarnessError: The run is over, or its workers do not end.
        TrainingError: Its folder cannot be written to.
    """
    record = folder.gathered().record
    if record.status != "running":
        raise not_under_way(record)
    job = _job_of(folder)
    report("telling the workers to stop")
    folder.write_json(STOPPED, {"at": time.time(), "cause": "harness stop"})
    stop_workers(job, folder.target.stack, folder, "harness stop")
    report("waiting for the workers to end")
    deadline = time.monotonic() + STOPPED_WITHIN_S
    while not _ended(folder, job):
        if time.monotonic() > deadline:
            raise HarnessError(
                f"run {folder.run_id} was told to stop, and its workers have not ended within {STOPPED_WITHIN_S:.0f} s",
                folder.location(""),
                "they end at their next exchange, or at their time limit; `harness runs` tells when",
            )
        time.sleep(POLL_S)
    kept = _keep(folder).record
    return msgspec.structs.replace(kept, status="stopped") if kept.status == "running" else kept


def not_under_way(record: KeptRecord) -> HarnessError:
    """Return the error for a run that is over."""
    ended = {"stopped": "was stopped", "unfinished": "was cut off"}.get(record.status, f"has {record.status}")
    return HarnessError(
        f"run {record.run_id} is not under way: it {ended}", remedy=f"see `harness show {record.run_id}`"
    )


def _keep(folder: StandingFolder) -> Gathered:
    """Keep a run that is ending, as soon as its last invocation has ended."""
    deadline = time.monotonic() + ENDED_WITHIN_S
    while True:
        fresh = StandingFolder(folder.target, folder.bucket, folder.run_id, folder.settings)
        found = fresh.gathered()
        if found.record.status != "running" or time.monotonic() > deadline:
            if folder.settings.history.keep:
                keep_standing(fresh, folder.settings)
            return found
        time.sleep(POLL_S)


def _job_of(folder: StandingFolder) -> Job:
    stored = folder.read_as("job.json", JobRecord)
    if stored is None:
        raise HarnessError(f"there is no run {folder.run_id}", folder.location("job.json"), "see `harness runs`")
    return decode_job(stored.job, Job)


def _requests_of(folder: StandingFolder) -> list[str]:
    """Return the request ids of the workers, as soon as the coordinator has invoked them all.

    Raises:
        HarnessError: It does not.
    """
    deadline = time.monotonic() + INVOKED_WITHIN_S
    while not (requests := invoked_requests(folder)):
        if time.monotonic() > deadline:
            raise HarnessError(
                f"the coordinator of run {folder.run_id} has not invoked its workers",
                folder.location("invoked.json"),
                "see `harness logs linear_ec_1`",
            )
        time.sleep(POLL_S)
    return requests


def _ended(folder: StandingFolder, job: Job) -> bool:
    """Return whether no invocation of a run is at work; those that Lambda has put off end as soon as they begin."""
    stored = folder.read_as("job.json", JobRecord)
    requests = {stored.request_id if stored else "", *invoked_requests(folder), *revived_requests(folder)}
    states = states_of(folder.target.stack, requests)
    if states is not None:
        return not states & (UNDER_WAY - PUT_OFF)
    ended = {name.split(".")[0].partition("/")[2] for kind in ("failed/", "workers/") for name in folder.names(kind)}
    return len(ended) >= job.n_workers

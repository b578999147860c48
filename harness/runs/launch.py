"""A run from job to summary: data into S3, functions into Lambda, the coordinator invoked, the workers followed."""

import math
import time
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Any

import msgspec
from botocore.exceptions import BotoCoreError, ClientError

from harness.aws.clients import Clients
from harness.errors import HarnessError
from harness.faults import Plan
from harness.runs.coordinator import check_concurrency, invoke_coordinator, workers_stopped_on_failure
from harness.runs.data import check_shape, prepare_data
from harness.runs.debugged_run import debugged
from harness.runs.defaults import defaults_for, format_defaults
from harness.runs.faults import fault_records, in_force, read_events
from harness.runs.follow import RETRY_DELAYS_S, await_reports, follow
from harness.runs.functions import COORDINATOR, declared
from harness.runs.health import check_parts, deaths_named, restart_events
from harness.runs.log_lines import read_report
from harness.runs.log_tail import LogTail
from harness.runs.prepared import PreparedRun, complete_job, with_world_size
from harness.runs.progress import InvocationReport, Progress, Watcher
from harness.runs.records import damage_named
from harness.runs.run_target import RunTarget
from harness.runs.scale import uneven_features
from harness.runs.summary import Summary, summarise
from harness.runs.worker import worker_function
from harness.settings import Settings
from harness.stack.state import StackState
from training.job import Job
from training.run.results import RunFolder

# Added to the workers' own deadlines: they end by themselves, with a better error than the follower's.
PATIENCE_MARGIN_S = 30.0

Reporter = Callable[[str], None]


def run(
    prepared: PreparedRun,
    settings: Settings,
    target: RunTarget,
    *,
    report: Reporter,
    watch: Watcher,
    note: Reporter = lambda _line: None,
) -> Summary:
    """Run a job on a stack that is up, or on a deployment.

    Args:
        prepared: What the user asks for.
        settings: The project's settings.
        target: Where the run takes place.
        report: Called with each stage, in a few words.
        watch: Called with the progress of the ranks.
        note: Called with lines that the user must see, such as the address of a debugger.

    Raises:
        HarnessError: The run failed; the message names the first cause.
        TrainingError: The job or its data is wrong.
    """
    with deaths_named(target.stack):
        sized = with_world_size(prepared, target.clients.s3)
        return _run(sized, settings, target, report, watch, note)


@dataclass(frozen=True, slots=True)
class _Training:
    """What was seen of a run, from the invocation of its coordinator to its last result.

    Attributes:
        progress: The progress of its ranks.
        reports: The platform's reports of all its invocations.
        invoked_at: When the coordinator was invoked, seconds since the epoch.
        seconds: From then to the last result.
    """

    progress: Progress
    reports: list[InvocationReport]
    invoked_at: float
    seconds: float


def _run(
    prepared: PreparedRun, settings: Settings, target: RunTarget, report: Reporter, watch: Watcher, note: Reporter
) -> Summary:
    clients, requested = target.clients, prepared.job
    if prepared.faults and target.stack is None:
        raise HarnessError("faults are brought about on this machine only", f"the run is to be on {target.mode}")
    report("making functions ready")
    worker = worker_function(settings, requested)
    # Before the data, so that environments import their libraries while the data is prepared.
    images = {name: target.make_ready(name, settings, report) for name in (COORDINATOR, worker)}
    check_concurrency(clients, worker, requested.n_workers)
    report("preparing data")
    data = prepare_data(prepared.data, requested, clients.s3, target.bucket)
    check_shape(prepared.event, data)
    defaults = defaults_for(prepared.event, requested, data.manifest, data.shape.get("n_classes", 2))
    if defaults:
        report(format_defaults(defaults))
    job = complete_job(prepared, data, target, defaults)
    if not target.bucket:
        _create_bucket(clients, job.results)
    folder = RunFolder(clients.s3, job.results, str(job.run_id))
    training = _train(job, folder, settings, target, prepared, report=report, watch=watch, note=note)
    with damage_named(folder):
        summary = summarise(
            folder,
            mode=target.mode,
            images={name: digest for name, digest in images.items() if digest},
            job=msgspec.to_builtins(job),
            defaults=defaults,
            reports=training.reports,
            progress=training.progress,
            invoked_at=training.invoked_at,
            seconds=training.seconds,
        )
    if uneven := uneven_features(job, data.manifest, summary.loss):
        summary = msgspec.structs.replace(summary, warnings=[*summary.warnings, uneven])
    if target.stack is not None:
        events = _stack_events(target.stack, folder, training, summary.rounds, prepared.faults)
        summary = msgspec.structs.replace(summary, events=events)
    return summary


def _train(
    job: Job,
    folder: RunFolder,
    settings: Settings,
    target: RunTarget,
    prepared: PreparedRun,
    *,
    report: Reporter,
    watch: Watcher,
    note: Reporter,
) -> _Training:
    clients, stack, worker = target.clients, target.stack, worker_function(settings, job)
    faults = prepared.faults
    report("invoking the coordinator")
    invoked_at, started = time.time(), time.perf_counter()
    tail = LogTail(clients.logs, f"/aws/lambda/{worker}", int(1000 * invoked_at), target.polling)
    with (
        in_force(stack, folder.run_id, job.n_workers, faults) if stack else nullcontext(),
        debugged(stack, folder.run_id, worker, settings, prepared.debug, note) as ranks,
        workers_stopped_on_failure(job, stack, folder),
    ):
        coordinator_request = invoke_coordinator(clients, job)
        with damage_named(folder):
            requests = list(folder.read_json("invoked.json")["requests"])
        report("training")
        scale = settings.gateway.retry_time_scale if stack is not None else 1.0
        progress = follow(
            folder,
            tail,
            requests,
            retries=declared(settings, worker).retries,
            # A plan of faults may kill a worker on purpose, as a lack of memory would.
            oom_is_final=not faults,
            # Between two lines a worker may compute for its whole life; the platform reports its death.
            # A debugger holds a rank for as long as somebody looks at it.
            patience_s=math.inf if ranks else declared(settings, worker).timeout_s + PATIENCE_MARGIN_S,
            watch=ranks.watching(watch) if ranks else watch,
            service_answers=lambda: _answers(clients, stack),
            retry_delays_s=tuple(scale * delay_s for delay_s in RETRY_DELAYS_S),
        )
        if ranks:
            # A debugger may hold a rank behind its results.
            ranks.wait_until_ended()
            await_reports(tail, progress, folder.run_id, set(progress.requests))
    seconds = time.perf_counter() - started
    coordinator_log = LogTail(clients.logs, f"/aws/lambda/{COORDINATOR}", int(1000 * invoked_at)).lines()
    found = [read_report(text) for _, text in coordinator_log]
    own = [one for one in found if one is not None and one.request_id == coordinator_request]
    return _Training(progress, [*progress.reports, *own], invoked_at, seconds)


def _stack_events(
    stack: StackState, folder: RunFolder, training: _Training, rounds: int, faults: Plan | None
) -> list[dict[str, Any]]:
    """Return a summary's events: the faults, what workers logged, and the restarts of the stack's parts."""
    events = [*training.progress.events, *restart_events(stack, training.invoked_at)]
    if not faults:
        return events
    injected = read_events(stack, folder.run_id)
    ended_at = training.invoked_at + training.seconds
    records = fault_records(injected, folder, rounds=rounds, invoked_at=training.invoked_at, ended_at=ended_at)
    return [*records, *events]


def _answers(clients: Clients, stack: StackState | None) -> bool:
    """Return whether the Lambda service answers; a refusal is an answer.

    Raises:
        HarnessError: A part of the stack has died.
    """
    if stack is not None and stack.mode == "process":
        check_parts(stack)  # reads /proc; asking a container engine costs more, and `deaths_named` does it on an error
    try:
        clients.control.get_account_settings()
    except ClientError:
        return True
    except BotoCoreError:
        return False
    return True


def _create_bucket(clients: Clients, bucket: str) -> None:
    try:
        clients.s3.create_bucket(Bucket=bucket)
    except ClientError as error:
        if error.response["Error"]["Code"] not in {"BucketAlreadyOwnedByYou", "BucketAlreadyExists"}:
            raise

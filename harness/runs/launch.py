"""A run from job to summary: data into S3, functions into Lambda, the coordinator invoked, the workers followed."""

import math
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Any

import msgspec
from botocore.exceptions import ClientError

from harness.aws.clients import Clients
from harness.datasets.partitions import Manifest
from harness.errors import HarnessError
from harness.faults import Plan
from harness.insight.folder import ReadableFolder
from harness.insight.timings import Timings
from harness.runs.choices import format_chosen
from harness.runs.coordinator import check_concurrency, invoke_coordinator, workers_stopped_on_failure
from harness.runs.data import check_shape, prepare_data
from harness.runs.debugged_run import debugged
from harness.runs.declared import COORDINATOR, declared
from harness.runs.emulated_network import network_of_run
from harness.runs.faults import fault_records, in_force, read_events
from harness.runs.follow import PATIENCE_MARGIN_S, RETRY_DELAYS_S, await_reports, follow
from harness.runs.health import deaths_named, restart_events, service_answers
from harness.runs.keeping import Followed, FollowedFolder, begun, kept
from harness.runs.log_lines import read_report
from harness.runs.model_source import SOURCE_OBJECT
from harness.runs.prepared import PreparedRun, choices_of, complete_job, with_model, with_world_size
from harness.runs.progress import InvocationReport, Progress, Watcher
from harness.runs.records import damage_named, timings_of
from harness.runs.run_target import RunTarget
from harness.runs.scale import uneven_features
from harness.runs.summary import Summary, summarise
from harness.runs.test_set import prepare_test_set
from harness.runs.warm_start import WarmStart
from harness.runs.worker import worker_function
from harness.settings import Settings
from harness.stack.state import StackState

Reporter = Callable[[str], None]


def run(
    prepared: PreparedRun,
    settings: Settings,
    target: RunTarget,
    *,
    report: Reporter,
    watch: Watcher,
    note: Reporter = lambda _line: None,
    ended: Callable[[ReadableFolder], None] = lambda _folder: None,
) -> Summary:
    """Run a job on a stack that is up, or on a deployment.

    Args:
        prepared: What the user asks for.
        settings: The project's settings.
        target: Where the run takes place.
        report: Called with each stage, in a few words.
        watch: Called with the progress of the ranks.
        note: Called with lines that the user must see, such as the address of a debugger.
        ended: Called with the folder of the run as soon as it is over, however it ended.

    Raises:
        HarnessError: The run failed; the message names the first cause.
        TrainingError: The job or its data is wrong.
    """
    with deaths_named(target.stack):
        sized = with_world_size(prepared, target.clients.s3)
        return _run(sized, settings, target, report, watch, note, ended)


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
    prepared: PreparedRun,
    settings: Settings,
    target: RunTarget,
    report: Reporter,
    watch: Watcher,
    note: Reporter,
    ended: Callable[[ReadableFolder], None],
) -> Summary:
    clients, requested, settings = target.clients, prepared.job, prepared.settings_of(settings)
    if prepared.faults and target.stack is None:
        raise HarnessError("faults are brought about on this machine only", f"the run is to be on {target.mode}")
    start = WarmStart(requested.init_from, requested, target, settings) if requested.init_from else None
    report("making functions ready")
    worker = worker_function(settings, requested)
    # Before the data, so that environments import their libraries while the data is prepared.
    images = {name: target.make_ready(name, settings, report) for name in (COORDINATOR, worker)}
    check_concurrency(clients, worker, requested.n_workers)
    report("preparing data")
    data = prepare_data(prepared.data, requested, clients.s3, target.bucket)
    prepared = with_model(prepared, data.manifest)
    for line in data.notes:
        note(line)
    check_shape(prepared.event, data)
    defaults = choices_of(prepared, data)
    if defaults:
        report(format_chosen(defaults))
    job = complete_job(prepared, data, target, defaults)
    job = prepare_test_set(prepared.test, job, data, clients.s3, target.bucket)
    folder = FollowedFolder(clients.s3, job.results, str(job.run_id))
    if start is not None:
        start.check(job, data)
    if not target.bucket:
        _create_bucket(clients, job.results)
    if start is not None:
        start.store(folder)
    if prepared.source:
        folder.write(SOURCE_OBJECT, prepared.source)
    digests = {name: digest for name, digest in images.items() if digest}
    network = network_of_run(target.stack, job.n_workers)
    for line in network.warnings if network else ():
        note(f"warning: {line}")
    report("invoking the coordinator")
    record = begun(job, target, chosen=defaults, versions=digests)
    followed = Followed(job, folder, target, worker, record)
    with kept(followed, settings, note, ended):
        training = _train(followed, settings, prepared, report=report, watch=watch, note=note)
        followed.summary = _summary(followed, training, prepared, data.manifest)
    return followed.summary


def _summary(followed: Followed, training: _Training, prepared: PreparedRun, manifest: Manifest | None) -> Summary:
    job, folder, target, record = followed.job, followed.folder, followed.target, followed.record
    with damage_named(folder):
        timings = timings_of(folder, job.n_workers)
        summary = summarise(
            folder,
            timings,
            mode=target.mode,
            images=record.versions,
            job=msgspec.to_builtins(job),
            defaults=record.chosen,
            reports=training.reports,
            progress=training.progress,
            invoked_at=training.invoked_at,
            seconds=training.seconds,
        )
    if uneven := uneven_features(job, manifest, summary.loss):
        summary = msgspec.structs.replace(summary, warnings=[*summary.warnings, uneven])
    if target.stack is None:
        return summary
    events = _stack_events(target.stack, training, summary, timings, prepared.faults)
    network = network_of_run(target.stack, job.n_workers)
    return msgspec.structs.replace(summary, events=events, network=network)


def _train(
    followed: Followed,
    settings: Settings,
    prepared: PreparedRun,
    *,
    report: Reporter,
    watch: Watcher,
    note: Reporter,
) -> _Training:
    job, folder, target, worker = followed.job, followed.folder, followed.target, followed.worker
    clients, stack, faults = target.clients, target.stack, prepared.faults
    invoked_at, started = followed.record.started_at, time.perf_counter()
    tail = followed.tail(worker)
    with (
        in_force(stack, folder.run_id, job.n_workers, faults) if stack else nullcontext(),
        debugged(stack, folder.run_id, worker, settings, prepared.debug, note) as ranks,
        workers_stopped_on_failure(job, stack, folder),
    ):
        coordinator_request = invoke_coordinator(clients, job)
        with damage_named(folder):
            requests = list(folder.read_json("invoked.json")["requests"])
        followed.requests |= {coordinator_request, *requests}
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
            service_answers=lambda: service_answers(clients, stack),
            retry_delays_s=tuple(scale * delay_s for delay_s in RETRY_DELAYS_S),
            revive=job.revive,
        )
        if ranks:
            # A debugger may hold a rank behind its results.
            ranks.wait_until_ended()
            await_reports(tail, progress, folder.run_id, set(progress.requests))
    seconds = time.perf_counter() - started
    found = [read_report(text) for _, text in followed.tail(COORDINATOR).lines()]
    own = [one for one in found if one is not None and one.request_id == coordinator_request]
    return _Training(progress, [*progress.reports, *own], invoked_at, seconds)


def _stack_events(
    stack: StackState,
    training: _Training,
    summary: Summary,
    timings: Mapping[int, Sequence[Timings]],
    faults: Plan | None,
) -> list[dict[str, Any]]:
    """Return a summary's events: the faults, what workers logged, and the restarts of the stack's parts."""
    events = [*summary.events, *restart_events(stack, training.invoked_at)]
    if not faults:
        return events
    injected = read_events(stack, summary.run_id)
    began, ended_at = training.invoked_at, training.invoked_at + training.seconds
    return [*fault_records(injected, timings, rounds=summary.rounds, invoked_at=began, ended_at=ended_at), *events]


def _create_bucket(clients: Clients, bucket: str) -> None:
    try:
        clients.s3.create_bucket(Bucket=bucket)
    except ClientError as error:
        if error.response["Error"]["Code"] not in {"BucketAlreadyOwnedByYou", "BucketAlreadyExists"}:
            raise

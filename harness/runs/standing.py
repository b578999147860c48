"""A run's folder in the S3 of a stack or of a deployment, which reads as a kept one: with its log and its summary.

    S3, the functions' logs, the Lambda service's records  --gather-->  run.json, summary.json, log.jsonl, ...

Nobody may have followed the run: it may have been invoked by hand. What a follower would have seen is read afterwards.
"""

import time
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, TypeVar

import msgspec
from botocore.exceptions import BotoCoreError, ClientError

from harness.errors import HarnessError
from harness.history.records import INVOCATIONS, LOG, RUN, SUMMARY, KeptRecord, KeptStatus, LoggedLine
from harness.runs.declared import COORDINATOR
from harness.runs.invocation_records import PUT_OFF, UNDER_WAY, invocation_records, states_of
from harness.runs.keeping import STOPPED, STOPPED_WORDS, partition_bytes, versions_of
from harness.runs.log_lines import read_lines, read_report
from harness.runs.log_tail import LogTail
from harness.runs.progress import new_progress
from harness.runs.records import Failure, damage_named, rank_of, timings_of
from harness.runs.run_log import RunLog
from harness.runs.run_target import RunTarget
from harness.runs.summary import Summary, summarise
from harness.runs.worker import worker_function
from harness.settings import Settings
from harness.system.probes import wait_until
from training.errors import InputError, TrainingError
from training.job import Job, decode_job
from training.run.results import JobRecord, RunFolder
from training.run.reviving import RevivalRecord

Record = TypeVar("Record")

# A coordinator reads its data's manifest before it stores the job; the last lines follow the last object.
BEFORE_S, AFTER_S = 120.0, 120.0
# Longer than any invocation: a run on AWS that has stored nothing for so long is over.
SILENT_S = 1200.0


@dataclass(frozen=True)
class Gathered:
    """All that is known of a run beside the objects of its folder.

    Attributes:
        record: `run.json`.
        summary: Its summary; None if it has not succeeded.
        lines: Its log.
        invocations: The Lambda service's records of its invocations.
    """

    record: KeptRecord
    summary: Summary | None = None
    lines: list[LoggedLine] = field(default_factory=list)
    invocations: list[dict[str, Any]] = field(default_factory=list)


class StandingFolder(RunFolder):
    """A run's folder where the run took place.

    Args:
        target: Where that is.
        bucket: The bucket of its results.
        run_id: The run.
        settings: The project's settings, which name its functions.
    """

    def __init__(self, target: RunTarget, bucket: str, run_id: str, settings: Settings) -> None:
        super().__init__(target.clients.s3, bucket, run_id)
        self.target, self.bucket, self.settings = target, bucket, settings
        self._gathered: Gathered | None = None

    def read(self, name: str) -> bytes | None:
        """Return an object's bytes, or what a kept run has under this name; None when it is absent."""
        own = self._own(name)
        return super().read(name) if own is None else own or None

    def read_as(self, name: str, kind: type[Record]) -> Record | None:
        """Return a record of this type; None when it is absent.

        Raises:
            InputError: The object is not such a record, or is larger than any record.
        """
        own = self._own(name)
        if own is None:
            return super().read_as(name, kind)
        return msgspec.json.decode(own, type=kind) if own else None

    def names(self, folder: str) -> list[str]:
        """Return the names of the objects in a folder such as `workers/`, sorted, and those that a kept run adds."""
        found = super().names(folder)
        return found if folder else sorted({*found, RUN, SUMMARY, LOG, INVOCATIONS})

    def times(self) -> dict[str, float]:
        """Return when each object was stored, seconds since the epoch, by its name."""
        prefix = f"runs/{self.run_id}/"
        pages = self.target.clients.s3.get_paginator("list_objects_v2").paginate(Bucket=self.bucket, Prefix=prefix)
        entries = [entry for page in pages for entry in page.get("Contents", [])]
        return {entry["Key"].removeprefix(prefix): entry["LastModified"].timestamp() for entry in entries}

    def status(self) -> KeptStatus:
        """Return how the run ended, or that it is under way.

        Raises:
            HarnessError: The folder holds no job, so it is no run's.
            TrainingError: S3 does not answer.
        """
        stored = _stored_job(self)
        return _status(self, self.times(), {stored.request_id, *invoked_requests(self), *revived_requests(self)})

    def gathered(self) -> Gathered:
        """Return what is known of the run, read once.

        Raises:
            HarnessError: The folder holds no job, so it is no run's.
            TrainingError: S3 does not answer.
        """
        if self._gathered is None:
            self._gathered = gather(self)
        return self._gathered

    def _own(self, name: str) -> bytes | None:
        """Return what a kept run has under this name, empty if it has none; None for the name of an object."""
        if name == RUN:
            return msgspec.json.encode(self.gathered().record)
        if name == SUMMARY:
            summary = self.gathered().summary
            return b"" if summary is None else msgspec.json.encode(summary)
        if name == LOG:
            return msgspec.json.Encoder().encode_lines(self.gathered().lines)
        return msgspec.json.Encoder().encode_lines(self.gathered().invocations) if name == INVOCATIONS else None


def gather(folder: StandingFolder) -> Gathered:
    """Read what is known of a run beside the objects of its folder.

    Raises:
        HarnessError: The folder holds no job, so it is no run's.
        TrainingError: S3 does not answer, or the job is not one of this version.
    """
    target, times = folder.target, folder.times()
    stored = _stored_job(folder)
    job = decode_job(stored.job, Job)
    worker = worker_function(folder.settings, job)
    requests = {stored.request_id, *invoked_requests(folder), *revived_requests(folder)}
    status = _status(folder, times, requests)
    since = times.get("job.json", time.time()) - BEFORE_S
    until = None if status == "running" else max(times.values()) + AFTER_S
    log = read_run_log(target, (COORDINATOR, worker), since, until)
    requests |= log.requests_of(folder.run_id)
    if status == "succeeded" and not _all_reported(log, requests):
        log = _with_reports(target, (COORDINATOR, worker), since, until, requests)
    lines = log.lines(requests)
    invocations = invocation_records(target.stack, requests)
    started_at = _started(stored.request_id, lines, invocations) or times["job.json"]
    ended_at = time.time() if status == "running" else max([*(line.at for line in lines), *times.values()])
    error = _error(folder, status, invocations)
    record = KeptRecord(
        run_id=folder.run_id,
        status=status,
        target="local" if target.stack is not None else target.mode,
        mode=target.mode,
        bucket=folder.bucket,
        started_at=started_at,
        seconds=max(0.0, ended_at - started_at),
        cause=error[0] if error else "",
        error=error,
        versions=versions_of(target.clients, worker),
        data_bytes=partition_bytes(target.clients.s3, job),
        by_hand=True,
    )
    if status != "succeeded":
        return Gathered(record, None, lines, invocations)
    try:
        summary = _summary(folder, job, record, lines)
    except (HarnessError, TrainingError) as failure:
        left_out = [f"{SUMMARY}: {str(failure).splitlines()[0]}"]
        return Gathered(msgspec.structs.replace(record, left_out=left_out), None, lines, invocations)
    record = msgspec.structs.replace(record, seconds=summary.seconds.total)
    return Gathered(record, summary, lines, invocations)


def read_run_log(target: RunTarget, functions: tuple[str, ...], since: float, until: float | None) -> RunLog:
    """Return what functions printed in a span of time, seconds since the epoch; a log that is gone is empty."""
    log = RunLog()
    end = None if until is None else int(1000 * until)
    for function in functions:
        tail = LogTail(target.clients.logs, f"/aws/lambda/{function}", int(1000 * since), target.polling, until_ms=end)
        try:
            for line in tail.events():
                log.add(function, line)
        except (BotoCoreError, ClientError):
            continue
    return log


def _all_reported(log: RunLog, requests: set[str]) -> bool:
    """Return whether the platform's report of each invocation, from which costs are computed, is in the log."""
    reports = map(read_report, (line.text for line in log.lines(requests)))
    return requests <= {report.request_id for report in reports if report is not None}


def _with_reports(
    target: RunTarget, functions: tuple[str, ...], since: float, until: float | None, requests: set[str]
) -> RunLog:
    """Read a log again until it has all reports, or for as long as they may be late."""
    log = RunLog()

    def complete() -> bool:
        nonlocal log
        log = read_run_log(target, functions, since, until)
        return _all_reported(log, requests)

    wait_until(complete, target.polling.reports_within_s)
    return log


def _stored_job(folder: StandingFolder) -> JobRecord:
    stored = folder.read_as("job.json", JobRecord)
    if stored is None:
        raise HarnessError(f"there is no run {folder.run_id}", folder.location(""), "see `harness runs`")
    return stored


def revived_requests(folder: RunFolder) -> set[str]:
    """Return the request ids of the invocations by which ranks revived others."""
    found = set()
    for name in folder.names("revivals/"):
        with suppress(TrainingError):
            record = folder.read_as(name, RevivalRecord)
            if record is not None and record.request_id is not None:
                found.add(record.request_id)
    return found


def invoked_requests(folder: RunFolder) -> list[str]:
    """Return the request ids of the workers, by rank; none if the coordinator has not invoked them all."""
    try:
        return [str(one) for one in folder.read_json("invoked.json")["requests"]]
    except (TrainingError, LookupError, TypeError):
        return []


def _status(folder: StandingFolder, times: dict[str, float], requests: set[str]) -> KeptStatus:
    """Return how a run ended, or that it is under way."""
    states = states_of(folder.target.stack, requests)
    if states is None:
        over = "result.json" in times or STOPPED in times or any(one.final for one in failures_in(folder))
        busy = not over and time.time() - max(times.values()) < SILENT_S
    else:
        # A worker that Lambda has yet to retry ends at once when it reads that the run was stopped.
        busy = bool(states & (UNDER_WAY - PUT_OFF if STOPPED in times else UNDER_WAY))
    if busy:
        return "running"
    if "result.json" in times:
        return "succeeded"
    if STOPPED in times:
        return "stopped"
    failed = any(name.startswith("failed/") for name in times) or (states is not None and "given_up" in states)
    return "failed" if failed else "unfinished"


def failures_in(folder: RunFolder) -> list[Failure]:
    """Return the failures that workers stored, the first cause first; other objects are skipped."""
    found = []
    for name in folder.names("failed/"):
        try:
            failure = folder.read_as(name, Failure) if rank_of(name) is not None else None
        except InputError:
            continue
        if failure is not None:
            found.append(failure)
    # A rank that was told to stop, or that waited in vain, did not cause the failure if another one did.
    return sorted(found, key=lambda failure: (failure.kind in {"RunAborted", "RanksMissing"}, failure.time))


def _error(folder: StandingFolder, status: KeptStatus, invocations: list[dict[str, Any]]) -> list[str]:
    """Return the lines of an error that says why a run did not succeed; none for one that did, or may."""
    if status in {"succeeded", "running"}:
        return []
    if status == "stopped":
        return [STOPPED_WORDS]
    place = f"run folder: {folder.location('')}"
    if failures := failures_in(folder):
        words = failures[0].cause.splitlines() or [failures[0].kind]
        return [f"worker {failures[0].rank} failed: {words[0]}", place]
    lost = [one for one in invocations if one.get("state") == "given_up"]
    if lost:
        words = str(lost[0].get("error_message") or lost[0].get("error") or "it died").splitlines()
        return [f"{lost[0].get('function')} failed: {words[0]}", f"request {lost[0].get('request_id')}", place]
    return ["the run has not finished", place]


def _started(request_id: str, lines: list[LoggedLine], invocations: list[dict[str, Any]]) -> float | None:
    """Return when the coordinator was invoked; None if nothing tells."""
    queued = [one.get("queued_at") for one in invocations if one.get("request_id") == request_id]
    times = [at for at in queued if isinstance(at, float | int) and at > 0]
    times += [line.at for line in lines if line.request_id == request_id][:1]
    return min(times, default=None)


def _summary(folder: StandingFolder, job: Job, record: KeptRecord, lines: list[LoggedLine]) -> Summary:
    """Return the summary of a run that has succeeded, as its follower would have computed it.

    Raises:
        HarnessError: Its folder is damaged.
        InputError: A record of it is not one that workers store.
    """
    progress = new_progress(invoked_requests(folder), ())
    with damage_named(folder):
        read_lines((line.text for line in lines if line.function != COORDINATOR), progress, folder.run_id)
        reports = [report for line in lines if (report := read_report(line.text)) is not None]
        ends = [line.at for line in lines if '"finished"' in line.text]
        return summarise(
            folder,
            timings_of(folder, job.n_workers),
            mode=record.mode,
            images={},
            job=msgspec.to_builtins(job),
            defaults={},
            reports=reports,
            progress=progress,
            invoked_at=record.started_at,
            seconds=max(ends) - record.started_at if ends else record.seconds,
        )

"""A run is kept at its end, however it ends: what its follower saw, and what is in its folder in S3."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from functools import partial
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

import msgspec
from botocore.exceptions import BotoCoreError, ClientError

from harness.aws.clients import Clients
from harness.bundle import DISTRIBUTION
from harness.errors import HarnessError
from harness.history.keeping import keep_run
from harness.history.records import KeptRecord, KeptStatus
from harness.insight.folder import ReadableFolder
from harness.runs.coordinator import JobRefusedError
from harness.runs.declared import COORDINATOR
from harness.runs.invocation_records import invocation_records
from harness.runs.log_tail import LogTail
from harness.runs.run_log import RunLog
from harness.runs.run_target import RunTarget
from harness.runs.summary import Summary
from harness.settings import Settings
from training.errors import TrainingError
from training.job import Job
from training.run.results import RunFolder

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

# Each attempt has records of its own names.
STORED_ONCE = ("workers/", "telemetry/", "links/", "result.json", "invoked.json")
# `harness stop` leaves it in a run's folder: the run did not fail by itself.
STOPPED, STOPPED_WORDS = "stopped.json", "it was stopped by `harness stop`"


class FollowedFolder(RunFolder):
    """A run's folder that remembers the records which workers store once, so that keeping them reads none again."""

    def __init__(self, s3: "S3Client", bucket: str, run_id: str) -> None:
        super().__init__(s3, bucket, run_id)
        self._bodies: dict[str, bytes] = {}

    def read(self, name: str) -> bytes | None:
        """Return an object's bytes; None when it is absent."""
        return self._bodies.get(name) or super().read(name)

    def read_record(self, name: str) -> bytes | None:
        """Return the bytes of a record; None when it is absent.

        Raises:
            InputError: The object is larger than any record.
        """
        if (body := self._bodies.get(name)) is not None:
            return body
        body = super().read_record(name)
        if body is not None and name.startswith(STORED_ONCE):
            self._bodies[name] = body
        return body


@dataclass
class Followed:
    """What is seen of a run while it is followed.

    Attributes:
        job: The job.
        folder: Its folder in S3.
        target: Where it runs.
        worker: The function that trains.
        record: `run.json` as far as it is known.
        log: The lines of its functions.
        requests: The invocations that are known to be its own.
        summary: Its summary, when it has succeeded.
        tails: The tails of its functions' logs.
    """

    job: Job
    folder: RunFolder
    target: RunTarget
    worker: str
    record: KeptRecord
    log: RunLog = field(default_factory=RunLog)
    requests: set[str] = field(default_factory=set)
    summary: Summary | None = None
    tails: dict[str, LogTail] = field(default_factory=dict)

    def tail(self, function: str) -> LogTail:
        """Return the tail of a function's log from the run's beginning; its lines are kept."""
        if function not in self.tails:
            heard = partial(self.log.add, function)
            since_ms = int(1000 * self.record.started_at)
            logs, polling = self.target.clients.logs, self.target.polling
            self.tails[function] = LogTail(logs, f"/aws/lambda/{function}", since_ms, polling, heard=heard)
        return self.tails[function]


def begun(job: Job, target: RunTarget, *, chosen: dict[str, Any], versions: dict[str, str]) -> KeptRecord:
    """Return `run.json` of a run whose coordinator is about to be invoked.

    Args:
        job: The job.
        target: Where it runs.
        chosen: The keys of the job that follow from the data.
        versions: The digest of each function's image.
    """
    kind = "local" if target.stack is not None else target.mode
    return KeptRecord(
        run_id=str(job.run_id),
        status="running",
        target=kind,
        mode=target.mode,
        bucket=job.results,
        started_at=time.time(),
        chosen=chosen,
        versions=versions,
    )


@contextmanager
def kept(
    followed: Followed,
    settings: Settings,
    note: Callable[[str], None],
    ended: Callable[[ReadableFolder], None] = lambda _folder: None,
) -> Iterator[None]:
    """Keep a run when the block ends: as succeeded with its summary, else as failed or stopped.

    Args:
        followed: What the block sees of the run.
        settings: The project's settings.
        note: Called with a line for the user if the run cannot be kept.
        ended: Called with the kept run; with the run's folder in S3 if it is not kept.
    """
    try:
        yield
    except JobRefusedError:
        raise  # a run of the same name may be somebody else's
    except BaseException as error:
        for function in (followed.worker, COORDINATOR):
            # What was printed since the last poll; the service may be what has failed.
            with suppress(BotoCoreError, ClientError):
                list(followed.tail(function).events())
        ended(_keep(followed, settings, note, error))
        raise
    ended(_keep(followed, settings, note, None))


def _keep(
    followed: Followed, settings: Settings, note: Callable[[str], None], error: BaseException | None
) -> ReadableFolder:
    if not settings.history.keep:
        return followed.folder
    record, folder = followed.record, followed.folder
    status, lines = ended_as(error, folder)
    requests = followed.requests | followed.log.requests_of(record.run_id)
    record = msgspec.structs.replace(
        record,
        status=status,
        seconds=followed.summary.seconds.total if followed.summary else time.time() - record.started_at,
        cause=lines[0] if lines else "",
        error=lines,
        versions={**versions_of(followed.target.clients, followed.worker), **record.versions},
        data_bytes=partition_bytes(followed.target.clients.s3, followed.job),
    )
    try:
        return keep_run(
            settings,
            folder,
            record,
            summary=followed.summary,
            lines=followed.log.lines(requests),
            invocations=invocation_records(followed.target.stack, requests),
        )
    except HarnessError as failure:
        note(f"warning: run {record.run_id} is not kept: {failure.what}; {failure.remedy}")
    return folder


def ended_as(error: BaseException | None, folder: RunFolder) -> tuple[KeptStatus, list[str]]:
    """Return how a run ended, and the lines of the error that its user sees.

    Args:
        error: What ended it; None for its success.
        folder: Its folder.
    """
    if error is None:
        return "succeeded", []
    if not isinstance(error, Exception):  # Ctrl-C, a signal, or the end of a search
        return "stopped", ["interrupted"]
    with suppress(TrainingError):
        if folder.read(STOPPED) is not None:
            return "stopped", [STOPPED_WORDS]
    return "failed", str(error).splitlines() or [type(error).__name__]


def versions_of(clients: Clients, worker: str) -> dict[str, str]:
    """Return what a run runs on: the harness, the workers' runtime, and the digest of their package."""
    versions = {"harness": version(DISTRIBUTION)}
    with suppress(BotoCoreError, ClientError):
        function = clients.control.get_function_configuration(FunctionName=worker)
        versions |= {"python": function.get("Runtime", ""), "code_sha256": function.get("CodeSha256", "")}
    return {name: value for name, value in versions.items() if value}


def partition_bytes(s3: "S3Client", job: Job) -> int:
    """Return the size of a run's partitions in bytes; 0 if some of them no longer exist."""
    try:
        pages = s3.get_paginator("list_objects_v2").paginate(
            Bucket=job.data_bucket, Prefix=job.data_prefix, Delimiter="/"
        )
        sizes = {entry["Key"]: entry["Size"] for page in pages for entry in page.get("Contents", [])}
    except (BotoCoreError, ClientError):
        return 0
    wanted = [sizes.get(job.partition(rank)) for rank in range(job.n_workers)]
    return sum(size for size in wanted if size is not None) if None not in wanted else 0

"""Reviving: a rank that waits invokes the event of a dead one; `training.exchange.recovery.revival` decides when.

A record in the run's folder, written only if it is not there yet, settles which survivor invokes, and counts how often
a link was revived. It outlives the cache, whose loss may have been what killed the rank.

    survivor 0   list the folder | create revivals/1.1.1.json | invoke rank 1's event, revival 1 | add its request id
    survivor 2        list the folder | revivals/1.1.1.json is there: watch the lease again, for four times as long
"""

import re
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import msgspec

from training.data.manifest import MANIFEST_KEY, decode_manifest
from training.errors import InputError
from training.exchange.recovery.revival import MOST_REVIVALS, DeadRank
from training.job import WorkerJob
from training.run.invoking import InvokeError, invoke_event, own_function
from training.run.results import RunFolder, StorageError, get_object
from training.run.telemetry import Telemetry

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

_REVIVAL = re.compile(r"revivals/(\d+)\.(\d+)\.(\d+)\.json")


class RevivalRecord(msgspec.Struct, frozen=True):
    """`revivals/<rank>.<link>.<revival>.json`.

    Attributes:
        rank: The rank that was revived.
        link: Which link of its chain of functions.
        revival: Which revival of that link it is, from 1.
        by: The rank that revived it.
        stood_still_s: For how long its lease had not moved.
        time: When, seconds since the epoch.
        request_id: The invocation of its event; None if Lambda did not accept it.
    """

    rank: int
    link: int
    revival: int
    by: int
    stood_still_s: float
    time: float
    request_id: str | None = None


class PeerReviver:
    """Invokes the events of dead ranks; see `training.exchange.recovery.revival.Revive`.

    Args:
        job: The job of the rank that revives.
        s3: A client.
        folder: The run's folder.
        telemetry: Reports every revival, and why one was left to Lambda.
    """

    def __init__(self, job: WorkerJob, s3: "S3Client", folder: RunFolder, telemetry: Telemetry) -> None:
        self._job, self._s3, self._folder, self._telemetry = job, s3, folder, telemetry

    def __call__(self, dead: DeadRank) -> int:
        """Revive a rank, unless another survivor has, or the run has a final cause of failure."""
        try:
            return self._revive(dead)
        except (StorageError, InvokeError) as error:
            # It is tried again if nobody else revives the rank, Lambda's retry included.
            self._telemetry.line("not_revived", whom=dead.rank, cause=str(error), final=False)
            return dead.revivals
        except InputError as error:
            self._telemetry.line("not_revived", whom=dead.rank, cause=str(error), final=True)
            return MOST_REVIVALS

    def _revive(self, dead: DeadRank) -> int:
        names = self._folder.names("")
        self._check_not_final(names)
        made = _revivals(names, dead)
        if made > dead.revivals:
            return made
        number = made + 1
        event = _peer_event(self._s3, self._job, dead, number)
        name = f"revivals/{dead.rank}.{dead.link}.{number}.json"
        record = RevivalRecord(dead.rank, dead.link, number, self._job.rank, dead.stood_still_s, time.time())
        if not self._folder.create_json(name, record):
            return number
        request_id = invoke_event(own_function(), event)
        self._telemetry.line(
            "revived",
            whom=dead.rank,
            link=dead.link,
            revival=number,
            stood_still_s=round(dead.stood_still_s, 3),
            revived_request_id=request_id,
        )
        with suppress(StorageError):
            self._folder.write_json(name, msgspec.structs.replace(record, request_id=request_id))
        return number

    def _check_not_final(self, names: list[str]) -> None:
        """Check that another try may succeed.

        Raises:
            InputError: The run was aborted, or a rank has failed for a cause that is the same next time.
            StorageError: S3 fails.
        """
        if "aborted.json" in names:
            raise InputError("the run was aborted")
        for name in names:
            if name.startswith("failed/"):
                record = self._folder.read_json(name)
                if isinstance(record, dict) and record.get("final"):
                    raise InputError(f"{name}: {record.get('cause')}")


def _revivals(names: list[str], dead: DeadRank) -> int:
    """Return how often a link of a rank has been revived."""
    found = [tuple(map(int, match.groups())) for match in map(_REVIVAL.fullmatch, names) if match]
    return max((number for rank, link, number in found if (rank, link) == (dead.rank, dead.link)), default=0)


def _peer_event(s3: "S3Client", job: WorkerJob, dead: DeadRank, number: int) -> dict[str, Any]:
    """Return the event of another rank: this rank's own, with what differs between ranks.

    Raises:
        InputError: It cannot be known, because this rank's partition is not what its bucket has.
        StorageError: S3 fails.
    """
    if job.file != job.partition(job.rank):
        raise InputError(f"this rank's partition is {job.file}, so that of rank {dead.rank} has no known name")
    theirs = {
        "worker_index": dead.rank,
        "file": job.partition(dead.rank),
        "link": dead.link,
        "revival": number,
        "stood_still": dead.lease.hex(),
    }
    event = {**msgspec.to_builtins(job), **theirs}
    for field, own, bucket, prefix in (
        ("expected", job.expected, job.data_bucket, job.data_prefix),
        ("test_expected", job.test_expected, job.test_bucket, job.test_prefix),
    ):
        if own is not None and bucket is not None:
            source = f"s3://{bucket}/{prefix}{MANIFEST_KEY}"
            manifest = decode_manifest(get_object(s3, bucket, prefix + MANIFEST_KEY), source)
            partition = None if manifest is None else manifest.partition(dead.rank)
            if manifest is None or partition is None or manifest.partition(job.rank) != own:
                raise InputError(f"{source} is no longer the manifest with which the run began")
            event[field] = msgspec.to_builtins(partition)
    return event

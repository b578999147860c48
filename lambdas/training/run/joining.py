"""How a worker joins its run: it takes its rank's lease, connects to the cache and loads its rows."""

import re
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing
from typing import TYPE_CHECKING, NamedTuple

from training.data.shard import Shard
from training.errors import ChannelError, ChannelSilent, DuplicateDelivery, RunAborted
from training.exchange.channel.memcached import MemcachedChannel
from training.exchange.keys import key_of
from training.exchange.recovery.lease import Lease
from training.job import WorkerJob
from training.run.code import check_code, own_code
from training.run.partition import load_shard
from training.run.results import Aborted, RunFolder, StorageError
from training.run.telemetry import Telemetry

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

# How long a starting worker retries a cache that it cannot reach; Lambda retries the event later.
# A cache that accepts connections and does not answer is at the right address: it is retried until the join deadline.
CONNECT_WITHIN_S = 5.0
RECONNECT_DELAY_S = 0.1
# The record of a rank that has finished, by rank and attempt.
_WORKER_RECORD = re.compile(r"workers/(\d+)\.\d+\.json")


class Joined(NamedTuple):
    """What a worker has once it joined.

    Attributes:
        shard: Its rows.
        names: The objects in the run's folder.
        channel: A connection to the cache; the caller closes it.
    """

    shard: Shard
    names: list[str]
    channel: MemcachedChannel


def lease_of(job: WorkerJob) -> Lease:
    """Return the lease of this job's rank, not yet taken."""
    key = key_of(job.run_id, f"lease/{job.rank}", job.tmp_bucket)
    return Lease(
        lambda: connect(job), key, job.link, revived=job.revival > 0, stood_still=bytes.fromhex(job.stood_still)
    )


def connect(job: WorkerJob) -> MemcachedChannel:
    """Connect to the job's cache.

    Raises:
        ChannelError: It cannot be reached, or does not answer.
    """
    return MemcachedChannel(job.host, job.port)


def join(s3: "S3Client", job: WorkerJob, lease: Lease, folder: RunFolder, telemetry: Telemetry) -> Joined:
    """Load the rows and list the run's folder while taking the lease, since a dead attempt's lease is watched first.

    All loading has ended when this returns or raises: Lambda would freeze it and continue it in the next invocation.

    Raises:
        DuplicateDelivery: Another delivery of the event works for this rank, or all ranks have stored their results.
        CodeChanged: The run began with other code.
        TrainingError: The run was aborted, or the rows, S3 or the cache failed.
    """
    with ThreadPoolExecutor(2) as pool, ExitStack() as undo:
        loading, listing = pool.submit(_load, s3, job, telemetry), pool.submit(folder.names, "")
        with telemetry.phase("join"), telemetry.interval("join"):
            _take(lease, job, telemetry)
            lease.keep()
            channel = undo.enter_context(closing(_connect_patiently(job)))
        names = listing.result()
        # This rank's own results are not enough: another rank may still need it.
        if _all_stored(job, folder, names):
            raise DuplicateDelivery("all ranks have stored their results")
        check_code(folder, names, own_code())
        joined = Joined(loading.result(), names, channel)
        undo.pop_all()
        return joined


def is_over(job: WorkerJob, folder: RunFolder) -> bool:
    """Return whether all ranks have stored their results; False when S3 fails, so that a waiting rank asks again.

    Raises:
        RunAborted: The run was aborted.
    """
    try:
        return _all_stored(job, folder, folder.names(""))
    except StorageError:
        return False


def _load(s3: "S3Client", job: WorkerJob, telemetry: Telemetry) -> Shard:
    with telemetry.phase("load"), telemetry.interval("load"):
        return load_shard(s3, job)


def _take(lease: Lease, job: WorkerJob, telemetry: Telemetry) -> None:
    """Take the rank's lease.

    Raises:
        DuplicateDelivery: Another delivery of the event has it, or has finished.
        ChannelError: The cache cannot be reached.
    """
    try:
        taken = lease.acquire(
            CONNECT_WITHIN_S, job.join_timeout_s, lambda cause: telemetry.line("waiting", waits_for=cause)
        )
    finally:
        telemetry.attempt = lease.attempt
    if not taken:
        raise DuplicateDelivery(f"another delivery of the event of rank {job.rank} works for it")


def _all_stored(job: WorkerJob, folder: RunFolder, names: list[str]) -> bool:
    """Return whether all ranks have stored their results.

    Raises:
        RunAborted: The run was aborted.
        StorageError: S3 fails.
    """
    if "aborted.json" in names and (aborted := folder.read_as("aborted.json", Aborted)):
        raise RunAborted(aborted.cause)
    stored = {int(found[1]) for found in map(_WORKER_RECORD.fullmatch, names) if found}
    return stored >= set(range(job.n_workers))


def _connect_patiently(job: WorkerJob) -> MemcachedChannel:
    """Connect to the cache, which answered a moment ago.

    Raises:
        ChannelError: It cannot be reached for `CONNECT_WITHIN_S`, or does not answer until the join deadline.
    """
    started = time.monotonic()
    while True:
        try:
            return connect(job)
        except ChannelError as error:
            limit_s = job.join_timeout_s if isinstance(error, ChannelSilent) else CONNECT_WITHIN_S
            if time.monotonic() - started >= limit_s:
                raise
            time.sleep(RECONNECT_DELAY_S)

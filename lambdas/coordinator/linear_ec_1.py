"""The coordinator: checks the job and its data, then starts one worker per partition.

The event is `training.job.Job`.
It returns as soon as it has invoked every worker, since a run may outlive the coordinator's own time limit.
The run's outcome appears at the address `result` that it returns.
"""

import os
import secrets
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from functools import partial
from typing import Any, NamedTuple

import msgspec

from training.data.labels import classes_of, too_many_labels
from training.data.manifest import MANIFEST_KEY, PartitionSet, decode_manifest
from training.data.schema import schema_digest
from training.errors import ChannelError, InputError, JobError
from training.exchange.channel.memcached import MemcachedChannel
from training.exchange.collectives.cost_model import Link, probe
from training.job import Job, decode_job
from training.model.catalogue import training_function
from training.run.invoking import CONNECTIONS, invoke_event
from training.run.results import JobRecord, RunFolder, get_object, list_partitions, s3_client
from training.run.zone import own_zone

# A probe does not wait for a slow cache; the workers do.
PROBE_TIMEOUT_S = 1.0

_s3 = s3_client()


def handler(event: dict[str, Any], context: Any) -> dict[str, Any]:  # noqa: ANN401 - AWS's context has no type
    """Start a run.

    A second delivery of the same event starts no second run: its request id is in `job.json`.
    If a coordinator died before it had invoked all workers, another invocation with the same job invokes all workers
    again; leases discard the duplicates.

    Raises:
        InputError: The event or its data is wrong; no worker was invoked.
        InvokeError: A worker could not be invoked.
    """
    job = decode_job(event, Job)
    function = training_function(job.model, os.environ, job.worker_function)
    run_id = job.run_id or context.aws_request_id
    job = msgspec.structs.replace(job, run_id=run_id)
    with ThreadPoolExecutor(1) as pool:
        measuring = pool.submit(_measure_cache, job)
        job, partitions = _check_data(job)
        cache_link = measuring.result()
    folder = RunFolder(_s3, job.results, run_id)
    record = JobRecord(context.aws_request_id, msgspec.to_builtins(job), msgspec.to_builtins(cache_link))
    if not folder.create_json("job.json", record):
        first = folder.read_as("job.json", JobRecord)
        if first is None:
            raise InputError(f"{folder.location('job.json')} was there a moment ago and is gone")
        invoked = folder.read("invoked.json") is not None
        same_request = first.request_id == context.aws_request_id
        if not same_request and (invoked or first.job != msgspec.to_builtins(job)):
            raise JobError("run_id", run_id, "a run id that no other run has used")
        if invoked:
            return _answer(run_id, folder)
        # Running workers use the first measurement, and all ranks must use the same.
        cache_link = first.cache_link
    with ThreadPoolExecutor(min(CONNECTIONS, job.n_workers)) as pool:
        events = [_worker_event(job, rank, cache_link, partitions) for rank in range(job.n_workers)]
        requests = list(pool.map(partial(invoke_event, function), events))
    folder.write_json("invoked.json", {"requests": requests})
    return _answer(run_id, folder)


def _answer(run_id: str, folder: RunFolder) -> dict[str, Any]:
    return {"statusCode": 200, "body": {"run_id": run_id, "result": folder.location("result.json")}}


class _Partitions(NamedTuple):
    """The facts about partitions that their manifest states; without a manifest they are None.

    Attributes:
        labels: The label of each class.
        described: Rows and digest of each partition, by rank.
        test: The same of the test set's partitions.
    """

    labels: list[float] | None
    described: PartitionSet | None
    test: PartitionSet | None


def _check_data(job: Job) -> tuple[Job, _Partitions]:
    """Check that all partitions exist, and read their manifest if they have one.

    Returns:
        The job, completed from the manifest, and the manifest's facts that workers need.

    Raises:
        InputError: A partition is missing, or the labels cannot be classes.
    """
    test = None
    if job.test_bucket is not None:
        test = _described(job.test_bucket, job.test_prefix, [job.test_partition(rank) for rank in range(job.n_workers)])
    manifest = _described(job.data_bucket, job.data_prefix, [job.partition(rank) for rank in range(job.n_workers)])
    if manifest is None:
        return job, _Partitions(None, None, test)
    job = msgspec.structs.replace(job, zero_based="yes" if manifest.zero_based else "no")
    if job.task != "classification":
        return job, _Partitions(None, manifest, test)
    source = f"s3://{job.data_bucket}/{job.data_prefix}".rstrip("/")
    if manifest.labels is None:
        raise too_many_labels(source)
    labels = classes_of([count.label for count in manifest.labels], job.n_classes, source)
    return msgspec.structs.replace(job, n_classes=len(labels)), _Partitions(labels, manifest, test)


def _described(bucket: str, prefix: str, keys: list[str]) -> PartitionSet | None:
    """Check that partitions exist, and return their manifest; None if there is none that describes them.

    Raises:
        InputError: A partition is missing.
    """
    present = list_partitions(_s3, bucket, prefix)
    missing = [key for key in keys if key not in present]
    if missing:
        raise InputError(f"bucket {bucket} lacks {len(missing)} of {len(keys)} partitions, first: {missing[0]}")
    key = prefix + MANIFEST_KEY
    if key not in present:
        return None
    source = f"s3://{bucket}/{prefix}".rstrip("/")
    manifest = decode_manifest(get_object(_s3, bucket, key), f"{source}/{MANIFEST_KEY}")
    # The manifest may be that of another set of partitions.
    return manifest if manifest is not None and manifest.n_partitions == len(keys) else None


def _measure_cache(job: Job) -> Link | None:
    """Return latency and bandwidth to the cache, and from which zone.

    Returns:
        The link; None where no choice depends on it, or the cache is slow or down.
    """
    if job.sync_mode != "auto" or job.n_workers == 1:
        return None
    # Another delivery of the event may measure at the same time.
    key = "/".join(filter(None, (job.tmp_bucket, job.run_id, "probe", secrets.token_hex(4))))
    try:
        with closing(MemcachedChannel(job.host, job.port, PROBE_TIMEOUT_S)) as channel:
            link = probe(channel, key, time.perf_counter)
    except ChannelError:
        return None
    return None if link is None else msgspec.structs.replace(link, zone=own_zone())


def _worker_event(job: Job, rank: int, cache_link: object, partitions: _Partitions) -> dict[str, Any]:
    """Return one worker's event."""
    event = {**msgspec.to_builtins(job), "worker_index": rank, "file": job.partition(rank)}
    if partitions.labels is not None:
        event["labels"] = partitions.labels
    if partitions.described is not None and (partition := partitions.described.partition(rank)) is not None:
        event["expected"] = msgspec.to_builtins(partition)
    if partitions.test is not None and (partition := partitions.test.partition(rank)) is not None:
        event["test_expected"] = msgspec.to_builtins(partition)
    if partitions.described is not None and (schema := partitions.described.schema) is not None:
        event["schema_sha256"] = schema_digest(schema)
    if cache_link is not None:
        event["cache_link"] = cache_link
    return event

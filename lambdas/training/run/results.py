"""A run's folder in S3, `runs/<run_id>/`, with one object per fact.

    job.json                          the job as it was started, and the request that started it
    code.json                         the code of the run; see `training.run.code`
    workers/<rank>.<attempt>.json     a finished worker: seconds, phases, memory
    telemetry/<rank>.<attempt>.json   a worker's timings, round by round, unless it died
    failed/<rank>.<attempt>.json      a failed worker: the cause, and whether another try could help
    links/<rank>.<attempt>.json       a worker that ran low on time and invoked the next link
    revivals/<rank>.<link>.<n>.json   a dead worker whose event a peer has invoked again; see `training.run.reviving`
    checkpoint/                       see `training.run.checkpoint`
    aborted.json                      the cause, if the run was aborted from outside
    init.npz                          a copy of the model that training started from, if the caller made one
    model_source.zip                  the source of a model of the user's own, if the caller stored it
    model.npz                         the trained parameters
    result.json                       the run's outcome; rank 0 writes it after the model

This module alone translates S3's errors.
"""

import hashlib
import random
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, TypeVar

import boto3
import msgspec
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError, IncompleteReadError

from training.errors import InputError, TrainingError
from training.run.mapped_memory import mapped

if TYPE_CHECKING:
    from botocore.response import StreamingBody
    from mypy_boto3_s3 import S3Client

CLIENT_CONFIG = Config(
    connect_timeout=5,
    read_timeout=60,
    # Not `standard`: it limits retries per client, and a warm environment keeps its client. After a few outages the
    # quota is used up, and the next run fails at the first refused request.
    retries={"mode": "legacy", "max_attempts": 5},
    max_pool_connections=16,
)
# Bytes that one request reads of a large object, and how many such requests run at once.
RANGE_BYTES = 8 << 20
RANGES_AT_ONCE = 4
PIECE_BYTES = 256 << 10
# Telemetry of a long run has about 8 MB; workers before it was merged stored 20 MB for a million rounds.
MOST_RECORD_BYTES = 64 << 20
# The result has a report for each of up to a million epochs, at most 450 bytes each.
MOST_RESULT_BYTES = 1 << 30
# How often a write is made that meets others under its key. All ranks begin at once, so each draws when it tries
# again, within a time that doubles: 0.04 s, 0.08 s, ... 1.28 s.
# https://aws.amazon.com/builders-library/timeouts-retries-and-backoff-with-jitter/
MOST_CONFLICTS, CONFLICT_DELAY_S = 7, 0.02
_ABSENT = {"NoSuchKey", "NoSuchBucket", "404"}

Record = TypeVar("Record")


class Aborted(msgspec.Struct, frozen=True):
    """`aborted.json`."""

    cause: str


class JobRecord(msgspec.Struct, frozen=True):
    """`job.json`.

    Attributes:
        request_id: The invocation that started the run.
        job: The job as it was started.
        cache_link: Latency and bandwidth to the cache, and the coordinator's zone, if it measured them.
    """

    request_id: str
    job: dict[str, Any]
    cache_link: Any = None


class AbsentError(InputError):
    """The bucket or object does not exist."""


class StorageError(TrainingError):
    """S3 is not reachable or refused a request for a reason other than absence."""


def s3_client() -> "S3Client":
    """Return an S3 client; AWS's own environment variables say where it connects."""
    return boto3.client("s3", config=CLIENT_CONFIG)


def get_object(s3: "S3Client", bucket: str, key: str, *, most_bytes: int | None = None) -> bytes:
    """Return an object's bytes.

    Args:
        s3: A client.
        bucket: The bucket.
        key: The object.
        most_bytes: The largest object to read; None for no limit.

    Raises:
        InputError: The bucket or object does not exist, or the object is too large.
        StorageError: S3 is not reachable or refuses the request.
    """
    with _translated(bucket, key):
        answer = s3.get_object(Bucket=bucket, Key=key)
        if most_bytes is not None and answer["ContentLength"] > most_bytes:
            answer["Body"].close()
            size = answer["ContentLength"]
            raise InputError(f"s3://{bucket}/{key} has {size} bytes; no record has more than {most_bytes}")
        return answer["Body"].read()


def get_large_object(s3: "S3Client", bucket: str, key: str, *, most_bytes: int) -> tuple[bytes | memoryview, str]:
    """Return an object's bytes and its ETag, reading a large object by several requests at once.

    S3 serves each connection at about 80 MB/s, and a function has more bandwidth:
    https://docs.aws.amazon.com/AmazonS3/latest/userguide/optimizing-performance-guidelines.html

    Args:
        s3: A client.
        bucket: The bucket.
        key: The object.
        most_bytes: The largest object to read.

    Raises:
        InputError: The bucket or object does not exist, or the object is too large.
        StorageError: S3 is not reachable or refuses the request.
    """
    with _translated(bucket, key):
        try:
            first = s3.get_object(Bucket=bucket, Key=key, Range=f"bytes=0-{RANGE_BYTES - 1}")
        except ClientError as error:
            if error.response["Error"]["Code"] == "InvalidRange":  # an empty object has no first byte
                return b"", ""
            raise
        total = int(first.get("ContentRange", f"/{first['ContentLength']}").rpartition("/")[2])
        if total > most_bytes:
            raise InputError(
                f"s3://{bucket}/{key} has {total >> 20} MB, and this function's memory takes {most_bytes >> 20} MB: "
                "raise its memory size, or take more workers"
            )
        if total == first["ContentLength"]:
            return memoryview(bytearray(first["Body"].read())), first["ETag"]
        whole = mapped(total)

        def receive(start: int) -> None:
            end = min(start + RANGE_BYTES, total)
            # IfMatch: another object may have replaced this one since the first request.
            answer = s3.get_object(Bucket=bucket, Key=key, Range=f"bytes={start}-{end - 1}", IfMatch=first["ETag"])
            _receive(answer["Body"], whole[start:end])

        with ThreadPoolExecutor(RANGES_AT_ONCE) as pool:
            coming = [pool.submit(receive, start) for start in range(RANGE_BYTES, total, RANGE_BYTES)]
            _receive(first["Body"], whole[: first["ContentLength"]])
            for part in coming:
                part.result()
        return whole, first["ETag"]


def _receive(body: "StreamingBody", place: memoryview) -> None:
    """Read an answer's body into its place, in pieces, so that no second copy of it is in memory.

    Raises:
        BotoCoreError: The connection failed, or ended before the body was complete.
    """
    done = 0
    while done < len(place):
        piece: Any = place[done : done + PIECE_BYTES]  # the stub takes files alone
        read = body.readinto(piece)
        if not read:
            raise IncompleteReadError(actual_bytes=done, expected_bytes=len(place))
        done += read


def list_partitions(s3: "S3Client", bucket: str, prefix: str) -> set[str]:
    """Return the keys in the folder of a bucket that holds partitions; an empty prefix means the top level.

    Raises:
        InputError: The bucket does not exist.
        StorageError: S3 is not reachable or refuses the request.
    """
    with _translated(bucket, prefix):
        pages = s3.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=prefix, Delimiter="/")
        return {entry["Key"] for page in pages for entry in page.get("Contents", [])}


class RunFolder:
    """The objects of one run.

    Args:
        s3: A client.
        bucket: The result bucket.
        run_id: The run.
    """

    def __init__(self, s3: "S3Client", bucket: str, run_id: str) -> None:
        self.run_id = run_id
        self._s3, self._bucket = s3, bucket

    def location(self, name: str) -> str:
        """Return the address of an object."""
        return f"s3://{self._bucket}/{self._key(name)}"

    def write(self, name: str, body: bytes) -> str:
        """Store an object and return its SHA-256 in hexadecimal."""
        with _translated(self._bucket, self._key(name)):
            self._s3.put_object(Bucket=self._bucket, Key=self._key(name), Body=body)
        return hashlib.sha256(body).hexdigest()

    def write_json(self, name: str, record: object) -> None:
        """Store a record as JSON."""
        self.write(name, msgspec.json.encode(record))

    def create_json(self, name: str, record: object) -> bool:
        """Store a record unless the object exists; return whether it was stored.

        S3 refuses one of two writes that meet under a key, which may then be made again.
        https://docs.aws.amazon.com/AmazonS3/latest/userguide/conditional-writes.html
        """
        key, body = self._key(name), msgspec.json.encode(record)
        with _translated(self._bucket, key):
            for number in range(1, MOST_CONFLICTS + 1):
                try:
                    self._s3.put_object(Bucket=self._bucket, Key=key, Body=body, IfNoneMatch="*")
                except ClientError as error:
                    code = error.response["Error"]["Code"]
                    if code == "PreconditionFailed":
                        return False
                    if code != "ConditionalRequestConflict" or number == MOST_CONFLICTS:
                        raise
                    time.sleep(random.uniform(0.0, CONFLICT_DELAY_S * 2**number))
                else:
                    break
        return True

    def read(self, name: str) -> bytes | None:
        """Return an object's bytes; None when it is absent."""
        try:
            return get_object(self._s3, self._bucket, self._key(name))
        except AbsentError:
            return None

    def read_record(self, name: str) -> bytes | None:
        """Return the bytes of a record; None when it is absent.

        Raises:
            InputError: The object is larger than any record.
        """
        try:
            most_bytes = MOST_RESULT_BYTES if name == "result.json" else MOST_RECORD_BYTES
            return get_object(self._s3, self._bucket, self._key(name), most_bytes=most_bytes)
        except AbsentError:
            return None

    def read_json(self, name: str) -> Any:  # noqa: ANN401 - JSON has no narrower type
        """Return a record; None when it is absent.

        Raises:
            InputError: The object is not JSON, or is larger than any record.
        """
        return self.read_as(name, Any)

    def read_as(self, name: str, kind: type[Record]) -> Record | None:
        """Return a record of this type; None when it is absent.

        Raises:
            InputError: The object is not such a record, or is larger than any record.
        """
        body = self.read_record(name)
        try:
            return None if body is None else msgspec.json.decode(body, type=kind)
        except msgspec.MsgspecError as error:
            raise InputError(f"{self.location(name)} is not what a worker stores there: {error}") from error

    def delete(self, names: list[str]) -> None:
        """Delete objects, ignoring absent ones."""
        for name in names:
            with _translated(self._bucket, self._key(name)):
                self._s3.delete_object(Bucket=self._bucket, Key=self._key(name))

    def names(self, folder: str) -> list[str]:
        """Return the names of the objects in a folder such as `workers/`, sorted."""
        return sorted(self.sizes(folder))

    def sizes(self, folder: str) -> dict[str, int]:
        """Return the size of each object in a folder, bytes, by its name."""
        prefix, own = self._key(folder), self._key("")
        with _translated(self._bucket, prefix):
            pages = self._s3.get_paginator("list_objects_v2").paginate(Bucket=self._bucket, Prefix=prefix)
            entries = [entry for page in pages for entry in page.get("Contents", [])]
        return {entry["Key"].removeprefix(own): entry["Size"] for entry in entries}

    def _key(self, name: str) -> str:
        return f"runs/{self.run_id}/{name}"


@contextmanager
def _translated(bucket: str, key: str) -> Iterator[None]:
    try:
        yield
    except ClientError as error:
        code, message = error.response["Error"]["Code"], error.response["Error"].get("Message", "")
        if code in _ABSENT:
            what = f"bucket {bucket}" if code == "NoSuchBucket" else f"s3://{bucket}/{key}"
            raise AbsentError(f"{what} does not exist") from error
        raise StorageError(f"s3://{bucket}/{key}: {code}: {message}") from error
    except BotoCoreError as error:
        raise StorageError(f"s3://{bucket}/{key}: {error}") from error

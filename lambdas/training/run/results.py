"""Where a run's results lie in S3: `runs/<run_id>/` with one object per fact.

    job.json                    the job as it was started, and by which request
    workers/<rank>.<attempt>.json   one finished worker: seconds, phases, memory
    telemetry/<rank>.<attempt>.json its timings round by round
    failed/<rank>.<attempt>.json    one failed worker, its cause, and whether trying again could help
    links/<rank>.<attempt>.json one worker that ran low on time and invoked the next link
    checkpoint/                 see `training.run.checkpoint`
    aborted.json                written by whoever gives the run up from outside
    model.npz                   the trained parameters
    result.json                 the run's outcome; written by rank 0 when its model is there

S3's errors are translated here, and only here.
"""

import hashlib
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, TypeVar

import boto3
import msgspec
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from training.errors import InputError, TrainingError

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

CLIENT_CONFIG = Config(
    connect_timeout=5,
    read_timeout=60,
    # Not `standard`: its quota of retries is the client's, and a warm environment keeps its client. After some outages
    # it is used up, and the next run fails at the first request that is refused.
    retries={"mode": "legacy", "max_attempts": 5},
    max_pool_connections=16,
)
# What one request reads of a large object, and how many such requests go on at once.
RANGE_BYTES = 8 << 20
RANGES_AT_ONCE = 4
# A record of a million rounds has some 20 MB.
MOST_RECORD_BYTES = 64 << 20
# The result has a report of each epoch, up to 450 bytes of a million.
MOST_RESULT_BYTES = 1 << 30
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
        cache_link: How the cache was reached then, as far as it was measured.
    """

    request_id: str
    job: dict[str, Any]
    cache_link: Any = None


class AbsentError(InputError):
    """There is no such bucket or object."""


class StorageError(TrainingError):
    """S3 is not reachable or refused a request for a reason other than absence."""


def s3_client() -> "S3Client":
    """An S3 client for wherever AWS's own variables point."""
    return boto3.client("s3", config=CLIENT_CONFIG)


def get_object(s3: "S3Client", bucket: str, key: str, *, most_bytes: int | None = None) -> bytes:
    """An object's bytes.

    Args:
        s3: A client.
        bucket: The bucket.
        key: The object.
        most_bytes: The largest object that may be read; None for any.

    Raises:
        InputError: There is no such bucket or object, or it is too large.
        StorageError: S3 is not reachable or refuses.
    """
    with _translated(bucket, key):
        answer = s3.get_object(Bucket=bucket, Key=key)
        if most_bytes is not None and answer["ContentLength"] > most_bytes:
            answer["Body"].close()
            size = answer["ContentLength"]
            raise InputError(f"s3://{bucket}/{key} has {size} bytes; no record has more than {most_bytes}")
        return answer["Body"].read()


def get_large_object(s3: "S3Client", bucket: str, key: str, *, most_bytes: int) -> tuple[bytes | memoryview, str]:
    """An object's bytes, of which a large one's come by several requests at once, and its ETag.

    S3 serves each connection at some 80 MB/s, and a function has more:
    https://docs.aws.amazon.com/AmazonS3/latest/userguide/optimizing-performance-guidelines.html

    Args:
        s3: A client.
        bucket: The bucket.
        key: The object.
        most_bytes: The largest object that may be read.

    Raises:
        InputError: There is no such bucket or object, or it is too large.
        StorageError: S3 is not reachable or refuses.
    """
    with _translated(bucket, key):
        try:
            first = s3.get_object(Bucket=bucket, Key=key, Range=f"bytes=0-{RANGE_BYTES - 1}")
        except ClientError as error:
            if error.response["Error"]["Code"] == "InvalidRange":  # there is no first byte of nothing
                return b"", ""
            raise
        total = int(first.get("ContentRange", f"/{first['ContentLength']}").rpartition("/")[2])
        if total > most_bytes:
            raise InputError(
                f"s3://{bucket}/{key} has {total >> 20} MB, and this function's memory takes {most_bytes >> 20} MB: "
                "raise its memory size, or take more workers"
            )
        if total == first["ContentLength"]:
            return first["Body"].read(), first["ETag"]
        whole = memoryview(bytearray(total))

        def receive(start: int) -> None:
            end = min(start + RANGE_BYTES, total)
            # The same object, even if another is put in its place meanwhile.
            answer = s3.get_object(Bucket=bucket, Key=key, Range=f"bytes={start}-{end - 1}", IfMatch=first["ETag"])
            whole[start:end] = answer["Body"].read()

        with ThreadPoolExecutor(RANGES_AT_ONCE) as pool:
            coming = [pool.submit(receive, start) for start in range(RANGE_BYTES, total, RANGE_BYTES)]
            whole[: first["ContentLength"]] = first["Body"].read()
            for part in coming:
                part.result()
        return whole, first["ETag"]


def list_partitions(s3: "S3Client", bucket: str, prefix: str) -> set[str]:
    """Keys of the objects in a bucket's folder, where partitions lie; at its top when the prefix is empty.

    Raises:
        InputError: There is no such bucket.
        StorageError: S3 is not reachable or refuses.
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
        """The object's address."""
        return f"s3://{self._bucket}/{self._key(name)}"

    def write(self, name: str, body: bytes) -> str:
        """Stores an object and returns its SHA-256 in hexadecimal."""
        with _translated(self._bucket, self._key(name)):
            self._s3.put_object(Bucket=self._bucket, Key=self._key(name), Body=body)
        return hashlib.sha256(body).hexdigest()

    def write_json(self, name: str, record: object) -> None:
        """Stores a record as JSON."""
        self.write(name, msgspec.json.encode(record))

    def create_json(self, name: str, record: object) -> bool:
        """Stores a record unless the object exists already; tells whether it did."""
        key = self._key(name)
        with _translated(self._bucket, key):
            try:
                self._s3.put_object(Bucket=self._bucket, Key=key, Body=msgspec.json.encode(record), IfNoneMatch="*")
            except ClientError as error:
                if error.response["Error"]["Code"] == "PreconditionFailed":
                    return False
                raise
        return True

    def read(self, name: str) -> bytes | None:
        """An object's bytes; None when it is absent."""
        try:
            return get_object(self._s3, self._bucket, self._key(name))
        except AbsentError:
            return None

    def read_json(self, name: str) -> Any:  # noqa: ANN401 - JSON has no narrower type
        """Return a record; None when it is absent.

        Raises:
            InputError: It is no JSON, or larger than any record.
        """
        return self.read_as(name, Any)

    def read_as(self, name: str, kind: type[Record]) -> Record | None:
        """Return a record of this type; None when it is absent.

        Raises:
            InputError: It is no such record, or larger than any.
        """
        try:
            most_bytes = MOST_RESULT_BYTES if name == "result.json" else MOST_RECORD_BYTES
            body = get_object(self._s3, self._bucket, self._key(name), most_bytes=most_bytes)
            return msgspec.json.decode(body, type=kind)
        except AbsentError:
            return None
        except msgspec.MsgspecError as error:
            raise InputError(f"{self.location(name)} is not what a worker stores there: {error}") from error

    def delete(self, names: list[str]) -> None:
        """Removes objects; absent ones do no harm."""
        for name in names:
            with _translated(self._bucket, self._key(name)):
                self._s3.delete_object(Bucket=self._bucket, Key=self._key(name))

    def names(self, folder: str) -> list[str]:
        """Names of the objects in a folder such as `workers/`, sorted."""
        prefix = self._key(folder)
        with _translated(self._bucket, prefix):
            pages = self._s3.get_paginator("list_objects_v2").paginate(Bucket=self._bucket, Prefix=prefix)
            keys = [entry["Key"] for page in pages for entry in page.get("Contents", [])]
        return sorted(key.removeprefix(self._key("")) for key in keys)

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

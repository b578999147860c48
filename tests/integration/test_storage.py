"""Partitions out of S3: large ones by several requests, and clear ends for those that cannot be had."""

import uuid

import boto3
import pytest

from training.errors import InputError
from training.run.results import RANGE_BYTES, get_large_object

MOST = 1 << 30


@pytest.fixture(scope="module")
def s3(s3_endpoint, s3_key):
    """A client of that S3."""
    return boto3.Session(s3_key, "test", region_name="us-east-1").client("s3", endpoint_url=s3_endpoint)


@pytest.fixture(scope="module")
def bucket(s3):
    """A bucket of this module's own."""
    name = f"storage-{uuid.uuid4().hex[:12]}"
    s3.create_bucket(Bucket=name)
    return name


@pytest.mark.parametrize("size", [0, 1, 1000, RANGE_BYTES, RANGE_BYTES + 1, 3 * RANGE_BYTES + 12_345])
def test_an_object_of_any_size_comes_whole(s3, bucket, size):
    """One request or several: the bytes are those that were put."""
    body = (bytes(range(251)) * (size // 251 + 1))[:size]
    s3.put_object(Bucket=bucket, Key="object", Body=body)

    assert body == bytes(get_large_object(s3, bucket, "object", most_bytes=MOST)[0])


def test_an_object_that_memory_would_not_take_is_refused_before_it_is_read(s3, bucket):
    """The error names the object, its size, what there is room for, and what to do."""
    s3.put_object(Bucket=bucket, Key="large", Body=bytes(3 << 20))

    with pytest.raises(InputError, match=r"large has 3 MB, and this function's memory takes 1 MB: raise its memory"):
        get_large_object(s3, bucket, "large", most_bytes=1 << 20)


def test_an_object_that_is_not_there_is_named(s3, bucket):
    """So is its bucket."""
    with pytest.raises(InputError, match=rf"s3://{bucket}/absent does not exist"):
        get_large_object(s3, bucket, "absent", most_bytes=MOST)
    with pytest.raises(InputError, match="bucket no-such-bucket-here does not exist"):
        get_large_object(s3, "no-such-bucket-here", "absent", most_bytes=MOST)

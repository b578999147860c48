"""What unit tests share: an S3 in memory."""

import boto3
import pytest
from moto import mock_aws

from fixtures.partitions import list_objects


@pytest.fixture(scope="module")
def s3_in_memory():
    """An S3 in this process's memory."""
    with pytest.MonkeyPatch.context() as patch, mock_aws():
        for name in ("AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_S3", "AWS_PROFILE"):
            patch.delenv(name, raising=False)
        yield boto3.client("s3", region_name="us-east-1")


@pytest.fixture
def s3(s3_in_memory):
    """That S3, without any bucket."""
    yield s3_in_memory
    for bucket in [entry["Name"] for entry in s3_in_memory.list_buckets()["Buckets"]]:
        for key in list_objects(s3_in_memory, bucket):
            s3_in_memory.delete_object(Bucket=bucket, Key=key)
        s3_in_memory.delete_bucket(Bucket=bucket)

"""What unit tests share: an S3 in memory, and a guard against processes and sockets."""

import sys

import boto3
import pytest
from moto import mock_aws

from harness.datasets.partitions import list_objects

# Python reports these before it does them; a pair of connected sockets, as asyncio has one, is none of them.
FORBIDDEN = {
    "os.exec",
    "os.fork",
    "os.forkpty",
    "os.posix_spawn",
    "os.system",
    "socket.bind",
    "socket.connect",
    "subprocess.Popen",
}


class Guard:
    """Refuses processes and sockets while a module of unit tests runs."""

    def __init__(self):
        self.on = False
        self.refused: list[str] = []

    def __call__(self, event, arguments):
        """Note and refuse a forbidden event; Python calls this for every audit event of this process."""
        if self.on and event in FORBIDDEN:
            self.refused.append(f"{event}{arguments!r:.200}")
            raise RuntimeError(f"a unit test starts no process and opens no socket: {event}")


guard = Guard()
sys.addaudithook(guard)


@pytest.fixture(scope="module", autouse=True)
def guarded_module():
    """Turn the guard on for this module, its own fixtures included."""
    guard.on = True
    yield
    guard.on = False


@pytest.fixture(autouse=True)
def guarded():
    """Fail a test that was refused something, even if the code under test caught the refusal."""
    guard.refused.clear()
    yield
    assert [] == guard.refused, "a test of processes or sockets belongs to tests/integration"


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

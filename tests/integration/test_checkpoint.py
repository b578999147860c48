"""Checkpoints while S3 cannot be reached."""

import boto3
from botocore.config import Config

from tests.support.checkpoints import checkpoints_of
from training.run.results import RunFolder


def test_training_goes_on_when_s3_fails(monkeypatch):
    """A checkpoint that cannot be stored is told, and is no error: nothing listens on port 1."""
    notes = []
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "test")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "test")
    config = Config(retries={"total_max_attempts": 1}, connect_timeout=1)
    unreachable = boto3.client("s3", endpoint_url="http://127.0.0.1:1", region_name="us-east-1", config=config)

    checkpoints_of(RunFolder(unreachable, "bucket", "run"), notes=notes).save(4, b"state", None)

    assert ["checkpoint_failed"] == [event for event, _ in notes]

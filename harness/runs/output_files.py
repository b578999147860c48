"""The files that a user wants of a run: its model, and its job as an event."""

import json
from pathlib import Path
from typing import TYPE_CHECKING

from harness.errors import HarnessError
from harness.runs.summary import Summary
from training.run.results import get_object

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client


def save_model(s3: "S3Client", summary: Summary, path: Path) -> None:
    """Copy a run's model into a file.

    Raises:
        HarnessError: The file cannot be written.
    """
    bucket, key = summary.model["location"].removeprefix("s3://").split("/", 1)
    try:
        path.write_bytes(get_object(s3, bucket, key))
    except OSError as error:
        raise HarnessError(f"the model cannot be saved: {error.strerror}", str(path)) from error


def save_event(summary: Summary, path: Path) -> None:
    """Write a run's job into a file, as an event with which the coordinator starts another run like it.

    The event has no run id: the coordinator names the new run after its request.

    Raises:
        HarnessError: The file cannot be written.
    """
    event = {key: value for key, value in summary.job.items() if key != "run_id" and value not in (None, "")}
    try:
        path.write_text(json.dumps(event, indent=2) + "\n")
    except OSError as error:
        raise HarnessError(f"the event cannot be saved: {error.strerror}", str(path)) from error

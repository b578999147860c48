"""A run, prepared: what the user asks for, read and checked once, from the command line to the coordinator's event.

`prepare_run` reads the job and checks every key that the user set, before anything is started.
`with_world_size` and `complete_job` then add what only the bucket, the partitions and the run's target tell.
"""

import json
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness.datasets.partitions import count_partitions
from harness.datasets.specs import BucketSpec, DataSpec, parse_data_spec
from harness.errors import HarnessError
from harness.faults import Plan
from harness.gateway.debug_records import LIFTED_S, DebugTarget
from harness.runs.data import Data
from harness.runs.debugging import check_targets
from harness.runs.faults import check_faults
from harness.runs.run_target import RunTarget
from training.job import BucketName, FeatureCount, HostName, Job, WorldSize, decode_job
from training.model.catalogue import MODELS

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

# The data set of a run that names none, by what the model takes.
DEFAULT_DATA = {
    "dense_libsvm": "synthetic:rows=100000,features=28",
    "sparse_libsvm": "synthetic-sparse:rows=20242,features=47236,density=0.0016",
    "cifar10": "synthetic-images:rows=2000,classes=10",
}
RESULT_BUCKET = "lambda-harness-runs"
# The world size where neither the user nor the data names one.
DEFAULT_WORKERS = 4


class RequestedJob(Job, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A job as the user asks for it: the keys that a run finds out itself may be missing, and are empty then."""

    data_bucket: BucketName = ""
    n_features: FeatureCount = 0
    n_workers: WorldSize = 0
    host: HostName = ""


@dataclass(frozen=True, slots=True)
class PreparedRun:
    """What the user asks for.

    Attributes:
        event: The job's keys that the user set.
        job: The same job as a record, with the defaults of the other keys.
        data: The data set to train on.
        faults: The faults to inject; None for none.
        debug: The ranks to debug.
    """

    event: dict[str, Any]
    job: RequestedJob
    data: DataSpec
    faults: Plan | None = None
    debug: tuple[DebugTarget, ...] = ()


def prepare_run(
    data: str | None,
    job_file: Path | None,
    flags: Mapping[str, Any],
    faults: Plan | None = None,
    debug: tuple[DebugTarget, ...] = (),
) -> PreparedRun:
    """Combine the command line and the job file, and check the job before anything is started.

    Where nobody names the world size, it is 4, or the number of partitions in a bucket: see `with_world_size`.

    Args:
        data: The `--data` text; None for the partitions in the job's `data_bucket`, else the default data set.
        job_file: A job's event as JSON; may be None.
        flags: Job keys set on the command line; they override the file's.
        faults: The faults to inject.
        debug: The ranks to debug.

    Raises:
        HarnessError: The file cannot be read or holds no JSON object, no run of this job can come to a fault, or it
            has no rank that is to be debugged.
        InputError: The data text is not understood, or a key of the job is wrong; it is named.
    """
    event = {**(_read_event(job_file) if job_file else {}), **flags}
    spec = _data_spec(data, event)
    if not isinstance(spec, BucketSpec):
        event = {"n_workers": DEFAULT_WORKERS, **event}
    return _checked(event, spec, faults, debug)


def with_world_size(run: PreparedRun, s3: "S3Client") -> PreparedRun:
    """Return the run with as many workers as its bucket holds partitions, unless the user named a number.

    Raises:
        HarnessError: No run of this size can come to a fault.
        InputError: The bucket holds no complete set of partitions, several, or too many.
    """
    if run.job.n_workers or not isinstance(run.data, BucketSpec):
        return run
    found = count_partitions(s3, run.data.bucket, run.data.prefix)
    return _checked({"n_workers": found, **run.event}, run.data, run.faults, run.debug)


def complete_job(run: PreparedRun, data: Data, target: RunTarget, defaults: Mapping[str, Any]) -> Job:
    """Return the job as the coordinator receives it.

    Args:
        run: What the user asks for.
        data: The partitions.
        target: Where the run takes place.
        defaults: Values that follow from the data, for keys that the user did not set.

    Raises:
        InputError: What the data or the target adds is not allowed.
    """
    host, port = target.discovery.rsplit(":", 1)
    event = {
        **defaults,
        "dataset": data.name,
        **data.shape,
        "run_id": f"{datetime.now(UTC):%Y%m%d-%H%M%S}-{secrets.token_hex(3)}",
        "result_bucket": target.bucket or RESULT_BUCKET,
        **run.event,
        # Other ranks wait for one that a debugger holds.
        **({"round_timeout_s": LIFTED_S, "join_timeout_s": LIFTED_S} if run.debug else {}),
        "data_bucket": data.bucket,
        "data_prefix": data.prefix,
        "host": host,
        "port": int(port),
    }
    return decode_job(event, Job)


def _checked(event: dict[str, Any], data: DataSpec, faults: Plan | None, debug: tuple[DebugTarget, ...]) -> PreparedRun:
    job = decode_job(event, RequestedJob)
    if faults:
        check_faults(faults, job, event)
    check_targets(debug, job.n_workers)
    return PreparedRun(event, job, data, faults, debug)


def _data_spec(data: str | None, event: Mapping[str, Any]) -> DataSpec:
    """Return the data set that is named, the partitions in the job's bucket, or the default for the job's model."""
    if data is None and "data_bucket" in event:
        return BucketSpec(str(event["data_bucket"]), str(event.get("data_prefix", "")))
    # The keys are not checked yet: a wrong one is refused with the others, whatever the data is.
    row = MODELS.get(str(event.get("model", "lr")), MODELS["lr"])
    default = DEFAULT_DATA.get(str(event.get("dataset_type")), DEFAULT_DATA[row.data_types[0]])
    return parse_data_spec(data or default)


def _read_event(path: Path) -> dict[str, Any]:
    try:
        event = json.loads(path.read_bytes())
    except (OSError, ValueError) as error:
        raise HarnessError(
            f"the job file cannot be read: {error}", str(path), "give a JSON object of job keys"
        ) from error
    if not isinstance(event, dict):
        raise HarnessError(f"the job file holds a {type(event).__name__}", str(path), "give a JSON object of job keys")
    return event

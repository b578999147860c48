"""The data of a run: from `--data` to partitions in a bucket, which are made only if they do not exist yet."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from msgspec import structs

from harness.datasets.partitioning import partition_set
from harness.datasets.partitions import Manifest, read_manifest
from harness.datasets.progress import progress_bar
from harness.datasets.specs import BucketSpec, DataSpec, SklearnSpec, bucket_for
from harness.errors import HarnessError
from training.data.schema import Schema, Task
from training.errors import JobError
from training.job import Job
from training.matrix import check_combination
from training.model.catalogue import row_of, task_of

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

    from training.job_fields import ZeroBased

# The folder of data sets in a deployment's bucket; the roles of its functions grant access to it.
DATA_FOLDER = "data/"


@dataclass(frozen=True, slots=True)
class Data:
    """Partitions in a bucket.

    Attributes:
        bucket: The bucket.
        name: The name of the data.
        shape: `dataset_type`, `n_features`, `n_classes` and `zero_based`, as far as the manifest has them.
        prefix: Their folder in the bucket, with a trailing `/`; empty for the top.
        manifest: Their manifest; None for partitions that the harness did not make.
        existing: Whether the user named partitions, so that the job does not decide how they are made.
    """

    bucket: str
    name: str
    shape: dict[str, Any]
    prefix: str = ""
    manifest: Manifest | None = None
    existing: bool = False

    @property
    def notes(self) -> list[str]:
        """Return what the user should know about the data, one line each."""
        return [] if self.manifest is None else self.manifest.notes


def find_or_make(
    spec: DataSpec, job: Job, s3: "S3Client", bucket: str, prefix: str, schema: Schema | None = None
) -> Manifest | None:
    """Return the manifest of a data set's partitions, which are made if they are missing.

    Args:
        spec: The data set; partitions that the user names are never made.
        job: The job, for the number of partitions and how they are made.
        s3: A client.
        bucket: Their bucket.
        prefix: Their folder in the bucket, with a trailing `/`; empty for the top.
        schema: The columns and classes of other data, which these rows must have; None for their own.

    Raises:
        InputError: The data is wrong.
    """
    manifest = read_manifest(s3, bucket, prefix)
    if manifest is not None or isinstance(spec, BucketSpec):
        return manifest
    with progress_bar(f"partitioning {spec.name}") as progress:
        return partition_set(
            spec,
            n_workers=job.n_workers,
            s3=s3,
            bucket=bucket,
            seed=job.seed,
            data_type=job.data_type,
            zero_based=job.zero_based,
            valid_ratio=job.valid_ratio,
            progress=progress,
            prefix=prefix,
            schema=schema,
        )


def prepare_data(spec: DataSpec, job: Job, s3: "S3Client", deployed_bucket: str = "") -> Data:
    """Make the partitions of a data set, unless they are already in their bucket.

    Args:
        spec: The data set.
        job: The job, for its number of workers, its seed, and the type of a file's rows.
        s3: A client.
        deployed_bucket: The only bucket that functions may read, with one folder per data set; empty where each data
            set has its own bucket.

    Raises:
        InputError: The data is wrong, or of a type that the model does not accept.
        HarnessError: The bucket holds partitions for another number of workers.
    """
    if spec.data_type:
        check_combination({**structs.asdict(job), "dataset_type": spec.data_type})
    if isinstance(spec, SklearnSpec):
        _check_task(spec.task, spec.name, job)
    bucket = bucket_for(spec, job.seed, job.n_workers, job.data_type, job.zero_based, job.valid_ratio)
    prefix = ""
    if isinstance(spec, BucketSpec):
        prefix = spec.prefix
    elif deployed_bucket:
        bucket, prefix = deployed_bucket, f"{DATA_FOLDER}{bucket}/"
    manifest = find_or_make(spec, job, s3, bucket, prefix)
    if manifest is None:
        # The harness did not make these partitions; the coordinator checks that they exist.
        return Data(bucket, spec.name, {}, prefix)
    if manifest.n_partitions != job.n_workers:
        raise HarnessError(
            f"{BucketSpec(bucket, prefix).name} holds {manifest.n_partitions} partitions, n_workers is {job.n_workers}",
            remedy=f"set --n-workers {manifest.n_partitions}, or partition the data anew",
        )
    existing = isinstance(spec, BucketSpec)
    return Data(bucket, spec.name, _shape(manifest, spec.name, job), prefix, manifest, existing)


def _shape(manifest: Manifest, name: str, job: Job) -> dict[str, Any]:
    """Return the keys of the job that the manifest decides.

    Raises:
        InputError: The labels cannot be classes.
        JobError: The job says something else.
    """
    base: ZeroBased = "yes" if manifest.zero_based else "no"
    if job.zero_based not in {"auto", base}:
        raise JobError("zero_based", job.zero_based, f"auto or {base}, as {name} was read so")
    shape: dict[str, Any] = {
        "dataset_type": manifest.data_type,
        "n_features": manifest.features,
    }
    if manifest.zero_based:
        shape["zero_based"] = "yes"
    # A clustering ignores labels, and a regression has targets; whether the model suits them is checked later.
    if job.task == "classification" and (manifest.schema is None or manifest.schema.task == "classification"):
        shape["n_classes"] = len(manifest.classes(job.n_classes, name))
    return shape


def _check_task(task: Task, name: str, job: Job) -> None:
    if task == "regression" and job.task == "classification":
        raise _needs_regression(name, job.model, job.loss_kind)


def _needs_regression(name: str, model: str, loss: str) -> JobError:
    """Return the error for data with targets and a model of classes: the key that would make it a regression."""
    if "squared" in row_of(model).losses:
        return JobError("loss", loss, f"squared, huber or poisson: {name} has targets, not classes")
    return JobError("model", model, f"linear, or mlp with loss=squared: {name} has targets, not classes")


def check_shape(event: dict[str, Any], data: Data) -> None:
    """Compare the user's keys about the data with its manifest.

    Raises:
        JobError: They differ.
    """
    _check_targets(event, data)
    if data.existing and data.manifest and data.manifest.valid_rows_per_partition and "valid_ratio" in event:
        what = f"nothing: a column decided which rows of {data.name} validate, when they were partitioned"
        raise JobError("valid_ratio", event["valid_ratio"], what)
    for field, found in data.shape.items():
        asked = event.get(field, found)
        # Columns that LIBSVM data lacks are zero, and classes that it lacks have no rows; images have a fixed size.
        wider = field == "n_classes" or (field == "n_features" and not _has_columns(data))
        if wider and asked < found:
            raise JobError(field, asked, f"{found} or more, as {data.name} has {found}; or leave it out")
        if asked not in (found, "auto") and not wider:
            raise JobError(field, asked, f"{found}, as {data.name} has it")


def _has_columns(data: Data) -> bool:
    """Return whether the number of features is fixed: by the columns of a table, or the size of images."""
    table = data.manifest is not None and data.manifest.schema is not None
    return table or data.shape["dataset_type"] == "cifar10"


def _check_targets(event: dict[str, Any], data: Data) -> None:
    """Refuse a model of another task than the partitions' schema."""
    schema = None if data.manifest is None else data.manifest.schema
    model = str(event.get("model", "lr"))
    if schema is None:
        return
    loss = event.get("loss", row_of(model).loss)
    task = task_of(loss)
    if schema.task == "regression" and task == "classification":
        raise _needs_regression(data.name, model, loss)
    if schema.task != "regression" and task == "regression":
        raise JobError("model", model, f"lr or another classification: {data.name} was partitioned with classes")

"""A run, prepared: what the user asks for, read and checked once, from the command line to the coordinator's event.

`prepare_run` reads the job and checks every key that the user set, before anything is started.
`with_world_size` and `complete_job` then add what only the bucket, the partitions and the run's target tell.
"""

import json
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, cast, get_args

import msgspec

from harness.datasets.partitions import Manifest, count_partitions
from harness.datasets.specs import BucketSpec, DataSpec, parse_data_spec
from harness.datasets.tables.objects import find_objects
from harness.datasets.tables.spec import DEFAULT_OPTIONS, TableOptions, TableSpec
from harness.errors import HarnessError
from harness.faults import Plan
from harness.gateway.debug_records import LIFTED_S, DebugTarget
from harness.runs.choices import choose, choose_model, fill_missing, model_for_targets, of_targets
from harness.runs.data import Data
from harness.runs.debugging import check_targets
from harness.runs.faults import check_faults
from harness.runs.model_function import ModelFunction, with_function, with_own_model
from harness.runs.model_source import checksum_of, pack_source
from harness.runs.own_model import is_own
from harness.runs.run_target import RunTarget
from harness.settings import Settings, load_settings
from training.data.schema import Task
from training.job import Job, decode_job
from training.job_fields import START_FORMS, BucketName, FeatureCount, HostName, WorldSize
from training.model.catalogue import MODELS, OWN, task_of
from training.model.loss_kinds import LossKind

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

# The data set of a run that names none, by what the model takes.
DEFAULT_DATA = {
    "dense_libsvm": "synthetic:rows=100000,features=28",
    "sparse_libsvm": "synthetic-sparse:rows=20242,features=47236,density=0.0016",
    "cifar10": "synthetic-images:rows=2000,classes=10",
}
RESULT_BUCKET = "lambda-harness-runs"
# The copy of the model that a run starts from, in the run's folder.
START_OBJECT = "init.npz"
# The world size where neither the user nor the data names one.
DEFAULT_WORKERS = 4


class RequestedJob(Job, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A job as the user asks for it: the keys that a run finds out itself may be missing, and are empty then."""

    data_bucket: BucketName = ""
    n_features: FeatureCount = 0
    n_workers: WorldSize = 0
    host: HostName = ""
    init_from: Annotated[Annotated[str, msgspec.Meta(min_length=1)] | None, msgspec.Meta(description=START_FORMS)] = (
        None
    )

    # Learning rate, batch size and epochs may still follow from the data.
    complete: ClassVar[bool] = False


# The place of a job that is still to be checked.
_UNCHECKED = RequestedJob()


@dataclass(frozen=True, slots=True)
class PreparedRun:
    """What the user asks for.

    Attributes:
        event: The job's keys that the user set.
        job: The same job as a record, with the defaults of the other keys.
        data: The data set to train on.
        faults: The faults to inject; None for none.
        debug: The ranks to debug.
        trainer: The function of a user's own model; None for a model of the catalogue.
        source: The zip with the model's source; empty for a model of the catalogue.
        test: The test set; None for none.
        chosen: The keys of `event` that the user did not set, because the data decides them.
        missing_is_ours: Whether the user says nothing about missing values of tables.
    """

    event: dict[str, Any]
    job: RequestedJob
    data: DataSpec
    faults: Plan | None = None
    debug: tuple[DebugTarget, ...] = ()
    trainer: ModelFunction | None = None
    source: bytes = b""
    chosen: dict[str, Any] = field(default_factory=dict)
    test: DataSpec | None = None
    missing_is_ours: bool = False

    def settings_of(self, settings: Settings) -> Settings:
        """Return the project's settings, with the function of a user's own model."""
        return settings if self.trainer is None else with_function(settings, self.trainer)


def prepare_run(
    data: str | None,
    job_file: Path | None,
    flags: Mapping[str, Any],
    faults: Plan | None = None,
    debug: tuple[DebugTarget, ...] = (),
    settings: Settings | None = None,
    options: TableOptions = DEFAULT_OPTIONS,
    *,
    missing_is_ours: bool = False,
) -> PreparedRun:
    """Combine the command line and the job file, and check the job before anything is started.

    Where nobody names the world size, it is 4, or the number of partitions in a bucket: see `with_world_size`.

    Args:
        data: The `--data` text; None for the partitions in the job's `data_bucket`, else the default data set.
        job_file: A job's event as JSON; may be None.
        flags: Job keys set on the command line; they override the file's.
        faults: The faults to inject.
        debug: The ranks to debug.
        settings: The project's settings, with its own models; None for those of the working directory.
        options: What the columns of a table are for.
        missing_is_ours: Whether the user says nothing about missing values of tables.

    Raises:
        HarnessError: The file cannot be read or holds no JSON object, no run of this job can come to a fault, it has
            no rank that is to be debugged, or the user's own model cannot be found.
        InputError: The data text is not understood, or a key of the job is wrong; it is named.
    """
    event, trainer = {**(read_event(job_file) if job_file else {}), **flags}, None
    if "model" in event and is_own(event["model"]):
        event, trainer = with_own_model(event, settings or load_settings())
    source = b"" if trainer is None else pack_source(trainer.model)
    if trainer is not None:
        event["model_sha256"] = checksum_of(source, trainer.model.module)
    spec = _data_spec(data, event, options.for_task(requested_task(event)))
    if not isinstance(spec, BucketSpec):
        event = {"n_workers": DEFAULT_WORKERS, **event}
    chosen = choose_model(event, spec)
    if isinstance(spec, TableSpec) and missing_is_ours:
        spec = fill_missing(spec)
    run = PreparedRun(
        {**chosen, **event}, _UNCHECKED, spec, faults, debug, trainer, source, chosen, missing_is_ours=missing_is_ours
    )
    return _checked(run)


def with_keys(run: PreparedRun, changes: Mapping[str, Any]) -> PreparedRun:
    """Return the same run with other values of some of its job's keys.

    Raises:
        HarnessError: No run of this job can come to a fault.
        InputError: A key of the job is wrong; it is named.
    """
    return _checked(replace(run, event={**run.event, **changes}))


def with_test_set(run: PreparedRun, text: str | None, options: TableOptions = DEFAULT_OPTIONS) -> PreparedRun:
    """Return the run with a test set.

    Args:
        run: The run.
        text: The `--test` text; None for no test set.
        options: What the columns of tables are for; a test set is not split.

    Raises:
        HarnessError: The model is a clustering, which has nothing to test.
        InputError: The text is not understood.
    """
    if text is None:
        return run
    if run.job.optim == "em":
        raise HarnessError(f"model={run.job.model} has no labels to compare with a test set", remedy="leave --test out")
    options = replace(options, split_by=None, split_time=None)
    return replace(run, test=parse_data_spec(text, options))


def with_world_size(run: PreparedRun, s3: "S3Client") -> PreparedRun:
    """Return the run with as many workers as its bucket holds partitions, unless the user named a number.

    Where the bucket holds tables instead, they become the run's data.

    Raises:
        HarnessError: No run of this size can come to a fault.
        InputError: The bucket holds neither tables nor a complete set of partitions, several sets, or too many.
    """
    if not isinstance(run.data, BucketSpec):
        return run
    if tables := find_objects(s3, run.data.bucket, run.data.prefix, run.data.options):
        data = fill_missing(tables) if run.missing_is_ours else tables
        return _checked(replace(run, event={"n_workers": DEFAULT_WORKERS, **run.event}, data=data))
    if run.job.n_workers:
        return run
    found = count_partitions(s3, run.data.bucket, run.data.prefix)
    return _checked(replace(run, event={"n_workers": found, **run.event}))


def with_model(run: PreparedRun, manifest: Manifest | None) -> PreparedRun:
    """Return the run with the model for its data, now that the data is known, unless the user set one."""
    chosen = model_for_targets({key: run.event[key] for key in run.event.keys() - run.chosen.keys()}, manifest)
    if not chosen:
        return run
    return _checked(replace(run, event={**run.event, **chosen}, chosen={**run.chosen, **chosen}))


def choices_of(run: PreparedRun, data: Data) -> dict[str, Any]:
    """Return the keys that the data decides and the user did not set."""
    return {**run.chosen, **choose(run.event, run.job, data.manifest, data.shape.get("n_classes", 2))}


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
    event: dict[str, Any] = {
        **defaults,
        "dataset": data.name,
        **data.shape,
        "run_id": f"{datetime.now(UTC):%Y%m%d-%H%M%S}-{secrets.token_hex(3)}",
        "result_bucket": target.bucket or RESULT_BUCKET,
        **run.event,
        # Other ranks wait for one that a debugger holds; its lease stands still, and it is not dead.
        **({"round_timeout_s": LIFTED_S, "join_timeout_s": LIFTED_S, "revive": False} if run.debug else {}),
        "data_bucket": data.bucket,
        "data_prefix": data.prefix,
        "host": host,
        "port": int(port),
    }
    if event.get("init_from") is not None:
        event["init_from"] = f"s3://{event['result_bucket']}/runs/{event['run_id']}/{START_OBJECT}"
    return decode_job(event, Job)


def _checked(run: PreparedRun) -> PreparedRun:
    job = decode_job(run.event, RequestedJob)
    if run.faults:
        check_faults(run.faults, job, run.event)
    check_targets(run.debug, job.n_workers)
    return replace(run, job=job)


def requested_task(event: Mapping[str, Any]) -> Task | None:
    """Return what labels are for, where the keys that the user set say it; None where the data decides."""
    row, loss = MODELS.get(str(event.get("model", ""))), event.get("loss")
    if event.get("optim") == "em" or (row is not None and row.is_clustering):
        return "clustering"
    if loss is None and row is not None:
        loss = row.loss
    if loss is None and of_targets(event):
        return "regression"
    return task_of(cast("LossKind", loss)) if loss in get_args(LossKind) else None


def _data_spec(data: str | None, event: Mapping[str, Any], options: TableOptions) -> DataSpec:
    """Return the data set that is named, the partitions in the job's bucket, or the default for the job's model."""
    if data is None and "data_bucket" in event:
        return BucketSpec(str(event["data_bucket"]), str(event.get("data_prefix", "")), options)
    # The keys are not checked yet: a wrong one is refused with the others, whatever the data is.
    model = str(event.get("model", "lr"))
    row = OWN if ":" in model else MODELS.get(model, MODELS["lr"])
    default = DEFAULT_DATA.get(str(event.get("dataset_type")), DEFAULT_DATA[row.data_types[0]])
    return parse_data_spec(default if data is None else data, options)


def read_event(path: Path) -> dict[str, Any]:
    """Return the keys of a job file.

    Raises:
        HarnessError: It cannot be read, or holds no JSON object.
    """
    try:
        event = json.loads(path.read_bytes())
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else f"it is not JSON: {error}"
        raise HarnessError(f"--job {path} cannot be read: {reason}", remedy="give a JSON object of job keys") from error
    if not isinstance(event, dict):
        raise HarnessError(f"--job {path} holds a {type(event).__name__}", remedy="give a JSON object of job keys")
    return event

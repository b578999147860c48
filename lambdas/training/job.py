"""The job: the event that starts a run, checked field by field before anything starts.

The keys are the original's, with ours added; see `docs/job.md` for a table.
The coordinator receives a `Job`, and sends a `WorkerJob` to each worker.
"""

import math
from functools import cache
from typing import Annotated, Any, ClassVar, NamedTuple, TypeVar, get_type_hints

import msgspec

from training.data.manifest import Partition
from training.errors import InputError, JobError
from training.exchange.collectives.cost_model import Link
from training.job_fields import (
    START_FORMS,
    BucketName,
    ChannelName,
    ClassWeights,
    ExchangeDtype,
    FeatureCount,
    FunctionName,
    HostName,
    KeyFolder,
    KeyPrefix,
    KMeansInit,
    LossName,
    LrSchedule,
    Model,
    Optimisation,
    Optimiser,
    Penalty,
    RunId,
    Seconds,
    Sha256,
    Share,
    StopMetric,
    SyncMode,
    WorldSize,
    ZeroBased,
    one_of,
)
from training.matrix import check_combination, check_sizes, with_defaults
from training.model.catalogue import DatasetType, TaskKind, loss_of, row_of, task_of
from training.model.loss_kinds import LossKind


class Job(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, rename={"lambda_": "lambda"}):
    """One training run, as the coordinator receives it.

    Attributes:
        data_bucket: Bucket with the partitions `0_<n_workers>` to `<n_workers - 1>_<n_workers>`.
        data_prefix: Folder of the partitions in that bucket, with a `/` at its end; the top level by default.
        n_features: Columns of the data.
        n_workers: The world size: the number of workers that train together.
        host: Host of the Memcached configuration endpoint (or of a plain Memcached node).
        port: Port of that endpoint.
        dataset: Name of the data set, stored with the results.
        dataset_type: Type of the data in the partitions; by default the first that the model takes.
        n_classes: Number of classes; by default the number of labels in the data.
        zero_based: Whether feature indices of LIBSVM text start at 0; auto: if a file has an index 0.
        tmp_bucket: Prefix of the channel's keys for each rank's parts.
        merged_bucket: Prefix of the channel's keys for merged parts.
        model: The model to train.
        optim: How workers train together; by default the first that the model takes.
        sync_mode: The collective behind every all-reduce.
        lr: The learning rate.
        batch_size: Rows per worker per round.
        n_epochs: Passes over the training rows; with admm, passes within each of its rounds.
        valid_ratio: Share of each partition that is reserved for validation.
        test_bucket: Bucket with the partitions of a test set, named as those of the data; without it there is no test.
        test_prefix: Folder of these partitions in that bucket.
        worker_function: Function that trains; by default the model's. A model of your own needs it.
        model_sha256: Checksum of the source of a model of your own; every worker compares it with its own source.
        run_id: Name of the run; the coordinator's request id by default.
        result_bucket: Bucket for `runs/<run_id>/`; the data bucket by default.
        channel: The store that carries the exchange.
        lambda_: Weight of the penalty on the parameters.
        penalty: The penalty: l2 is half the squared norm, l1 the sum of absolute values.
        loss: Loss that training minimises; by default the model's own.
        huber_delta: Residual from which the Huber loss is linear, in standard deviations of the targets.
        class_weights: Weight of each class in the loss, in the order of labels; balanced: all classes count alike.
        n_admm_epochs: Largest number of rounds of admm.
        rho: Weight of admm's consensus term.
        optimiser: How an averaged gradient changes the parameters.
        momentum: Share of the previous step that is added to the next, in sgd and nesterov.
        beta1: Decay of adam's mean of gradients.
        beta2: Decay of adam's mean of squared gradients.
        epsilon: Added to the denominator of adam's step.
        weight_decay: Share of a weight, times lr, that each step takes away; decoupled in adamw, not in the loss.
        lr_schedule: How the learning rate changes after the warm-up.
        warmup: Share of the training in which the learning rate rises to lr.
        lr_step_epochs: Epochs between two steps of the schedule step; by default a third of n_epochs.
        lr_decay: Factor on the learning rate at each step of the schedule step.
        lr_min: Learning rate at the end of the schedule cosine.
        clip_norm: Largest norm of the averaged gradient; 0 for no limit.
        patience: Epochs without an improvement after which training stops, with the best epoch's model; 0 for never.
        stop_metric: Metric that has to improve, on the validation rows if there are any.
        min_improvement: Difference by which it has to improve.
        loss_threshold: Training stops after the first epoch with a loss at or below this.
        n_clusters: Number of clusters of k-means.
        kmeans_init: Initial centroids of k-means.
        n_init: Number of consecutive initialisations of k-means; the one with the least final inertia is the result.
        hidden_units: Width of the hidden layer of mlp.
        standardise: Whether to scale features to mean 0 and variance 1 first, over all ranks.
        max_staleness: Rounds that a peer may lag in async before the others wait for it.
        exchange_dtype: Number format of the exchanged parts.
        significance: Share of a parameter below which its accumulated update is held back.
        init_from: Model that training starts from; an event has its address, a run copies it to there.
        seed: Seed of all random choices in training.
        checkpoint_every_s: Interval of checkpoints in S3; 0 for no checkpoints.
        round_timeout_s: Longest wait for peers within a round; it restarts when a missing peer comes back.
        join_timeout_s: Longest wait in the first round for ranks that are still starting.
        revive: Whether waiting ranks invoke the event of a rank that died, instead of leaving that to Lambda's retry.
    """

    data_bucket: BucketName
    n_features: FeatureCount
    n_workers: WorldSize
    host: HostName
    port: Annotated[int, msgspec.Meta(ge=1, le=65_535, description="a port, 1 to 65535")] = 11211
    data_prefix: KeyFolder = ""
    dataset: Annotated[str, msgspec.Meta(max_length=1024, description="a text of at most 1024 characters")] = ""
    dataset_type: Annotated[DatasetType | None, one_of(DatasetType)] = None
    n_classes: Annotated[
        Annotated[int, msgspec.Meta(ge=2, le=10_000)] | None, msgspec.Meta(description="an integer from 2 to 10000")
    ] = None
    zero_based: Annotated[ZeroBased, one_of(ZeroBased)] = "auto"
    tmp_bucket: KeyPrefix = ""
    merged_bucket: KeyPrefix = ""
    model: Model = "lr"
    optim: Annotated[Optimisation, one_of(Optimisation)] = "grad_avg"
    sync_mode: Annotated[SyncMode, one_of(SyncMode)] = "auto"
    lr: Annotated[float, msgspec.Meta(gt=0, le=1e6, description="a number above 0")] = 0.1
    batch_size: Annotated[int, msgspec.Meta(ge=1, le=1_000_000_000, description="an integer of at least 1")] = 1000
    n_epochs: Annotated[int, msgspec.Meta(ge=1, le=1_000_000, description="an integer of at least 1")] = 2
    valid_ratio: Share = 0.1
    test_bucket: BucketName | None = None
    test_prefix: KeyFolder = ""
    worker_function: FunctionName | None = None
    model_sha256: Sha256 | None = None
    run_id: RunId | None = None
    result_bucket: BucketName | None = None
    channel: Annotated[ChannelName, one_of(ChannelName)] = "memcached"
    lambda_: Annotated[float, msgspec.Meta(ge=0, le=1e6, description="a number of at least 0")] = 0.0
    penalty: Annotated[Penalty, one_of(Penalty)] = "l2"
    loss: Annotated[LossName | None, one_of(LossName)] = None
    huber_delta: Annotated[float, msgspec.Meta(gt=0, le=1e6, description="a number above 0")] = 1.0
    class_weights: ClassWeights = ""
    n_admm_epochs: Annotated[int, msgspec.Meta(ge=1, le=1_000_000, description="an integer of at least 1")] = 10
    rho: Annotated[float, msgspec.Meta(gt=0, le=1e6, description="a number above 0")] = 0.1
    optimiser: Annotated[Optimiser, one_of(Optimiser)] = "sgd"
    momentum: Share = 0.0
    beta1: Share = 0.9
    beta2: Share = 0.999
    epsilon: Annotated[float, msgspec.Meta(ge=1e-12, le=1, description="a number from 1e-12 to 1")] = 1e-8
    weight_decay: Annotated[float, msgspec.Meta(ge=0, le=1e6, description="a number of at least 0")] = 0.0
    lr_schedule: Annotated[LrSchedule, one_of(LrSchedule)] = "constant"
    warmup: Share = 0.0
    lr_step_epochs: Annotated[
        Annotated[int, msgspec.Meta(ge=1, le=1_000_000)] | None, msgspec.Meta(description="an integer of at least 1")
    ] = None
    lr_decay: Annotated[float, msgspec.Meta(gt=0, lt=1, description="a number above 0 and below 1")] = 0.1
    lr_min: Annotated[float, msgspec.Meta(ge=0, le=1e6, description="a number from 0 to below lr")] = 0.0
    clip_norm: Annotated[float, msgspec.Meta(ge=0, le=1e30, description="a number above 0, or 0 for no limit")] = 0.0
    patience: Annotated[int, msgspec.Meta(ge=0, le=1_000_000, description="an integer above 0, or 0 for never")] = 0
    stop_metric: Annotated[StopMetric, one_of(StopMetric)] = "loss"
    min_improvement: Annotated[float, msgspec.Meta(ge=0, le=1e6, description="a number of at least 0")] = 0.0
    loss_threshold: Annotated[float | None, msgspec.Meta(description="a number")] = None
    n_clusters: Annotated[int, msgspec.Meta(ge=1, le=100_000, description="an integer of at least 1")] = 10
    kmeans_init: Annotated[KMeansInit, one_of(KMeansInit)] = "kmeans++"
    n_init: Annotated[int, msgspec.Meta(ge=1, le=1_000, description="an integer from 1 to 1000")] = 1
    hidden_units: Annotated[int, msgspec.Meta(ge=1, le=65_536, description="an integer from 1 to 65536")] = 64
    standardise: Annotated[bool, msgspec.Meta(description="true or false")] = False
    max_staleness: Annotated[int, msgspec.Meta(ge=0, le=1_000, description="an integer from 0 to 1000")] = 3
    exchange_dtype: Annotated[ExchangeDtype, one_of(ExchangeDtype)] = "float32"
    significance: Share = 0.0
    init_from: Annotated[
        Annotated[str, msgspec.Meta(pattern=r"^s3://[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]/.{1,1024}$")] | None,
        msgspec.Meta(description=START_FORMS),
    ] = None
    seed: Annotated[int, msgspec.Meta(ge=0, lt=2**32, description="an integer from 0 to 4294967295")] = 0
    checkpoint_every_s: Annotated[float, msgspec.Meta(ge=0, le=86_400, description="seconds, 0 for never")] = 60.0
    # Lambda retries a failed event after 1 and after 2 minutes; ranks wait longer than that for a rank that died.
    round_timeout_s: Seconds = 180.0
    join_timeout_s: Seconds = 180.0
    revive: Annotated[bool, msgspec.Meta(description="true or false")] = True

    # False where keys may be missing that a run finds out itself, so that the others cannot be compared with them.
    complete: ClassVar[bool] = True

    @property
    def data_type(self) -> DatasetType:
        """Type of the data in the partitions."""
        return self.dataset_type or row_of(self.model).data_types[0]

    @property
    def loss_kind(self) -> LossKind:
        """The loss that training minimises."""
        return loss_of(self.model, self.loss)

    @property
    def task(self) -> TaskKind:
        """What training learns: classes, targets (numbers), or clusters."""
        return task_of(self.loss_kind)

    @property
    def results(self) -> str:
        """Bucket for the results."""
        return self.result_bucket or self.data_bucket

    def test_partition(self, rank: int) -> str:
        """Return the object key of one rank's partition of the test set."""
        return f"{self.test_prefix}{rank}_{self.n_workers}"

    def partition(self, rank: int) -> str:
        """Return the object key of one rank's partition, named as in the original."""
        return f"{self.data_prefix}{rank}_{self.n_workers}"


class WorkerJob(Job, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The job as one worker receives it.

    Attributes:
        worker_index: The rank of this worker, from 0.
        file: Object key of its partition.
        link: The number of this invocation in the rank's chain; a worker low on time invokes the next link.
        revival: Which revival of that link this is, as its peers count them; 0 for Lambda's own event.
        stood_still: The lease that the peer which revived it had seen stand still, in hexadecimal.
        cache_link: Latency and bandwidth to the cache, measured by the coordinator; `auto` uses it on all ranks.
        labels: The label of each class; without it, all ranks agree on the labels of their rows.
        expected: Rows and digest of its partition, so that any other object is refused.
        test_expected: The same for its partition of the test set.
        schema_sha256: Digest of the schema beside the partitions, which rank 0 stores in the model; None without one.
    """

    worker_index: Annotated[int, msgspec.Meta(ge=0, le=999, description="an integer from 0 to n_workers - 1")]
    file: Annotated[str, msgspec.Meta(min_length=1, max_length=1024, description="the key of a partition object")]
    run_id: RunId
    link: Annotated[int, msgspec.Meta(ge=1, le=1_000_000, description="an integer of at least 1")] = 1
    revival: Annotated[int, msgspec.Meta(ge=0, le=1000, description="an integer from 0 to 1000")] = 0
    stood_still: Annotated[
        str, msgspec.Meta(pattern="^([0-9a-f]{2})*$", max_length=1024, description="a lease in hexadecimal")
    ] = ""
    cache_link: Annotated[Link | None, msgspec.Meta(description="latency_s and bytes_per_s, above 0, and zone")] = None
    labels: Annotated[list[float] | None, msgspec.Meta(description="the label of each class, ascending")] = None
    expected: Annotated[Partition | None, msgspec.Meta(description="rows and md5 of the partition")] = None
    test_expected: Annotated[Partition | None, msgspec.Meta(description="rows and md5 of the partition")] = None
    schema_sha256: Annotated[
        Annotated[str, msgspec.Meta(pattern="^[0-9a-f]{64}$")] | None,
        msgspec.Meta(description="the SHA-256 of a schema, in hexadecimal"),
    ] = None

    @property
    def rank(self) -> int:
        """This worker's rank."""
        return self.worker_index


AnyJob = TypeVar("AnyJob", bound=Job)


def decode_job(event: object, kind: type[AnyJob]) -> AnyJob:
    """Check an event and return it as a record.

    Args:
        event: The function's payload, as decoded JSON.
        kind: `Job` or `WorkerJob`.

    Raises:
        InputError: The event is not an object, has an unknown key, lacks a required one, or has values that conflict.
        JobError: A field's value is not allowed.
    """
    if not isinstance(event, dict):
        raise InputError(f"the event is a {type(event).__name__}; it must be a JSON object with the job's keys")
    fields = _fields_of(kind)
    for name in event:
        if name not in fields:
            raise InputError(f"unknown job field `{name}`{_nearest(name, list(fields))}")
    for name in event:
        _check(name, event[name], fields[name].hint)
    for name, field in fields.items():
        if field.required and name not in event:
            raise InputError(f"job field `{name}` is missing; needed: {describe(field.hint)}")
    job = msgspec.convert(with_defaults(event), kind)
    check_combination(msgspec.structs.asdict(job))
    if job.complete:
        check_sizes(msgspec.structs.asdict(job))
    if isinstance(job, WorkerJob) and job.worker_index >= job.n_workers:
        raise JobError("worker_index", job.worker_index, f"0 to n_workers - 1 = {job.n_workers - 1}")
    return job


def decode_worker_job(event: object, request_id: str) -> WorkerJob:
    """Check a worker's event and return it as a record.

    A worker that trains alone may be invoked by hand with an event without a run id. Its run is then named after the
    request, as the coordinator does it. A retry has the same request id, and so belongs to the same run.

    Args:
        event: The function's payload, as decoded JSON.
        request_id: Lambda's id of the request.

    Raises:
        InputError: As in `decode_job`.
        JobError: A field's value is not allowed.
    """
    if isinstance(event, dict) and event.get("n_workers") == 1:
        event = {"run_id": request_id, **event}
    return decode_job(event, WorkerJob)


class _Field(NamedTuple):
    hint: Any
    required: bool


@cache
def _fields_of(kind: type[Job]) -> dict[str, _Field]:
    """Return the type hint of each key of the event; cached, because reading hints is slower than checking a job."""
    hints = get_type_hints(kind, include_extras=True)
    return {field.encode_name: _Field(hints[field.name], field.required) for field in msgspec.structs.fields(kind)}


def check_field(name: str, value: object) -> None:
    """Refuse a value that a key of the job does not allow, whatever its other keys are.

    Args:
        name: A key of the job.
        value: Its value.

    Raises:
        JobError: The value is not allowed.
    """
    _check(name, value, _fields_of(Job)[name].hint)


def describe(hint: Any) -> str:  # noqa: ANN401 - a type hint has no narrower type
    """Return a short phrase that describes the values that a field of this type allows."""
    for part in (hint, *getattr(hint, "__args__", ())):
        for meta in getattr(part, "__metadata__", ()):
            if isinstance(meta, msgspec.Meta) and meta.description:
                return meta.description
    return str(hint)


def _check(name: str, value: object, hint: Any) -> None:  # noqa: ANN401 - a type hint has no narrower type
    try:
        msgspec.convert(value, hint)
    except msgspec.ValidationError as error:
        raise JobError(name, value, describe(hint)) from error
    if isinstance(value, float) and not math.isfinite(value):
        raise JobError(name, value, describe(hint))


def _nearest(name: object, known: list[str]) -> str:
    import difflib  # noqa: PLC0415 - only a mistyped key needs it

    close = difflib.get_close_matches(str(name), known, n=1)
    return f"; did you mean `{close[0]}`?" if close else f"; known: {', '.join(known)}"

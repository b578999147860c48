"""What a run chooses by itself: model and method of training, for data of which the user names nothing but the place.

    model                           linear for targets, mlp for images, else lr; their sparse forms for sparse rows
    standardise                     dense rows whose features are not standardised yet; k-means keeps them, since
                                    distances between rows would change their meaning
    optimiser=nesterov              convex losses of real data: accelerated descent, whose rate falls to 0 along a
    momentum=0.95                   cosine, so that the noise of batches does not stay in the result
    lr_schedule=cosine
    lambda                          1 / rows, the penalty of scikit-learn's LogisticRegression and Ridge: classes that a
                                    plane separates have no least loss without one, and weights would never settle

The values that go with the method follow from the data too: see `harness.runs.defaults`.
Whoever sets a key of the method (`METHOD_KEYS`) has a method of their own, and then none of the others is chosen.
Synthetic sets keep the plain method, so that figures of runs on them stay comparable.

Nesterov 2004, Introductory Lectures on Convex Optimization, 2.2; Loshchilov and Hutter 2017, SGDR; decision 55.
"""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, TypeVar

from msgspec import structs

from harness.datasets.partitions import Manifest
from harness.datasets.peek import peek
from harness.datasets.specs import DataSpec, FileSpec, SklearnSpec
from harness.datasets.tables.spec import S3TableSpec, TableSpec
from harness.runs.defaults import defaults_for
from training.job import Job
from training.matrix import METRIC_LOSSES
from training.model.catalogue import DENSE, IMAGES, SPARSE, row_of
from training.model.loss_kinds import REGRESSION

# A key among these says how to train.
METHOD_KEYS = frozenset(
    {
        "optim",
        "optimiser",
        "lr",
        "momentum",
        "lr_schedule",
        "warmup",
        "weight_decay",
        "lambda",
        "penalty",
        "significance",
        "patience",
        "loss_threshold",
        "init_from",
        "max_staleness",
    }
)
AnyTable = TypeVar("AnyTable", bound=TableSpec | S3TableSpec)

# With one of these, the model is the user's choice, or the job's default.
_DECIDE_MODEL = frozenset({"model", "optim", "dataset_type", "init_from"})
_METRICS_OF_TARGETS = [metric for metric, losses in METRIC_LOSSES.items() if set(losses) <= set(REGRESSION)]
MOMENTUM = 0.95
# Features count as standardised when their moments differ by less than this share from those of standardised rows.
ALIKE = 0.1


def of_targets(event: Mapping[str, Any]) -> bool:
    """Return whether the user's loss, or else the metric that ends the training, exists for targets alone."""
    if "loss" in event:
        return event["loss"] in REGRESSION
    return event.get("stop_metric") in _METRICS_OF_TARGETS


def choose_model(event: Mapping[str, Any], data: DataSpec) -> dict[str, Any]:
    """Return the model, as far as the data shows it before it is read; `model_for_targets` knows more afterwards.

    Args:
        event: The keys that the user set.
        data: The data set.
    """
    if _DECIDE_MODEL & event.keys():
        return {}
    targets, sparse = of_targets(event), data.data_type == SPARSE
    if data.data_type == IMAGES:
        return {"model": "mlp"}
    if isinstance(data, SklearnSpec):
        targets = targets or data.task == "regression"
    elif isinstance(data, FileSpec) and (found := peek(data, event.get("zero_based", "auto"))):
        targets, sparse = targets or found.targets, found.sparse
    name = ("sparse_" if sparse else "") + ("linear" if targets else "lr")
    return {} if name == "lr" else {"model": name}


def fill_missing(table: AnyTable) -> AnyTable:
    """Return a table whose missing values become the mean of their column, since the user says nothing about them.

    Empty cells are common in CSV and Parquet; NaN among NumPy's numbers is more often an error, and stays refused.
    """
    if isinstance(table, TableSpec):
        is_numpy = table.form in {"npy", "npz"}
    else:
        is_numpy = any(found.key.endswith((".npy", ".npz")) for found in table.objects)
    if is_numpy:
        return table
    return replace(table, options=replace(table.options, missing="mean"))


def model_for_targets(event: Mapping[str, Any], manifest: Manifest | None) -> dict[str, Any]:
    """Return the model for partitions that hold targets, unless the user set what decides it."""
    has_targets = manifest is not None and manifest.schema is not None and manifest.schema.task == "regression"
    return {"model": "linear"} if has_targets and not _DECIDE_MODEL & event.keys() else {}


def choose(event: Mapping[str, Any], job: Job, manifest: Manifest | None, n_classes: int = 2) -> dict[str, Any]:
    """Return all keys that follow from the data, in the job's order; none where the data is not known.

    Args:
        event: The keys that the user set.
        job: The job with its fixed defaults.
        manifest: What the data is; None for partitions that others made.
        n_classes: Its classes.
    """
    if manifest is None:
        return {}
    chosen: dict[str, Any] = {"model": job.model, "n_classes": n_classes}
    chosen = {key: value for key, value in chosen.items() if key not in event}
    if job.task != "classification":
        chosen.pop("n_classes", None)
    if "standardise" not in event and _gains_by_scaling(job, manifest):
        chosen["standardise"] = True
    ours = _takes_our_method(event, job, manifest)
    if ours:
        rows = training_rows(manifest, job.valid_ratio)
        chosen |= {"optimiser": "nesterov", "momentum": MOMENTUM, "lr_schedule": "cosine"}
        chosen["lambda"] = float(f"{1 / rows:.1g}")
    fields = {"lambda_" if key == "lambda" else key: value for key, value in chosen.items()}
    chosen |= defaults_for(event, structs.replace(job, **fields), manifest, n_classes, accelerated=ours)
    return {key: chosen[key] for key in Job.__struct_encode_fields__ if key in chosen}


def format_chosen(chosen: Mapping[str, Any]) -> str:
    """Return what was chosen in one line for the user."""
    return "chosen: " + ", ".join(f"{key}={_text(value)}" for key, value in chosen.items())


def training_rows(manifest: Manifest, valid_ratio: float) -> int:
    """Return the number of rows that train: each partition keeps some for validation."""
    if manifest.valid_rows_per_partition is not None:
        return max(1, manifest.rows - sum(manifest.valid_rows_per_partition))
    return max(1, sum(rows - int(valid_ratio * rows) for rows in manifest.rows_per_partition))


def _text(value: object) -> str:
    return ("yes" if value else "no") if isinstance(value, bool) else str(value)


def _gains_by_scaling(job: Job, manifest: Manifest) -> bool:
    """Return whether features of a gradient's model are not as good as standardised already."""
    found, scaled = manifest.moments, manifest.standardised_moments
    # A model that training starts from brings its scaling, or has none.
    if job.optim == "em" or job.data_type != DENSE or job.init_from is not None or found is None or scaled is None:
        return False
    pairs = ((found.mean_square, scaled.mean_square), (found.largest, scaled.largest))
    return any(abs(own - usual) > ALIKE * usual for own, usual in pairs)


def _takes_our_method(event: Mapping[str, Any], job: Job, manifest: Manifest) -> bool:
    """Return whether the method is ours to choose, and suits the model."""
    row = row_of(job.model)
    # The curvature of a model of the user's own is not known.
    convex = "admm" in row.optimisers and not row.own and manifest.moments is not None
    # Old gradients diverge with a large momentum, and the curvature of Poisson's loss has no bound.
    suits = convex and job.sync_mode != "async" and job.loss_kind != "poisson"
    return suits and not manifest.synthetic and not METHOD_KEYS & event.keys()

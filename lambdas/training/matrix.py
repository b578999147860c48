"""The training matrix: the legal combinations of model, data type, optimiser and synchronisation.

`training.model.catalogue` lists the models; this module adds what depends on the optimiser.
The check of a job, README's table and the tests are derived from both.
"""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, NamedTuple

from training.class_weights import given_weights
from training.errors import InputError
from training.model.catalogue import DENSE, MODELS, loss_of, row_of, task_of
from training.model.loss_kinds import LossKind

SYNCHRONOUS = ("reduce", "reduce_scatter", "all_gather", "two_level", "auto")

# Job values by `optim`, for keys that the event leaves out: each round of admm should end near a minimum.
_OPTIM_DEFAULTS: Mapping[str, Mapping[str, Any]] = {"admm": {"n_epochs": 10}}

SYNC_MODES: Mapping[str, tuple[str, ...]] = {
    "grad_avg": (*SYNCHRONOUS, "async"),
    "model_avg": (*SYNCHRONOUS, "async"),
    "admm": SYNCHRONOUS,
    "em": SYNCHRONOUS,
}

_ADAM = ("adam", "adamw")
_WITH_MOMENTUM = ("sgd", "nesterov")
# Job values by `optimiser`, for keys that the event leaves out.
_STEP_DEFAULTS: Mapping[str, Mapping[str, Any]] = {
    "nesterov": {"momentum": 0.9},
    "adam": {"lr": 0.02, "momentum": 0.0},
    "adamw": {"lr": 0.02, "momentum": 0.0, "weight_decay": 0.01},
}
_NEURAL_ADAM_LR = 0.001

_STEPS = ("grad_avg", "model_avg")
_LOSSES = (*_STEPS, "admm")
# Keys that only some values of another key use, with the value that disables them: setting one of them where it would
# be ignored is an error.
_NEEDS: Mapping[str, Mapping[str, tuple[Any, tuple[str, ...]]]] = {
    "optim": {
        "optimiser": ("sgd", _STEPS),
        "momentum": (0.0, _STEPS),
        "weight_decay": (0.0, _STEPS),
        "lr_schedule": ("constant", _STEPS),
        "warmup": (0.0, _STEPS),
        "clip_norm": (0.0, _STEPS),
        "patience": (0, _STEPS),
        "significance": (0.0, ("grad_avg",)),
        "exchange_dtype": ("float32", _LOSSES),
        "lambda_": (0.0, _LOSSES),
        "penalty": ("l2", _LOSSES),
        "class_weights": ("", _LOSSES),
        "init_from": (None, _LOSSES),
        "test_bucket": (None, _LOSSES),
        "n_init": (1, ("em",)),
    },
    "optimiser": {
        "momentum": (0.0, _WITH_MOMENTUM),
        "significance": (0.0, _WITH_MOMENTUM),
        "beta1": (0.9, _ADAM),
        "beta2": (0.999, _ADAM),
        "epsilon": (1e-8, _ADAM),
    },
    "lr_schedule": {
        "lr_step_epochs": (None, ("step",)),
        "lr_decay": (0.1, ("step",)),
        "lr_min": (0.0, ("cosine",)),
    },
}

# Keys that a job of the original has whatever it trains, and the values of another key that use them. A job may have
# them; as flags, they would be typed in vain.
_USED_BY: Mapping[str, tuple[str, tuple[str, ...]]] = {
    "n_clusters": ("optim", ("em",)),
    "kmeans_init": ("optim", ("em",)),
    "rho": ("optim", ("admm",)),
    "n_admm_epochs": ("optim", ("admm",)),
    "max_staleness": ("sync_mode", ("async",)),
}

# The losses of a job that may set a key, with the value that disables the key; by what the loss learns.
_CLASSES: tuple[LossKind, ...] = ("cross_entropy", "hinge")
_TARGETS: tuple[LossKind, ...] = ("squared", "huber", "poisson")
_NEEDS_LOSS: Mapping[str, tuple[Any, tuple[LossKind, ...]]] = {
    "huber_delta": (1.0, ("huber",)),
    "class_weights": ("", _CLASSES),
    "n_classes": (None, (*_CLASSES, "inertia")),
}
# The losses for which each `stop_metric` exists.
METRIC_LOSSES: Mapping[str, tuple[LossKind, ...]] = {
    "loss": (*_CLASSES, *_TARGETS),
    "accuracy": _CLASSES,
    "auc": _CLASSES,
    "precision": _CLASSES,
    "recall": _CLASSES,
    "f1": _CLASSES,
    "log_loss": ("cross_entropy",),
    "rmse": _TARGETS,
    "r2": _TARGETS,
}


class Cell(NamedTuple):
    """One legal combination."""

    model: str
    data_type: str
    optim: str
    sync_mode: str


def cells() -> Iterator[Cell]:
    """Yield every legal combination."""
    for model, row in MODELS.items():
        for data_type in row.data_types:
            for optim in row.optimisers:
                for sync_mode in SYNC_MODES[optim]:
                    yield Cell(model, data_type, optim, sync_mode)


def with_defaults(event: Mapping[str, Any]) -> dict[str, Any]:
    """Return the event, completed by the defaults of its model, its `optim` and its `optimiser`.

    A model's default momentum belongs to its default `lr`: an event that sets `lr` gets no such momentum.
    """
    row = row_of(event.get("model", "lr"))
    optim = row.optimisers[0]
    defaults = {"optim": optim, **row.defaults, **_OPTIM_DEFAULTS.get(event.get("optim", optim), {})}
    if "lr" in event or event.get("optim", optim) not in _STEPS:
        defaults.pop("momentum", None)
    optimiser = event.get("optimiser", "sgd")
    defaults |= _STEP_DEFAULTS.get(optimiser, {})
    if (row.needs_pytorch or row.own) and optimiser in _ADAM:
        defaults["lr"] = _NEURAL_ADAM_LR
    return {**defaults, **event}


def unused_fields(event: Mapping[str, Any]) -> set[str]:
    """Return the fields that the event's other values leave without a use, as `momentum` is with `optimiser=adam`.

    Args:
        event: The job's keys that are set.
    """
    off = {field: value for fields in _NEEDS.values() for field, (value, _) in fields.items()}
    job = {**off, **with_defaults(event)}
    return {
        field for other, fields in _NEEDS.items() for field, (_, allowed) in fields.items() if job[other] not in allowed
    }


def check_used(typed: Iterable[str], job: Any) -> None:  # noqa: ANN401 - a `Job`, whose module imports this one
    """Refuse keys that a user typed and the job has no use for.

    Args:
        typed: The keys.
        job: The job.

    Raises:
        InputError: The message names the field, the value it needs, and the value it got.
    """
    for field in typed:
        other, allowed = _USED_BY.get(field, ("optim", (job.optim,)))
        if getattr(job, other) not in allowed:
            _refuse(field, getattr(job, field), other, allowed, getattr(job, other))


def check_combination(job: Mapping[str, Any]) -> None:
    """Refuse a job with incompatible fields.

    Args:
        job: The job's fields by their Python names.

    Raises:
        InputError: The message names the field, the value it needs, and the value it got.
    """
    model, optim, sync_mode = job["model"], job["optim"], job["sync_mode"]
    row = row_of(model)
    if optim not in row.optimisers:
        _refuse("optim", optim, "model", [name for name, other in MODELS.items() if optim in other.optimisers], model)
    if job["dataset_type"] not in (None, *row.data_types):
        _refuse("model", model, "dataset_type", row.data_types, job["dataset_type"])
    if sync_mode not in SYNC_MODES[optim]:
        _refuse("sync_mode", sync_mode, "optim", [name for name, m in SYNC_MODES.items() if sync_mode in m], optim)
    for other, fields in _NEEDS.items():
        for field, (off, allowed) in fields.items():
            if job[field] != off and job[other] not in allowed:
                _refuse(field.rstrip("_"), job[field], other, allowed, job[other])
    _check_loss(job)
    weights = given_weights(job["class_weights"])
    if weights is not None and job["n_classes"] not in (None, len(weights)):
        _refuse("class_weights", job["class_weights"], "n_classes", [str(len(weights))], job["n_classes"])
    _check_steps(job)
    if job["n_init"] > 1 and job["kmeans_init"] != "kmeans++":
        _refuse("n_init", job["n_init"], "kmeans_init", ["kmeans++"], job["kmeans_init"])
    _check_standardise(job)


def check_sizes(job: Mapping[str, Any]) -> None:
    """Refuse a complete job whose numbers exclude each other.

    Args:
        job: The job's fields by their Python names, none of them still to be chosen.

    Raises:
        InputError: The message names the field, the value it needs, and the value it got.
    """
    if job["lr_min"] > 0 and job["lr_min"] >= job["lr"]:
        _refuse("lr_min", job["lr_min"], "lr", [f"a number above {job['lr_min']}"], job["lr"])
    if job["lr_step_epochs"] is not None and job["lr_step_epochs"] >= job["n_epochs"]:
        _refuse(
            "lr_step_epochs",
            job["lr_step_epochs"],
            "n_epochs",
            [f"{job['lr_step_epochs'] + 1} or more"],
            job["n_epochs"],
        )


def _check_loss(job: Mapping[str, Any]) -> None:
    """Refuse a loss that the model lacks, and keys that the loss would ignore."""
    model, named = job["model"], job["loss"]
    row = row_of(model)
    if named is not None and named not in (row.losses or (row.loss,)):
        having = [name for name, other in MODELS.items() if named in (other.losses or (other.loss,))]
        _refuse("loss", named, "model", having, model)
    loss = loss_of(model, named)
    for field, (off, allowed) in _NEEDS_LOSS.items():
        if job[field] != off and loss not in allowed:
            _refuse(field, job[field], "loss", allowed, loss)
    metric = job["stop_metric"]
    if task_of(loss) != "clustering" and loss not in METRIC_LOSSES[metric]:
        _refuse("stop_metric", metric, "loss", METRIC_LOSSES[metric], loss)


def _check_steps(job: Mapping[str, Any]) -> None:
    """Refuse what an optimiser cannot do, and an end that nobody waits for."""
    for field, off in (("stop_metric", "loss"), ("min_improvement", 0.0)):
        if job[field] != off and job["patience"] == 0:
            _refuse(field, job[field], "patience", ["a number above 0"], 0)
    optimiser = job["optimiser"]
    if optimiser == "nesterov" and job["momentum"] == 0:
        _refuse("optimiser", optimiser, "momentum", ["a number above 0"], job["momentum"])
    if job["lambda_"] > 0 and job["penalty"] == "l2":
        if optimiser == "adamw":
            _refuse("lambda", job["lambda_"], "optimiser", ["sgd", "nesterov", "adam"], optimiser)
        if job["weight_decay"] > 0:
            _refuse("weight_decay", job["weight_decay"], "lambda", ["0, or penalty=l1"], job["lambda_"])


def _check_standardise(job: Mapping[str, Any]) -> None:
    """Refuse to standardise rows that cannot be."""
    row = row_of(job["model"])
    data_type = job["dataset_type"] or row.data_types[0]
    if job["standardise"] and data_type != DENSE:
        if job["dataset_type"] is not None:
            _refuse("standardise", "true", "dataset_type", [DENSE], data_type)
        # The job names no type, so the type is the model's default.
        dense = [name for name, other in MODELS.items() if DENSE in other.data_types]
        _refuse("standardise", "true", "model", dense, job["model"])


def _refuse(field: str, value: object, other: str, allowed: tuple[str, ...] | list[str], got: object) -> None:
    raise InputError(f"{field}={value} needs {other}={' or '.join(allowed)}; got {other}={got}")

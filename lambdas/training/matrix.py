"""The training matrix: the legal combinations of model, data type, optimiser and synchronisation.

`training.model.catalogue` lists the models; this module adds what depends on the optimiser.
The check of a job, README's table and the tests are derived from both.
"""

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from training.errors import InputError
from training.model.catalogue import DENSE, MODELS

SYNCHRONOUS = ("reduce", "reduce_scatter", "all_gather", "two_level", "auto")

# Job values by optimiser, for keys that the event leaves out: each round of admm should end near a minimum.
_OPTIMISER_DEFAULTS: Mapping[str, Mapping[str, Any]] = {"admm": {"n_epochs": 10}}

SYNC_MODES: Mapping[str, tuple[str, ...]] = {
    "grad_avg": (*SYNCHRONOUS, "async"),
    "model_avg": (*SYNCHRONOUS, "async"),
    "admm": SYNCHRONOUS,
    "em": SYNCHRONOUS,
}

# Keys that only some optimisers use, with the value that disables them; setting one for another optimiser is an error.
_NEEDS_OPTIMISER: Mapping[str, tuple[Any, tuple[str, ...]]] = {
    "momentum": (0.0, ("grad_avg", "model_avg")),
    "significance": (0.0, ("grad_avg",)),
    "exchange_dtype": ("float32", ("grad_avg", "model_avg", "admm")),
    "lambda_": (0.0, ("grad_avg", "model_avg", "admm")),
    "n_init": (1, ("em",)),
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
    """Return the event, completed by the defaults of its model and optimiser.

    A default momentum belongs to the default `lr`: an event that sets `lr` gets no default momentum.
    """
    row = MODELS[event.get("model", "lr")]
    optim = row.optimisers[0]
    defaults = {"optim": optim, **row.defaults, **_OPTIMISER_DEFAULTS.get(event.get("optim", optim), {})}
    if "lr" in event:
        defaults.pop("momentum", None)
    return {**defaults, **event}


def check_combination(job: Mapping[str, Any]) -> None:
    """Refuse a job with incompatible fields.

    Args:
        job: The job's fields by their Python names.

    Raises:
        InputError: The message names the field, the value it needs, and the value it got.
    """
    model, optim, sync_mode = job["model"], job["optim"], job["sync_mode"]
    row = MODELS[model]
    if optim not in row.optimisers:
        _refuse("optim", optim, "model", [name for name, other in MODELS.items() if optim in other.optimisers], model)
    if job["dataset_type"] not in (None, *row.data_types):
        _refuse("model", model, "dataset_type", row.data_types, job["dataset_type"])
    if sync_mode not in SYNC_MODES[optim]:
        _refuse("sync_mode", sync_mode, "optim", [name for name, m in SYNC_MODES.items() if sync_mode in m], optim)
    for field, (off, optimisers) in _NEEDS_OPTIMISER.items():
        if job[field] != off and optim not in optimisers:
            _refuse(field.rstrip("_"), job[field], "optim", optimisers, optim)
    if job["penalty"] == "l1" and optim != "admm":
        _refuse("penalty", "l1", "optim", ["admm"], optim)
    if job["n_init"] > 1 and job["kmeans_init"] != "kmeans++":
        _refuse("n_init", job["n_init"], "kmeans_init", ["kmeans++"], job["kmeans_init"])
    data_type = job["dataset_type"] or row.data_types[0]
    if job["standardise"] and data_type != DENSE:
        if job["dataset_type"] is not None:
            _refuse("standardise", "true", "dataset_type", [DENSE], data_type)
        # The job names no type, so the type is the model's default.
        _refuse(
            "standardise", "true", "model", [name for name, other in MODELS.items() if DENSE in other.data_types], model
        )


def _refuse(field: str, value: object, other: str, allowed: tuple[str, ...] | list[str], got: object) -> None:
    raise InputError(f"{field}={value} needs {other}={' or '.join(allowed)}; got {other}={got}")

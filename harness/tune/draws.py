"""The trials of a study, drawn at random: trial i is the same however many there are, and whoever asks for it.

Each trial has a generator of its own, seeded by the study's seed and the trial's number, so a study that was
interrupted, or is given more trials later, has the trials of one that was not.
"""

import math
from collections.abc import Mapping, Sequence
from itertools import product
from typing import Any

import numpy as np
import optuna
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution

from harness.errors import HarnessError
from harness.tune.space import Choices, Dimension, Space, Value, ends, points
from training.job import Job
from training.matrix import unused_fields, with_defaults
from training.model.catalogue import MODELS, row_of

# Drawn numbers are rounded to as many digits, so that they can be read and typed.
DIGITS = 4
# Spaces with more combinations are not counted: random draws hardly ever meet there.
MOST_COUNTED = 500
# The last of so many combinations is found by far fewer draws, and a second's work is bearable.
MOST_ATTEMPTS = 5_000
# Keys on which it depends whether others are used.
_DECIDING = ("model", "optim", "sync_mode", "optimiser", "lr_schedule")
_DESCENT = ("grad_avg", "model_avg", "admm")
# Keys that a job ignores silently unless another key has one of these values.
_USED_WITH: Mapping[str, tuple[str, tuple[str, ...]]] = {
    "lr": ("optim", _DESCENT),
    "batch_size": ("optim", _DESCENT),
    "n_admm_epochs": ("optim", ("admm",)),
    "rho": ("optim", ("admm",)),
    "n_clusters": ("optim", ("em",)),
    "kmeans_init": ("optim", ("em",)),
    "max_staleness": ("sync_mode", ("async",)),
}

Params = dict[str, Value]


def draw_trials(space: Space, fixed: Mapping[str, Any], seed: int, n_trials: int) -> list[Params]:
    """Return the searched keys of each trial, no two of them alike.

    A key that a trial's other keys leave without a use is left out of that trial.

    Args:
        space: The search space.
        fixed: The keys that all trials have.
        seed: The study's seed.
        n_trials: How many.

    Raises:
        HarnessError: The space has fewer combinations, or a key of it that no trial uses.
    """
    _check_used(space, fixed)
    distributions = distributions_of(space)
    size = combinations(space, fixed)
    if n_trials > size:
        raise HarnessError(
            f"the search space has {size:.0f} combinations, and {n_trials} trials are asked for",
            remedy=f"set --trials {size:.0f}, or widen the space",
        )
    drawn: list[Params] = []
    for number in range(n_trials):
        drawn.append(_draw(distributions, fixed, seed, number, drawn))
    return drawn


def combinations(space: Space, fixed: Mapping[str, Any]) -> float:
    """Return how many different trials a space has; infinity where they are not worth counting."""
    if math.prod(map(points, space.values())) > MOST_COUNTED:
        return math.inf
    found = {
        tuple(used_of(dict(zip(space, values, strict=True)), fixed).items())
        for values in product(*map(_values, space.values()))
    }
    return len(found)


def distributions_of(space: Space) -> dict[str, BaseDistribution]:
    """Return the space in Optuna's terms, in the order of the job's keys, whatever the order they were given in."""
    return {key: _distribution(space[key]) for key in job_order(space)}


def job_order(keys: Mapping[str, Any]) -> list[str]:
    """Return these keys in the order in which the job has them."""
    known = [field.rstrip("_") for field in Job.__struct_fields__]
    return sorted(keys, key=lambda key: (known.index(key) if key in known else len(known), key))


def used_of(params: Mapping[str, Value], fixed: Mapping[str, Any]) -> Params:
    """Return the searched keys of a trial that its other keys leave a use for."""
    used = dict(params)
    while unused := _unused({**fixed, **used}) & set(used):
        for key in unused:
            del used[key]
    return used


def _check_used(space: Space, fixed: Mapping[str, Any]) -> None:
    """Refuse a key that no trial can use."""
    deciding = [key for key in _DECIDING if key in space]
    some = {key: ends(dimension)[0] for key, dimension in space.items()}
    used: set[str] = set()
    for values in product(*(ends(space[key]) for key in deciding)):
        used |= used_of({**some, **dict(zip(deciding, values, strict=True))}, fixed).keys()
    idle = [key for key in space if key not in used]
    if idle:
        raise HarnessError(
            f"{idle[0]} is searched, but no trial uses it",
            _reason(idle[0], {**with_defaults(fixed), **fixed}),
            f"leave {idle[0]} out of the space, or set the key that it depends on",
        )


def _draw(
    distributions: Mapping[str, BaseDistribution],
    fixed: Mapping[str, Any],
    seed: int,
    number: int,
    before: Sequence[Params],
) -> Params:
    for attempt in range(MOST_ATTEMPTS):
        state = np.random.SeedSequence([seed, number, attempt]).generate_state(1)
        sampler = optuna.samplers.RandomSampler(seed=int(state[0]))
        trial = optuna.create_study(sampler=sampler).ask(dict(distributions))
        drawn = {key: _rounded(trial.params[key], distributions[key]) for key in distributions}
        params = used_of(drawn, fixed)
        if params not in before:
            return params
    raise HarnessError(
        f"the search space seems to have {number} combinations only",
        f"{MOST_ATTEMPTS} further draws gave the same",
        f"set --trials {number}, or widen the space",
    )


def _rounded(value: Value, distribution: BaseDistribution) -> Value:
    if not isinstance(distribution, FloatDistribution):
        return value
    if distribution.step is not None:
        return float(f"{value:.12g}")
    return min(max(float(f"{value:.{DIGITS}g}"), distribution.low), distribution.high)


def _unused(event: Mapping[str, Any]) -> set[str]:
    """Return the keys that a job ignores or refuses because of its other keys."""
    complete = {"sync_mode": "auto", **with_defaults(event)}
    row = row_of(complete.get("model", "lr"))
    # A model of the user's own may take each of them.
    options = set() if row.own else {key for other in MODELS.values() for key in other.options} - set(row.options)
    ignored = {key for key, (other, values) in _USED_WITH.items() if complete[other] not in values}
    return {field.rstrip("_") for field in unused_fields(event)} | options | ignored


def _reason(key: str, event: Mapping[str, Any]) -> str:
    if key in _USED_WITH:
        other, values = _USED_WITH[key]
        return f"it needs {other}={' or '.join(values)}"
    models = [name for name, row in MODELS.items() if key in row.options]
    if models:
        return f"it needs model={' or '.join(models)}; model={event.get('model', 'lr')}"
    named = ("model", "optim", "optimiser", "lr_schedule")
    return "all trials have " + ", ".join(f"{other}={event[other]}" for other in named if other in event)


def _values(dimension: Dimension) -> list[Value]:
    if isinstance(dimension, Choices):
        return list(dimension.values)
    step = dimension.step or 1
    return [dimension.low + index * step for index in range(int(points(dimension)))]


def _distribution(dimension: Dimension) -> BaseDistribution:
    if isinstance(dimension, Choices):
        return CategoricalDistribution(dimension.values)
    low, high, step = dimension.low, dimension.high, dimension.step
    if step is not None:
        # Optuna would lower the end to the last step itself, with a warning.
        high = low + step * (points(dimension) - 1)
    if dimension.is_integer:
        return IntDistribution(int(low), int(high), log=dimension.log, step=int(step or 1))
    return FloatDistribution(low, high, log=dimension.log, step=step)

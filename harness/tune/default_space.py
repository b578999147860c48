"""The space of a study that names none, by the model and by what `harness run` would choose for its data.

    lr            30 times less to 10 times more than the run's own, which is near the largest one that is sure to
                  converge; a neural network's from 0.0001 to 0.1
    batch_size    a quarter of the run's own, the run's own, four times as many
    lambda        linear models: none, or 1e-5 to 1e-2 by factors of ten
    optimiser     neural networks: sgd or adam, and sgd's momentum from 0 to 0.95
    hidden_units  mlp: 16 to 256
    rho           admm, in place of lr and batch_size: 30 times less to 10 times more

Bergstra, Bengio 2012, Random Search for Hyper-Parameter Optimization: what matters for one data set does not for
another, so each key gets a wide range.
"""

from collections.abc import Mapping
from typing import Any

from harness.errors import HarnessError
from harness.tune.space import Choices, Dimension, Range, Space
from training.job import Job
from training.model.catalogue import row_of

BELOW, ABOVE = 30.0, 10.0
MOST_RATE, LEAST_RATE = 1e6, 1e-30
_PENALTIES: list[bool | int | float | str] = [0.0, 1e-5, 1e-4, 1e-3, 1e-2]


def default_space(job: Job, chosen: Mapping[str, Any], fixed: Mapping[str, Any]) -> Space:
    """Return the space for a job.

    Args:
        job: The job with the defaults of its model.
        chosen: The keys that `harness run` would choose for its data.
        fixed: The keys that the user has set; they are not searched.

    Raises:
        HarnessError: The model has no default space, or the user has set all of its keys.
    """
    row = row_of(job.model)
    if row.is_clustering:
        raise HarnessError(
            f"model={job.model} has no search space of its own", remedy="give one, as --search kmeans_init=..."
        )
    space: dict[str, Dimension] = {}
    batch_size = int(chosen.get("batch_size", job.batch_size))
    if job.optim == "admm":
        space["rho"] = _around(float(chosen.get("rho", job.rho)))
    elif row.needs_pytorch:
        space["lr"] = Range(1e-4, 1e-1, log=True)
        space["optimiser"] = Choices(["sgd", "adam"])
        space["momentum"] = Range(0.0, 0.95)
    else:
        space["lr"] = _around(float(chosen.get("lr", job.lr)))
    if job.optim != "admm" and batch_size > 1:
        space["batch_size"] = Choices(sorted({max(1, batch_size // 4), batch_size, 4 * batch_size}))
    if not row.needs_pytorch and job.optimiser != "adamw":
        space["lambda"] = Choices(_PENALTIES)
    if job.model == "mlp":
        space["hidden_units"] = Range(16, 256, log=True)
    free = {key: dimension for key, dimension in space.items() if key not in fixed}
    if "optimiser" in fixed and fixed["optimiser"] != "sgd":
        free.pop("momentum", None)
    if not free:
        raise HarnessError(
            f"all keys of the default space are set: {', '.join(space)}", remedy="leave one out, or give --search"
        )
    return free


def _around(value: float) -> Range:
    return Range(max(LEAST_RATE, _short(value / BELOW)), min(MOST_RATE, _short(value * ABOVE)), log=True)


def _short(value: float) -> float:
    return float(f"{value:.1e}")

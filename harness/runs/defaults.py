"""Defaults of a job that follow from its data: the learning rate, the batch size and the number of epochs.

The event's own defaults are fixed, so they suit some data sets and not others.
Keys that the user sets are never changed; values chosen here become part of the job, so the run can be repeated.

    lr          linear models: 1 / L, where L bounds the curvature of the loss over a batch of b rows with features x:
                L = c (largest eigenvalue of E[z z'] + E[x'x] / b), z = (x, 1), c = 1/4 logistic, 1/2 softmax, 1 hinge
                and the losses of a regression, whose targets are scaled,
                times the mean class weight of a row;
                on dense rows no more than 0.1, unless the coarser bound c E[z'z] allows more;
                accelerated descent, whose rate falls: 1 / (L + lambda), without that limit;
                adam and adamw: their own, since the size of their steps does not depend on the curvature
    batch_size  a worker's share of a tenth of the rows, so that an epoch has some ten rounds, but of at least 8 rows:
                few rows are one batch, whatever the number of workers; at most the model's own default
    n_epochs    enough to see 180,000 rows, from 2 to 50 (admm: to 10 in each of its rounds);
                accelerated descent: enough for 1,000 rounds, from 2 to 100;
                neural networks: enough for 250 rounds of mlp and own models, or 70 of the others, from 5 to 50
    rho         admm: a quarter of a feature's mean square, from 0.001 to 0.1; a consensus stiffer than the loss is slow

Nesterov 2004, Introductory Lectures on Convex Optimization, 1.2.3; decision 29.
"""

import math
from collections.abc import Iterable, Mapping
from typing import Any

from harness.datasets.moments import Moments
from harness.datasets.partitions import Manifest
from training.class_weights import mean_weight
from training.job import Job
from training.model.catalogue import DENSE, row_of

ROUNDS_PER_EPOCH = 10
# Below this, rounding a worker's share would change the global batch with the number of workers.
LEAST_GLOBAL_BATCH = 8
USUAL_LR = 0.1
# Epochs of linear models: enough to see this many rows, within limits.
ROWS_SEEN, FEWEST_EPOCHS, MOST_EPOCHS = 180_000, 2, 50
MOST_ADMM_EPOCHS = 10
# Epochs of accelerated descent: enough for this many rounds, in which it converges.
ACCELERATED_ROUNDS, MOST_ACCELERATED_EPOCHS = 1000, 100
# Epochs of neural networks: enough for this many rounds; a convolution's takes a hundred times as long as mlp's.
MLP_ROUNDS, CONVOLUTION_ROUNDS = 250, 70
LEAST_RHO = 0.001
# A smaller step is lost in float32.
LEAST_LR = 1e-30


def defaults_for(
    event: Mapping[str, Any],
    job: Job,
    manifest: Manifest | None,
    n_classes: int = 2,
    *,
    accelerated: bool = False,
) -> dict[str, Any]:
    """Return the keys that follow from the data, in the job's words; none where the data is not known.

    Args:
        event: The keys that the user set.
        job: The job with its fixed defaults.
        manifest: What the data is; None for partitions that others made.
        n_classes: Its classes.
        accelerated: Whether the method is accelerated descent with a falling rate; see `harness.runs.choices`.
    """
    if manifest is None or job.optim == "em":
        return {}
    row = row_of(job.model)
    rows = max(1, round(manifest.rows * (1 - job.valid_ratio)))
    largest_batch = int(row.defaults.get("batch_size", 1000))
    global_batch = max(rows // ROUNDS_PER_EPOCH, LEAST_GLOBAL_BATCH)
    batch_size = min(largest_batch, math.ceil(min(global_batch, rows) / job.n_workers))
    batch_size = event.get("batch_size", batch_size)
    chosen = {"batch_size": batch_size}
    rounds = max(1, round(rows / (batch_size * job.n_workers)))
    if row.needs_pytorch or row.own:
        enough = MLP_ROUNDS if job.model == "mlp" or row.own else CONVOLUTION_ROUNDS
        chosen["n_epochs"] = _within(enough / rounds, int(row.defaults["n_epochs"]), MOST_EPOCHS)
    elif accelerated:
        chosen["n_epochs"] = _within(ACCELERATED_ROUNDS / rounds, FEWEST_EPOCHS, MOST_ACCELERATED_EPOCHS)
    else:
        most = MOST_ADMM_EPOCHS if job.optim == "admm" else MOST_EPOCHS
        chosen["n_epochs"] = _within(ROWS_SEEN / rows, FEWEST_EPOCHS, most)
    moments = manifest.standardised_moments if job.standardise else manifest.moments
    if moments is not None:
        together = job.n_workers if job.optim == "grad_avg" else 1
        # Who sets lr for a neural network sets momentum too.
        if job.optimiser in ("sgd", "nesterov") and not ((row.needs_pytorch or row.own) and "lr" in event):
            weight = mean_weight(job.class_weights, _class_rows(job, manifest)) if job.class_weights else 1.0
            chosen |= _learning_rate(job, n_classes, moments, batch_size * together, weight, accelerated=accelerated)
        if job.optim == "admm":
            chosen["rho"] = _rounded_down(max(LEAST_RHO, min(job.rho, moments.mean_square / (4 * manifest.features))))
    # In the job's order.
    return {key: chosen[key] for key in Job.__struct_fields__ if key in chosen and key not in event}


def _class_rows(job: Job, manifest: Manifest) -> list[int]:
    rows = {count.label: count.rows for count in manifest.labels or []}
    return [rows.get(label, 0) for label in manifest.classes(job.n_classes, manifest.source)]


def _learning_rate(
    job: Job, classes: int, moments: Moments, batch: int, weight: float, *, accelerated: bool
) -> dict[str, float]:
    """Return the learning rate for a batch of this size, and the momentum that goes with it where a model has one.

    Args:
        job: The job.
        classes: The number of classes.
        moments: Those of its rows.
        batch: Rows of all ranks in a round.
        weight: The mean class weight of a row.
        accelerated: Whether the rate falls to 0, and may therefore begin as high as the curvature allows.
    """
    row = row_of(job.model)
    if row.needs_pytorch or row.own:
        # The first layer's curvature grows with the rows; up to some size of them the model's own rate is right.
        rate = _rounded_down(0.5 / (moments.mean_square + 1))
        own: dict[str, float] = {key: row.defaults[key] for key in ("lr", "momentum")}
        return own | {"lr": rate} if rate < own["lr"] else {}
    curvature = weight * (1.0 if job.loss_kind != "cross_entropy" else 0.25 if classes == 2 else 0.5)
    rate = 1 / (curvature * (moments.largest + moments.mean_square / batch) + (job.lambda_ if accelerated else 0))
    if accelerated:
        return {"lr": max(LEAST_LR, _rounded_down(rate, range(1, 10)))}
    if job.data_type == DENSE:
        rate = min(rate, max(USUAL_LR, 1 / (curvature * (moments.mean_square + 1))))
    return {"lr": max(LEAST_LR, _rounded_down(rate))}


def _within(value: float, least: int, most: int) -> int:
    return max(least, min(most, math.ceil(value)))


def _rounded_down(value: float, leading: Iterable[int] = (1, 2, 5)) -> float:
    """Return the next lower 1, 2 or 5 times a power of ten, so that small changes of the sample do not change it."""
    digits, exponent = f"{value:.2e}".split("e")
    lower = max(digit for digit in leading if digit <= float(digits))
    return float(f"{lower}e{exponent}")

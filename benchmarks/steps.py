"""Compare training steps with a plain NumPy (or SciPy) loop over the same rows, in one process."""

from collections.abc import Callable, Iterator

import numpy as np
import scipy.sparse

from benchmarks.figure import Figure, Goal
from benchmarks.turns import in_turns, scaled
from training.model.base import Classes, Parameters, Rows
from training.model.linear import LinearModel, logistic_regression, support_vector_machine

REPETITIONS = 15
LEARNING_RATE = np.float32(0.1)

Step = Callable[[], None]


def steps() -> Iterator[Figure]:
    """Measure an epoch of one worker, per model."""
    random = np.random.default_rng(0)
    dense = random.normal(size=(100_000, 28)).astype(np.float32)
    classes = (dense @ random.normal(size=28) > 0).astype(np.int64)
    sparse: Rows = scipy.sparse.random_array(
        (20_000, 47_236), density=0.0016, format="csr", dtype=np.float32, rng=random
    )
    sparse_classes = random.integers(0, 2, size=20_000)
    for name, make, plain, x, y, batch in (
        ("lr, 100,000 x 28, batch 1,000", logistic_regression, _plain_logistic, dense, classes, 1000),
        ("svm, 100,000 x 28, batch 1,000", support_vector_machine, _plain_hinge, dense, classes, 1000),
        ("sparse_lr, 20,000 x 47,236, batch 500", logistic_regression, _plain_logistic, sparse, sparse_classes, 500),
    ):
        ours = _our_epoch(make(x.shape[1], 2), x, y, batch)
        floor_s, ours_s = in_turns(REPETITIONS, _plain_epoch(plain, x, y, batch), ours)
        yield Figure(
            name=f"epoch of 1 worker, {name}",
            unit="ms",
            floor_name="a loop by hand, without the loss",
            floor=scaled(floor_s, 1e3),
            ours=scaled(ours_s, 1e3),
            goal=Goal(2),
        )


def _our_epoch(model: LinearModel, x: Rows, y: Classes, batch: int) -> Step:
    def epoch() -> None:
        parameters = model.initial(0)
        for start in range(0, len(y), batch):
            rows = slice(start, start + batch)
            _, gradient, samples = model.loss_and_gradient(parameters, x[rows], y[rows])
            parameters -= LEARNING_RATE / np.float32(samples) * gradient

    return epoch


def _plain_epoch(residual: Callable[[Parameters, Parameters], Parameters], x: Rows, y: Classes, batch: int) -> Step:
    """Return a hand-written epoch that computes only the gradient: no loss, and labels converted in advance."""
    labels = y.astype(np.float32)

    def epoch() -> None:
        weights, bias = np.zeros(x.shape[1], np.float32), np.float32(0)
        for start in range(0, len(labels), batch):
            rows = slice(start, start + batch)
            residuals = residual(x[rows] @ weights + bias, labels[rows])
            weights -= LEARNING_RATE / np.float32(batch) * (x[rows].T @ residuals)
            bias -= LEARNING_RATE / np.float32(batch) * residuals.sum()

    return epoch


def _plain_logistic(margins: Parameters, labels: Parameters) -> Parameters:
    return np.float32(1) / (np.float32(1) + np.exp(-margins)) - labels


def _plain_hinge(margins: Parameters, labels: Parameters) -> Parameters:
    signs = 2 * labels - 1
    return np.where(signs * margins < 1, -signs, np.float32(0))

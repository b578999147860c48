"""Training steps beside a plain NumPy (or SciPy) loop over the same rows: `make bench`.

Ours and the floor take turns in one process, so a busy machine slows both; what counts is their ratio.
"""

import statistics
import time
from collections.abc import Callable

import numpy as np
import scipy.sparse
from rich.console import Console
from rich.table import Table

from training.model.base import Classes, Parameters, Rows
from training.model.linear import LinearModel, logistic_regression, support_vector_machine

REPETITIONS = 15
LEARNING_RATE = np.float32(0.1)

Step = Callable[[], None]


def main() -> None:
    """Prints one line per figure."""
    random = np.random.default_rng(0)
    dense = random.normal(size=(100_000, 28)).astype(np.float32)
    classes = (dense @ random.normal(size=28) > 0).astype(np.int64)
    sparse = scipy.sparse.random_array((20_000, 47_236), density=0.0016, format="csr", dtype=np.float32, rng=random)
    sparse_classes = random.integers(0, 2, sparse.shape[0])
    table = Table("epoch of 1 worker", "floor ms", "ours ms", "ratio", "goal", box=None, pad_edge=False)
    for name, make, plain, x, y, batch in (
        ("lr, 100,000 x 28, batch 1,000", logistic_regression, _plain_logistic, dense, classes, 1000),
        ("svm, 100,000 x 28, batch 1,000", support_vector_machine, _plain_hinge, dense, classes, 1000),
        ("sparse_lr, 20,000 x 47,236, batch 500", logistic_regression, _plain_logistic, sparse, sparse_classes, 500),
    ):
        floor, ours = _in_turns(_plain_epoch(plain, x, y, batch), _our_epoch(make(x.shape[1], 2), x, y, batch))
        table.add_row(name, f"{1e3 * floor:.1f}", f"{1e3 * ours:.1f}", f"{ours / floor:.2f}", "2")
    Console().print(table)


def _in_turns(floor: Step, ours: Step) -> tuple[float, float]:
    """Median seconds of both, taken in turns."""
    seconds: tuple[list[float], list[float]] = ([], [])
    for _ in range(REPETITIONS):
        for step, taken in zip((floor, ours), seconds, strict=True):
            started = time.perf_counter()
            step()
            taken.append(time.perf_counter() - started)
    return statistics.median(seconds[0]), statistics.median(seconds[1])


def _our_epoch(model: LinearModel, x: Rows, y: Classes, batch: int) -> Step:
    def epoch() -> None:
        parameters = model.initial(0)
        for start in range(0, len(y), batch):
            rows = slice(start, start + batch)
            _, gradient, samples = model.loss_and_gradient(parameters, x[rows], y[rows])
            parameters -= LEARNING_RATE / np.float32(samples) * gradient

    return epoch


def _plain_epoch(residual: Callable[[Parameters, Parameters], Parameters], x: Rows, y: Classes, batch: int) -> Step:
    """What one would write by hand for the gradient alone: no loss, labels converted beforehand."""
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
    return 1 / (1 + np.exp(-margins)) - labels


def _plain_hinge(margins: Parameters, labels: Parameters) -> Parameters:
    signs = 2 * labels - 1
    return np.where(signs * margins < 1, -signs, np.float32(0))


if __name__ == "__main__":
    main()

"""How quick the processor is: matrix products, and the rounds of a logistic regression.

A function with less than one virtual CPU is given its share in slices, so a rate is taken over whole seconds.
"""

import time
from collections.abc import Callable

import numpy as np

# As in pywren's and Lithops' benchmarks of Lambda: double precision.
MATRIX_ROWS = 512
# A batch of HIGGS, which fits the second-level cache of a server's core.
BATCH_ROWS, FEATURES = 2_000, 28
_CALLS_AT_ONCE = 8


def matrix_gflops(seconds: float, now: Callable[[], float] = time.perf_counter) -> float:
    """Return how many GFLOP/s products of square matrices reach."""
    left = np.random.default_rng(0).random((MATRIX_ROWS, MATRIX_ROWS))
    product = np.empty_like(left)
    rate = _calls_per_s(lambda: np.matmul(left, left, out=product), seconds, now)
    return 2 * MATRIX_ROWS**3 * rate / 1e9


def training_rounds(seconds: float, now: Callable[[], float] = time.perf_counter) -> float:
    """Return how many rounds a second a logistic regression computes: gradients of `BATCH_ROWS` rows, nothing else."""
    rng = np.random.default_rng(0)
    x = rng.standard_normal((BATCH_ROWS, FEATURES), np.float32)
    y = (rng.random(BATCH_ROWS) < 0.5).astype(np.float32)
    parameters = np.zeros(FEATURES, np.float32)

    def compute() -> None:
        scores = 1 / (1 + np.exp(-(x @ parameters)))
        parameters[:] -= 1e-4 * (x.T @ (scores - y))

    return _calls_per_s(compute, seconds, now)


def _calls_per_s(call: Callable[[], object], seconds: float, now: Callable[[], float]) -> float:
    call()  # the first one allocates, and starts the library's threads
    started, calls, took = now(), 0, 0.0
    while took < seconds:
        for _ in range(_CALLS_AT_ONCE):
            call()
        calls += _CALLS_AT_ONCE
        took = now() - started
    return calls / took

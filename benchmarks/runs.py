"""Measure `harness run` on a running stack with warm environments: throughput, overhead around training, wall time.

The floor of the throughput is one process that gets the same objects from the same S3, decodes them with NumPy, and
takes the same steps over the same global batches in a hand-written loop, without the loss.
"""

import io
import statistics
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from benchmarks.figure import Figure, Goal
from benchmarks.stage import Run, Stage, stage
from benchmarks.turns import timed

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

ROWS, BATCH, EPOCHS, VALID_RATIO = 100_000, 1000, 2, 0.1
REPETITIONS = 5
LEARNING_RATE = np.float32(0.1)
# Million rows per second of the original project on the development machine: 2 cores, the same rows and batches.
ORIGINAL = {"reduce": 0.0167, "reduce_scatter": 0.0245}
CASES = ((2, "reduce"), (4, "reduce_scatter"), (4, "auto"))
# The minimum for any client: start Python, import boto3, reach the function.
FIRST_ANSWER = """
import boto3
boto3.client("lambda").invoke(FunctionName="linear_ec_2", InvocationType="DryRun")
"""


def runs() -> Iterator[Figure]:
    """Measure all figures of warm runs."""
    with stage() as own:
        for workers, mode in CASES:
            _run(own, workers, mode)  # starts the environments and creates the partitions
        taken: dict[tuple[int, str], list[Run]] = {case: [] for case in CASES}
        plain: dict[tuple[int, str], list[float]] = {case: [] for case in CASES}
        fetch: list[float] = []
        start: list[float] = []
        for _ in range(REPETITIONS):
            for case in CASES:
                run = _run(own, *case)
                taken[case].append(run)
                plain[case].append(_plain_rows_per_s(own.clients.s3, run.summary["job"]["data_bucket"], case[0]))
            bucket = taken[2, "reduce"][0].summary["job"]["data_bucket"]
            fetch.append(timed(partial(_fetch, own.clients.s3, bucket, 2))[0])
            start.append(timed(partial(own.python, "-c", FIRST_ANSWER))[0])
    for case in CASES:
        yield _throughput(*case, plain[case], taken[case])
    yield Figure(
        name="handler outside of training, 2 workers, warm",
        unit="ms",
        floor_name="boto3 gets the partitions, one copy of them",
        floor=tuple(1e3 * seconds for seconds in fetch),
        ours=tuple(1e3 * _outside(run) for run in taken[2, "reduce"]),
        goal=Goal(60, "value"),
    )
    yield Figure(
        name="harness run, 4 workers, warm: the whole command",
        unit="s",
        floor_name="Python with boto3, one dry invocation",
        floor=tuple(start),
        ours=tuple(run.seconds for run in taken[4, "auto"]),
        goal=Goal(1, "value"),
    )


def _run(own: Stage, workers: int, mode: str) -> Run:
    numbers = {"n-workers": workers, "batch-size": BATCH, "n-epochs": EPOCHS, "valid-ratio": VALID_RATIO}
    flags = [text for name, value in numbers.items() for text in (f"--{name}", str(value))]
    data = f"synthetic:rows={ROWS},features=28"
    return own.run("--data", data, "--model", "lr", "--optim", "grad_avg", "--sync-mode", mode, *flags)


def _throughput(workers: int, mode: str, floor: list[float], runs: list[Run]) -> Figure:
    ours = tuple(run.summary["rows_per_s"] / 1e6 for run in runs)
    original = ORIGINAL.get(mode)
    note = ", ".join(runs[0].summary["exchange"]["collectives"])
    if original:
        note = f"the original: {original:g}; {statistics.median(ours) / original:.0f} times that"
    return Figure(
        name=f"handler throughput, {workers} workers, {mode}",
        unit="M rows/s",
        floor_name="NumPy by hand in one process, S3 included",
        floor=tuple(floor),
        ours=ours,
        goal=Goal(4, "value", at_least=True),
        more_is_better=True,
        note=note,
    )


def _outside(run: Run) -> float:
    """Return the seconds of the slowest handler outside of the training phase."""
    return max(float(worker["seconds"] - worker["phases"]["train"]) for worker in run.workers)


def _fetch(s3: "S3Client", bucket: str, workers: int) -> None:
    """Get all partitions concurrently, as the workers do, into preallocated memory."""
    with ThreadPoolExecutor(workers) as pool:
        for body in pool.map(lambda rank: _object(s3, bucket, rank, workers), range(workers)):
            np.copyto(np.empty(len(body), np.uint8), np.frombuffer(body, np.uint8))


def _object(s3: "S3Client", bucket: str, rank: int, workers: int) -> bytes:
    return s3.get_object(Bucket=bucket, Key=f"{rank}_{workers}")["Body"].read()


def _plain_rows_per_s(s3: "S3Client", bucket: str, workers: int) -> float:
    """Return the million rows per second of a hand-written loop over the same rows, from S3 to the last step."""
    started = time.perf_counter()
    parts = []
    for rank in range(workers):
        with np.load(io.BytesIO(_object(s3, bucket, rank, workers))) as arrays:
            rows = len(arrays["y"]) - int(VALID_RATIO * len(arrays["y"]))
            parts.append((arrays["x"][:rows], (arrays["y"][:rows] > 0).astype(np.float32)))
    x, y = (np.concatenate(arrays) for arrays in zip(*parts, strict=True))
    weights, bias = np.zeros(x.shape[1], np.float32), np.float32(0)
    for _ in range(EPOCHS):
        for start in range(0, len(y), workers * BATCH):
            rows_now = slice(start, start + workers * BATCH)
            residuals = 1 / (1 + np.exp(-(x[rows_now] @ weights + bias))) - y[rows_now]
            step = LEARNING_RATE / np.float32(len(residuals))
            weights -= step * (residuals @ x[rows_now])
            bias -= step * residuals.sum()
    return EPOCHS * len(y) / (time.perf_counter() - started) / 1e6

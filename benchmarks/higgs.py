"""Measure a data set of HIGGS's size, or of a tenth of it: partitioning, loading and training, a worker's memory.

HIGGS has 11,000,000 rows of 28 features (Baldi, Sadowski and Whiteson 2014); the rows here are synthetic.

The floor of loading and training is one NumPy process that does the same: it gets the same objects from the same S3,
takes the same steps over the same global batches with the loss of each, and evaluates the model on all rows at the end.
"""

import statistics
from collections.abc import Iterator
from functools import partial

from benchmarks.figure import Figure, Goal, Topic
from benchmarks.own_steps import own_steps
from benchmarks.partitioning import bucket_of, figures_of, made_file
from benchmarks.stage import Run, Stage, stage

ROWS, FEATURES = 11_000_000, 28
TENTH = 0.1
WORKERS, BATCH, VALID_RATIO, RATE = 4, 10_000, 0.1, 0.1
REPETITIONS = 3
# A partition of so few rows that a worker's memory is that of its interpreter and its libraries.
FEW_ROWS = 4_000


def higgs(scale: float = TENTH) -> Iterator[Figure]:
    """Measure all figures.

    Args:
        scale: The share of HIGGS's rows; 1 for all.
    """
    rows = round(scale * ROWS)
    with stage() as own:
        few = _run(own, f"synthetic:rows={FEW_ROWS},features={FEATURES}")  # starts the environments, too
        yield from figures_of(own, made_file(own, rows), rows, 1 if scale == 1 else REPETITIONS)
        ours: list[Run] = []
        floor: list[float] = []
        for _ in range(REPETITIONS):
            floor.append(_plain_rows_per_s(own))
            ours.append(_run(own, f"s3://{bucket_of(0)}"))
    yield Figure(
        name=f"load and train {rows:,} rows, {WORKERS} workers, batch {BATCH:,}, 1 epoch",
        unit="M rows/s",
        floor_name="one NumPy process that does the same",
        floor=tuple(floor),
        ours=tuple(run.summary["rows_per_s"] / 1e6 for run in ours),
        goal=Goal(0.7, at_least=True),
        more_is_better=True,
        note=", ".join(f"{phase} {ours[-1].summary['seconds'][phase]:.2f} s" for phase in ("load", "train")),
    )
    idle_mb = statistics.median(_peak_mb(few))
    held_mb = max(worker["rows"] + worker["valid_rows"] for worker in ours[-1].workers) * 4 * (FEATURES + 1) / 2**20
    beyond_mb = 0.0 if scale == 1 else idle_mb
    yield Figure(
        name=f"memory of the largest worker of {rows:,} rows" + ("" if scale == 1 else ", without its libraries"),
        unit="MB",
        floor_name="its rows: features and labels in float32",
        floor=(held_mb,),
        ours=tuple(max(_peak_mb(run)) - beyond_mb for run in ours),
        goal=Goal(1.3) if scale == 1 else None,
        note=f"interpreter and libraries: {idle_mb:.0f} MB",
    )
    yield from own_steps()


def of_whole_size() -> Topic:
    """Return the topic with all of HIGGS's rows."""
    return partial(higgs, 1.0)


def _run(own: Stage, data: str) -> Run:
    numbers = {"n-workers": WORKERS, "batch-size": BATCH, "n-epochs": 1, "valid-ratio": VALID_RATIO, "lr": RATE}
    flags = [text for name, value in numbers.items() for text in (f"--{name}", str(value))]
    return own.run("--data", data, "--model", "lr", "--optim", "grad_avg", *flags)


def _peak_mb(run: Run) -> list[float]:
    return [float(worker["max_rss_mb"]) for worker in run.workers]


def _plain_rows_per_s(own: Stage) -> float:
    """Return the million training rows per second of the NumPy process."""
    numbers = (WORKERS, BATCH, VALID_RATIO, RATE)
    return float(own.python("-m", "benchmarks.plain", bucket_of(0), *map(str, numbers)))

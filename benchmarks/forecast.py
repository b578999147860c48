"""`make bench-forecast`: compare `harness forecast` with `harness run --network`, for 12 jobs not fitted to.

Each job is run once with few workers and without an emulated network. From that run alone, and the figures of a
preset, `harness forecast` says how long the job takes with more workers; then the job is run with so many workers
under an emulated network with the same figures. The table shows the errors of the medians, of the whole run and of a
round.

The machine has few cores, and is not what is to be forecast: presets are dilated (`benchmarks/dilation.py`), so that
workers wait more than they compute.

    python -m benchmarks.forecast --only 3 --only 7
"""

import statistics
import sys
import time
from collections.abc import Iterable
from dataclasses import dataclass, field
from os import environ
from pathlib import Path
from typing import Any

import click
import msgspec

from benchmarks.dilation import write_dilated
from benchmarks.machine import this_machine
from benchmarks.screen import print_table
from benchmarks.stage import HARNESS, project_folder, run_python

# Errors of the median job and of the worst one, in percent.
MEDIAN_GOAL, WORST_GOAL = 10.0, 20.0
HEADINGS = ("job", "workers", "zones", "part", "collective", "x", "round ms: forecast", "run", "error")
TOTALS = ("total s: forecast", "p10 to p90", "run", "error")

# Of every run; each has a stack of its own, so that all environments are cold.
_RUN = ("--json", "--quiet", "--s3", "moto")
# What a job trains, by the size of the part that a worker exchanges in a round.
MODELS = {
    "29 floats": ("--model", "lr", "--data", "synthetic:rows={rows},features=28"),
    "189 KB": ("--model", "sparse_lr", "--data", "synthetic-sparse:rows={rows},features=47236,density=0.0016"),
    "1 MB": ("--model", "mlp", "--hidden-units", "500", "--data", "synthetic:rows={rows},features=498"),
    "4 MB": ("--model", "mlp", "--hidden-units", "998", "--data", "synthetic:rows={rows},features=1000"),
}


@dataclass(frozen=True, slots=True)
class ForecastJob:
    """A job, and the network that it is run on.

    Attributes:
        workers: The number of workers.
        part: What they exchange, one of `MODELS`.
        collective: The collective.
        factor: How many times as slow as AWS's the network is.
        rounds: The rounds of an epoch.
        epochs: The epochs.
        measured_with: The workers of the run that the forecast is made from.
        zones: The number of zones that the workers are in.
        batch: A worker's rows of a round.
        changed: Figures that differ from the default preset's.
    """

    workers: int
    part: str
    collective: str
    factor: float
    rounds: int = 40
    epochs: int = 5
    measured_with: int = 2
    zones: int = 1
    batch: int = 4
    changed: dict[str, float] = field(default_factory=dict)

    @property
    def around(self) -> float:
        """Return how many times as slow as AWS's starts and S3 are: this machine's own must fit into that."""
        return max(4.0, 0.4 * self.workers)

    def flags(self, workers: int) -> list[str]:
        """Return the flags of the run with so many workers: rows, global batch and rounds are the same."""
        rows = self.rounds * self.batch * self.workers
        batch = self.batch * self.workers // workers
        numbers = {"n-workers": workers, "batch-size": batch, "n-epochs": self.epochs, "valid-ratio": 0}
        model = [text.format(rows=rows) for text in MODELS[self.part]]
        given = [text for name, value in numbers.items() for text in (f"--{name}", str(value))]
        return [*model, *given, "--optim", "grad_avg", "--sync-mode", self.collective, "--lr", "0.01"]


# A bucket that a short job empties, so that the bandwidth behind it shows; in pulses that are short when dilated.
_NO_BURST = {"function_burst": 1.0, "function_pulse": 10.0}
# Rounds stay below 0.25 s; beyond, a rank takes a wait for a long one, and asks S3 (`training.exchange.recovery`).
JOBS = (
    ForecastJob(2, "29 floats", "all_gather", 15, rounds=40, epochs=4),
    ForecastJob(4, "29 floats", "reduce", 10, rounds=40, zones=2),
    ForecastJob(8, "29 floats", "reduce_scatter", 20, rounds=20),
    ForecastJob(16, "29 floats", "two_level", 30, rounds=20, epochs=4),
    ForecastJob(32, "29 floats", "reduce", 40, rounds=25, epochs=4),
    ForecastJob(32, "29 floats", "all_gather", 40, rounds=20, epochs=4, zones=2),
    ForecastJob(4, "189 KB", "all_gather", 10, rounds=20),
    ForecastJob(8, "189 KB", "reduce", 8, rounds=20, epochs=3, changed=_NO_BURST),
    ForecastJob(16, "189 KB", "reduce_scatter", 12, rounds=20, epochs=3, changed=_NO_BURST),
    ForecastJob(2, "4 MB", "all_gather", 7, rounds=20, epochs=2, batch=2),
    ForecastJob(4, "4 MB", "reduce_scatter", 2.5, rounds=20, epochs=2, batch=2, changed=_NO_BURST),
    ForecastJob(8, "1 MB", "two_level", 6, rounds=20, epochs=2, batch=2),
)


@dataclass(frozen=True, slots=True)
class Outcome:
    """A job's forecast, and its runs on the emulated network.

    Attributes:
        number: The job's number, from 1.
        job: The job.
        forecast: The line of `harness forecast --json`.
        round_ms: The median round of each run.
        seconds: The time of each run.
    """

    number: int
    job: ForecastJob
    forecast: dict[str, Any]
    round_ms: list[float]
    seconds: list[float]

    @property
    def round_error(self) -> float:
        """Return by how many percent the forecast of a round is too high."""
        return 100 * (float(self.forecast["round_ms"]) / statistics.median(self.round_ms) - 1)

    @property
    def error(self) -> float:
        """Return by how many percent the forecast of the whole run is too high."""
        return 100 * (float(self.forecast["seconds"]) / statistics.median(self.seconds) - 1)


def outcome(folder: Path, number: int, job: ForecastJob, repetitions: int) -> Outcome:
    """Measure a job with few workers, forecast it, and run it on the emulated network."""
    preset = str(write_dilated(folder, f"dilated-{number}", job.factor, job.around, **job.changed))
    few = _harness(folder, "run", *_RUN, *job.flags(job.measured_with))
    flags = ("--preset", preset, "--zones", str(job.zones), "--workers", str(job.workers), "--json")
    told = _harness(folder, "forecast", few["run_id"], *flags)
    network = ("--network", preset, "--zones", str(job.zones))
    emulated = [
        _harness(folder, "run", *_RUN, *network, "--network-seed", str(seed), *job.flags(job.workers))
        for seed in range(repetitions)
    ]
    return Outcome(
        number=number,
        job=job,
        forecast=told["forecast"][0],
        round_ms=[summary["round_ms"]["p50"] for summary in emulated],
        seconds=[summary["seconds"]["total"] for summary in emulated],
    )


def _harness(folder: Path, *arguments: str) -> dict[str, Any]:
    return dict(msgspec.json.decode(run_python(folder, environ, *HARNESS, *arguments)))


def cells(one: Outcome) -> list[str]:
    """Return a line of the table."""
    job, line = one.job, one.forecast
    return [
        str(one.number),
        str(job.workers),
        str(job.zones),
        job.part,
        job.collective,
        f"{job.factor:g}",
        f"{line['round_ms']:.1f}",
        f"{statistics.median(one.round_ms):.1f}",
        f"{one.round_error:+.0f} %",
        f"{line['seconds']:.2f}",
        f"{line['seconds_p10']:.2f} to {line['seconds_p90']:.2f}",
        f"{statistics.median(one.seconds):.2f}",
        f"{one.error:+.0f} %",
    ]


def verdict(outcomes: Iterable[Outcome]) -> tuple[str, bool]:
    """Return a line about all errors, and whether they are within the goals."""
    errors = {
        "round": [abs(one.round_error) for one in outcomes],
        "whole run": [abs(one.error) for one in outcomes],
    }
    texts = [
        f"{name}: median error {statistics.median(of):.1f} %, largest {max(of):.1f} %" for name, of in errors.items()
    ]
    reached = all(statistics.median(of) <= MEDIAN_GOAL and max(of) <= WORST_GOAL for of in errors.values())
    return f"{'; '.join(texts)}; goal: {MEDIAN_GOAL:g} % and {WORST_GOAL:g} %", reached


@click.command()
@click.option("--only", "chosen", type=click.IntRange(1, len(JOBS)), multiple=True, help="A job; may be given again.")
@click.option("--repetitions", type=click.IntRange(1), default=3, show_default=True, help="Runs of each job.")
def main(*, chosen: tuple[int, ...], repetitions: int) -> None:
    """Print the errors of all jobs; exit code 1 when they miss the goals."""
    started, outcomes = time.monotonic(), []
    with project_folder() as settings:
        folder = settings.root
        for number in chosen or range(1, len(JOBS) + 1):
            outcomes.append(outcome(folder, number, JOBS[number - 1], repetitions))
            one = outcomes[-1]
            errors = f"round {one.round_error:+.0f} %, whole run {one.error:+.0f} %"
            click.echo(f"job {number}: {errors}, {time.monotonic() - started:.0f} s", err=True)
    print_table([*HEADINGS, *TOTALS], map(cells, outcomes))
    line, reached = verdict(outcomes)
    click.echo(line)
    click.echo(str(this_machine()))
    sys.exit(0 if reached else 1)


if __name__ == "__main__":
    main()

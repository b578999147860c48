"""Compare our forecast with runs on AWS that others have published with their inputs.

    python -m benchmarks.published_runs

lambdaDNN (Xu et al., IEEE Transactions on Computers 71(2), 2022; github.com/icloud-ecnu/lambdadnn) trained ResNet50 on
CIFAR-10 for one epoch on Lambda functions of us-east-1 in 2020. Its functions push gradients to a parameter server on
an m5.large and pull parameters from it; ours have no server, and exchange through a cache. The inputs are the paper's:

    iterations    floor(50,000 / functions / batch), as its Predictor.py counts them
    computing     batch / R, with R = 0.003 MB + 11.3 images a second, measured on one function (table 5)
    model, data   98 MB and 148 MB (table 5)

Each run is forecast twice: from the rate measured on one function, and from the run of lambdaDNN's own plan.
docs/forecast.md says what follows from the table.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace

import click

from benchmarks.screen import print_table
from harness.presets.preset import load_preset
from harness.report.assumptions import default_assumptions
from harness.report.forecast import Forecast, forecast
from harness.report.measurements import Measured

IMAGES, DATA_BYTES, MODEL_BYTES = 50_000, 148_000_000, 98_000_000
# USD: a GB-second of Lambda, and a second of the parameter server as Predictor.py prices it (m5.large).
GB_S_USD, SERVER_S_USD = 0.0000166667, 2.6e-5
# MB/s between a function and the parameter server (section 5.1).
SERVER_BANDWIDTH = 84.0
# The collective with which the exchange of such a model is quickest; no collective of ours is a parameter server.
COLLECTIVE = "reduce_scatter"
# The paper measured a function's bandwidth as a constant; today's burst would carry a round's bytes nearly alone.
ASSUMED = replace(default_assumptions(), preset=load_preset(overrides=["function_burst=0"]))


@dataclass(frozen=True, slots=True)
class PublishedRun:
    """A run of one epoch of ResNet50 on CIFAR-10.

    Attributes:
        plan: Its name in the paper.
        functions: The number of functions.
        batch: The images of an iteration on each function.
        memory_mb: The memory of a function.
        seconds: The time that was measured.
        usd: The cost that was published; 0 if none was.
    """

    plan: str
    functions: int
    batch: int
    memory_mb: int
    seconds: float
    usd: float = 0.0

    @property
    def iterations(self) -> int:
        """Return the number of iterations of the epoch; a last partial batch is left out."""
        return IMAGES // self.functions // self.batch

    @property
    def compute_s(self) -> float:
        """Return the seconds of one iteration's gradient on one function, from the rate measured on one function."""
        return self.batch / (0.003 * self.memory_mb + 11.3)

    @property
    def lambda_usd(self) -> float:
        """Return what the functions cost for the published seconds."""
        return self.functions * self.memory_mb / 1024 * self.seconds * GB_S_USD

    @property
    def own_forecast_s(self) -> float:
        """Return what the paper's formula (equations 1 to 8) says for the paper's inputs."""
        load_s = DATA_BYTES / self.functions / 115e6
        exchange_s = 2 * MODEL_BYTES / (SERVER_BANDWIDTH * 1e6)
        return load_s + self.iterations * (self.compute_s + exchange_s)


# Table 3. Siren's 9 x 128 images a round are more than the 1,024 that the paper allows itself elsewhere.
TABLE_3 = (
    PublishedRun("lambdaDNN", 8, 128, 2560, 573.34, 0.2036),
    PublishedRun("Naive", 8, 64, 3008, 703.95, 0.2940),
    PublishedRun("Siren", 9, 128, 2816, 528.96, 0.2319),
)
# Figure 8b, read from the heights of its bars (about 1 s): means of three runs with 8 functions and batches of 128.
FIGURE_8B = tuple(
    PublishedRun("figure 8b", 8, 128, memory_mb, seconds)
    for memory_mb, seconds in ((2496, 526.0), (2624, 513.0), (2752, 503.0), (2880, 479.0), (3008, 466.0))
)


def measured(run: PublishedRun, compute_s: float) -> Measured:
    """Return a published run as our forecast takes it: its rounds, bytes and seconds of computing in a round."""
    return Measured(
        run_id=run.plan,
        sync_mode=COLLECTIVE,
        workers=run.functions,
        rows=IMAGES,
        data_bytes=DATA_BYTES,
        part_bytes=MODEL_BYTES,
        rounds=run.iterations,
        other_all_reduces=0,
        round_rows=run.functions * run.batch,
        compute_s=run.functions * compute_s,
        evaluation_s=0.0,
        decode_s=0.0,
        max_rss_mb=0.0,
    )


def from_rate(run: PublishedRun) -> Forecast:
    """Forecast a run from the rate that was measured on one function."""
    (line,) = forecast(measured(run, run.compute_s), [run.functions], [run.memory_mb], ASSUMED)
    return line


def from_run(run: PublishedRun, known: PublishedRun) -> Forecast:
    """Forecast a run from another one: the seconds of computing are what our exchange leaves of the known run's."""
    without = from_rate(known)
    compute_s = (known.seconds - without.load_s - without.start_s - without.exchange_s) / known.iterations
    per_image_s = compute_s / known.batch
    (line,) = forecast(measured(run, run.batch * per_image_s), [run.functions], [run.memory_mb], ASSUMED)
    return line


def cost_rows() -> Iterator[list[str]]:
    """Yield, for each published cost, what memory, time and prices say."""
    for run in TABLE_3:
        server_usd = run.seconds * SERVER_S_USD
        total = run.lambda_usd + server_usd
        numbers = (run.usd, run.lambda_usd, server_usd, total)
        yield [run.plan, *(f"{usd:.4f}" for usd in numbers), f"{100 * (run.usd / total - 1):+.1f} %"]


def time_rows(runs: Iterable[PublishedRun]) -> Iterator[list[str]]:
    """Yield, for each run, the measured time beside those of three forecasts."""
    for run in runs:
        rate, other = from_rate(run), from_run(run, TABLE_3[0])
        forecasts = (run.own_forecast_s, rate.seconds, other.seconds)
        cells = [f"{seconds:.0f} ({100 * (seconds / run.seconds - 1):+.0f} %)" for seconds in forecasts]
        yield [
            run.plan,
            f"{run.functions} x {run.memory_mb:,} MB",
            str(run.batch),
            str(run.iterations),
            f"{run.seconds:.0f}",
            *cells,
            f"{rate.exchange_s / run.iterations:.2f}",
        ]


@click.command()
def main() -> None:
    """Print the published costs beside memory x time x price, and the published times beside forecasts."""
    click.echo("Costs in USD, published and computed from the published seconds:\n")
    print_table(["plan", "published", "functions", "server", "sum", "published is"], cost_rows())
    click.echo("\nSeconds, published and forecast:\n")
    headings = ["plan", "functions", "batch", "rounds", "published", "paper's formula", "ours, from the rate"]
    print_table([*headings, "ours, from lambdaDNN's run", "our exchange, s"], time_rows((*TABLE_3, *FIGURE_8B)))


if __name__ == "__main__":
    main()

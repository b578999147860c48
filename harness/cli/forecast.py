"""`harness forecast`: estimate the time and cost of a run on AWS."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from harness.cli.forecast_options import as_assumed, assumption_options, assumptions_of
from harness.cli.model_options import settings_with_models
from harness.cli.numbers import Number
from harness.cli.run_argument import named_run
from harness.cli.target_options import Where, place_options

if TYPE_CHECKING:
    from harness.report.choice import Limit

AUTO = "auto"
_SECONDS = {"s": 1.0, "m": 60.0, "h": 3600.0}


class Numbers(click.ParamType[list[int]]):
    """Whole numbers separated by commas.

    Args:
        least: The smallest.
        most: The largest.
        word: A word that is allowed in their place, and gives an empty list; None for none.
    """

    name = "N,N,..."

    def __init__(self, least: int, most: int, word: str | None = None) -> None:
        self._least, self._most, self._word = least, most, word

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> list[int]:  # noqa: ANN401 - click's signature
        """Parse the numbers."""
        if isinstance(value, list):
            return value
        if self._word is not None and value == self._word:
            return []
        try:
            numbers = [int(word) for word in str(value).split(",")]
        except ValueError:
            numbers = []
        if not numbers or not all(self._least <= number <= self._most for number in numbers):
            other = f", or {self._word}" if self._word is not None else ""
            self.fail(f"{value!r}: give whole numbers from {self._least} to {self._most}, as 2,4,8{other}", param, ctx)
        return list(dict.fromkeys(numbers))


class TimeSpan(click.ParamType[float]):
    """A time with its unit."""

    name = "TIME"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:  # noqa: ANN401 - click's signature
        """Return the seconds."""
        if isinstance(value, float):
            return value
        text = str(value).strip()
        try:
            seconds = float(text[:-1]) * _SECONDS[text[-1:]]
        except (ValueError, KeyError):
            seconds = 0.0
        if not 0 < seconds < float("inf"):
            self.fail(f"{value!r}: give a number above 0 with its unit, as 90s, 15m or 2h", param, ctx)
        return seconds


@click.command()
@click.argument("run_id")
# The limits of a job's `n_workers`, and of Lambda's memory sizes.
@click.option(
    "--workers",
    type=Numbers(1, 1000, AUTO),
    default="2,4,8,16,32,64,128",
    show_default=True,
    help="Estimate for these numbers of workers; `auto` finds the best one for --deadline or --budget.",
)
@click.option(
    "--memory-mb",
    type=Numbers(128, 10_240),
    help="Estimate for these memory sizes of a worker.  [default: from harness.toml]",
)
@click.option("--deadline", type=TimeSpan(), help="With --workers auto: find the cheapest that ends within it, as 60s.")
@click.option(
    "--budget",
    type=Number(0, min_open=True),
    help="With --workers auto: find the quickest that costs no more, USD.",
)
@click.option(
    "--plot",
    "plots",
    type=click.Path(path_type=Path, dir_okay=False),
    multiple=True,
    help="Draw cost against time in this file, .svg or .png; repeatable.",
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object, including all that is assumed.")
@place_options
@assumption_options
def command(
    *,
    run_id: str,
    workers: list[int],
    memory_mb: list[int] | None,
    deadline: float | None,
    budget: float | None,
    plots: tuple[Path, ...],
    as_json: bool,
    where: Where,
    **flags: Any,  # noqa: ANN401 - an option for each figure and rate
) -> None:
    """Estimate the time and cost of run RUN_ID on AWS, for other numbers of workers and memory sizes.

    The run is one that is kept, or on the stack that is up, or with --target in the deployment; the beginning of its
    id is enough, and `last` is the newest.
    The training stays the same: the run's global batch and rounds are divided among more or fewer workers.
    Rows, bytes and processor time are measured in the run; all of AWS is an option below, with its source.
    What varies is drawn 400 times: p10 to p90 is the band of eight of ten such runs.

    \b
    Examples:
      harness forecast last --workers 2,8,32 --memory-mb 1024,1769 --plot forecast.svg
      harness forecast last --workers auto --deadline 60s
    """
    from dataclasses import asdict

    from harness.cli._forecast_table import print_forecasts
    from harness.report.choice import choose
    from harness.report.forecast import forecast
    from harness.report.measured import measured_run
    from harness.report.plot import check_picture, draw_forecast
    from harness.runs.declared import COORDINATOR, declared
    from harness.runs.places import bytes_of
    from harness.runs.worker import worker_table

    limit = _limit(workers, deadline, budget)
    for path in plots:
        check_picture(path)
    settings = settings_with_models()
    folder = named_run(run_id, where, settings)
    measured, job = measured_run(folder, bytes_of(folder))
    run = as_assumed(measured, flags)
    sizes = memory_mb or [worker_table(settings, job).memory_mb]
    assumed = assumptions_of(flags, where.region, declared(settings, COORDINATOR).memory_mb)
    choice = choose(run, sizes, assumed, limit) if limit is not None else None
    rows = [choice.best] if choice is not None else list(forecast(run, workers, sizes, assumed))
    for path in plots:
        draw_forecast(choice.tried if choice is not None else rows, path, f"{run.run_id} on {assumed.preset.name}")
    if as_json:
        told: dict[str, Any] = {
            "run": asdict(run),
            "constants": assumed.described(),
            "forecast": [asdict(row) for row in rows],
        }
        if choice is not None and limit is not None:
            told["choice"] = {**asdict(limit), "share": choice.share, "tried": [asdict(one) for one in choice.tried]}
        click.echo(json.dumps(told))
        return
    print_forecasts(rows)
    if choice is not None and limit is not None:
        best = "cheapest" if limit.deadline_s is not None else "quickest"
        click.echo(f"the {best} within {limit}: {choice.share:.0%} of the samples keep to it")
    for text in run.assumed:
        click.echo(f"assumed: {text}")


def _limit(workers: list[int], deadline: float | None, budget: float | None) -> "Limit | None":
    """Return the limit for `--workers auto`; None for given numbers of workers.

    Raises:
        click.UsageError: There is none for `auto`, there are two, or one without `auto`.
    """
    from harness.report.choice import Limit

    given = [value for value in (deadline, budget) if value is not None]
    if workers:
        if given:
            raise click.UsageError("--deadline and --budget need --workers auto")
        return None
    if len(given) != 1:
        raise click.UsageError("--workers auto needs one of --deadline and --budget, as --deadline 60s")
    return Limit(deadline, budget)

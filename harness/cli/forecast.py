"""`harness forecast`: estimate the time and cost of a run on AWS."""

import json
from collections.abc import Callable
from typing import Any

import click

from harness.cli.model_options import settings_with_models
from harness.cli.run_argument import named_run
from harness.cli.target_options import Where, place_options
from harness.report.constants import CONSTANTS

PREFIX = "constant_"


class Numbers(click.ParamType[list[int]]):
    """Whole numbers separated by commas."""

    name = "N,N,..."

    def __init__(self, least: int, most: int) -> None:
        self._least, self._most = least, most

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> list[int]:  # noqa: ANN401 - click's signature
        """Parse the numbers."""
        if isinstance(value, list):
            return value
        try:
            numbers = [int(word) for word in str(value).split(",")]
        except ValueError:
            numbers = []
        if not numbers or not all(self._least <= number <= self._most for number in numbers):
            self.fail(f"{value!r}: give whole numbers from {self._least} to {self._most}, as 2,4,8", param, ctx)
        return numbers


def _constant_options(function: Callable[..., None]) -> Callable[..., None]:
    """Add one option for each constant of AWS."""
    for constant in reversed(CONSTANTS):
        integer = isinstance(constant.value, int)
        option = click.option(
            f"--{constant.name.replace('_', '-')}",
            PREFIX + constant.name,
            type=click.IntRange(1, 1000) if integer else click.FloatRange(0, min_open=constant.positive),
            default=constant.value,
            show_default=True,
            help=f"{constant.unit}; {constant.source}.",
        )
        function = option(function)
    return function


@click.command()
@click.argument("run_id")
# The limits of a job's `n_workers`, and of Lambda's memory sizes.
@click.option(
    "--workers",
    type=Numbers(1, 1000),
    default="2,4,8,16,32,64,128",
    show_default=True,
    help="Estimate for these numbers of workers.",
)
@click.option(
    "--memory-mb",
    type=Numbers(128, 10_240),
    help="Estimate for these memory sizes of a worker.  [default: from harness.toml]",
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object, including the constants.")
@place_options
@_constant_options
def command(
    *,
    run_id: str,
    workers: list[int],
    memory_mb: list[int] | None,
    as_json: bool,
    where: Where,
    **flags: float,
) -> None:
    """Estimate the time and cost of run RUN_ID on AWS, for other numbers of workers and memory sizes.

    The run is one that is kept, or on the stack that is up, or with --target in the deployment; the beginning of its
    id is enough, and `last` is the newest.
    The training stays the same: the run's global batch and rounds are divided among more or fewer workers.
    Rows, bytes and processor time are measured in the run; each constant of AWS is an option below, with its source.

    \b
    Example:
      harness forecast 20261123-151538-367b1d --workers 2,8,32 --memory-mb 1024,1769
    """
    from dataclasses import asdict

    from harness.cli._table import TableColumn, figures, print_table
    from harness.report.forecast import constants, forecast
    from harness.report.measured import measured_run
    from harness.runs.places import bytes_of
    from harness.runs.worker import worker_table

    settings = settings_with_models()
    folder = named_run(run_id, where, settings)
    values = constants({name.removeprefix(PREFIX): value for name, value in flags.items()})
    run, job = measured_run(folder, bytes_of(folder))
    sizes = memory_mb or [worker_table(settings, job).memory_mb]
    rows = list(forecast(run, workers, sizes, values))
    if as_json:
        click.echo(json.dumps({"run": asdict(run), "constants": values, "forecast": [asdict(row) for row in rows]}))
        return
    cells = []
    for row in rows:
        times = (row.start_s, row.load_s, row.exchange_s, row.compute_s, row.seconds)
        numbers = (str(row.workers), str(row.memory_mb), *(f"{seconds:.2f}" for seconds in times), f"{row.usd:.6f}")
        cells.append((*numbers, row.collective, row.note))
    columns = figures("workers", "MB", "start s", "load s", "exchange s", "compute s", "total s", "USD")
    print_table([*columns, TableColumn("collective", folds=True), TableColumn("note", folds=True)], cells)

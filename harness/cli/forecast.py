"""`harness forecast`: estimate the time and cost of a run on AWS."""

import json
from collections.abc import Callable
from typing import Any, Literal

import click

from harness.cli.target_options import account_option, region_option, results_of, stack_option, target_option
from harness.report.constants import CONSTANTS

PREFIX = "constant_"
TABLE_WIDTH = 120


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
@target_option
@stack_option
@region_option
@account_option
@_constant_options
def command(
    *,
    run_id: str,
    workers: list[int],
    memory_mb: list[int] | None,
    as_json: bool,
    target: Literal["aws", "rehearsal"] | None,
    stack: str,
    region: str | None,
    expect_account: str | None,
    **flags: float,
) -> None:
    """Estimate the time and cost of run RUN_ID on AWS, for other numbers of workers and memory sizes.

    The run is looked up on the stack that is up, or with --target in the deployment.
    The training stays the same: the run's global batch and rounds are divided among more or fewer workers.
    Rows, bytes and processor time are measured in the run; each constant of AWS is an option below, with its source.

    \b
    Example:
      harness forecast 20261123-151538-367b1d --workers 2,8,32 --memory-mb 1024,1769
    """
    from dataclasses import asdict

    from rich.console import Console
    from rich.table import Table

    from harness.aws.errors import aws_errors
    from harness.report.forecast import constants, forecast
    from harness.report.measured import measured_run
    from harness.runs.catalogue import bucket_of_run
    from harness.runs.functions import declared
    from harness.runs.worker import worker_function
    from harness.settings import load_settings

    settings = load_settings()
    s3, buckets = results_of(target, stack, region, settings, expect_account)
    with aws_errors("looking for the run"):
        bucket = bucket_of_run(s3, buckets, run_id)
    values = constants({name.removeprefix(PREFIX): value for name, value in flags.items()})
    run, job = measured_run(s3, bucket, run_id)
    sizes = memory_mb or [declared(settings, worker_function(settings, job)).memory_mb]
    rows = list(forecast(run, workers, sizes, values))
    if as_json:
        click.echo(json.dumps({"run": asdict(run), "constants": values, "forecast": [asdict(row) for row in rows]}))
        return
    table = Table(box=None, pad_edge=False)
    for heading in ("workers", "MB", "start s", "load s", "exchange s", "compute s", "total s", "USD"):
        table.add_column(heading, justify="right")
    table.add_column("collective")
    table.add_column("note")
    for row in rows:
        times = (row.start_s, row.load_s, row.exchange_s, row.compute_s, row.seconds)
        figures = (str(row.workers), str(row.memory_mb), *(f"{seconds:.2f}" for seconds in times), f"{row.usd:.6f}")
        table.add_row(*figures, row.collective, row.note)
    # A table that goes to a file has no terminal whose width would limit it.
    console = Console(highlight=False)
    Console(highlight=False, width=max(console.width, TABLE_WIDTH)).print(table)

"""`make bench`: measure all figures beside their floors (lower bounds), and print one table.

    python -m benchmarks --only exchange --only gateway --json figures.json

Our code and the floor are measured in turns in the same run; the result is their ratio.
"""

import sys
import time
from pathlib import Path

import click

from benchmarks import results
from benchmarks.containers import containers
from benchmarks.exchange import exchange, scaling
from benchmarks.figure import BenchmarkError, Figure, Topic
from benchmarks.gateway import gateway
from benchmarks.higgs import higgs, of_whole_size
from benchmarks.machine import this_machine
from benchmarks.many_workers import many_workers
from benchmarks.network import network
from benchmarks.network_s3 import network_s3
from benchmarks.page import page
from benchmarks.partitioning import partitioning
from benchmarks.recovery import recovery
from benchmarks.runs import runs
from benchmarks.screen import print_table
from benchmarks.steps import steps
from benchmarks.views import views
from harness.errors import HarnessError
from training.errors import TrainingError

TOPICS: dict[str, Topic] = {
    "runs": runs,
    "many-workers": many_workers,
    "exchange": exchange,
    "scaling": scaling,
    "recovery": recovery,
    "steps": steps,
    "partitioning": partitioning,
    "higgs": higgs,
    "gateway": gateway,
    "views": views,
    "page": page,
    "network": network,
    "network-s3": network_s3,
    "containers": containers,
}
DEFAULT_JSON = Path(__file__).resolve().parents[1] / "build" / "bench.json"


@click.command()
@click.option("--only", "chosen", type=click.Choice(list(TOPICS)), multiple=True, help="A topic; may be given again.")
@click.option(
    "--json",
    "json_file",
    type=click.Path(path_type=Path, dir_okay=False),
    default=DEFAULT_JSON,
    help="Where all samples go.  [default: build/bench.json]",
)
@click.option(
    "--readme/--no-readme",
    default=None,
    help="Write the table into benchmarks/README.md.  [default: when all topics are measured]",
)
@click.option("--whole", is_flag=True, help="Measure the topic higgs with all 11,000,000 rows instead of a tenth.")
@click.option("--strict", is_flag=True, help="Exit with 1 also when a goal is missed.")
def main(*, chosen: tuple[str, ...], json_file: Path, readme: bool | None, whole: bool, strict: bool) -> None:
    """Measure figures beside their floors and print one table; exit code 1 when a topic fails."""
    machine = this_machine()
    topics = TOPICS | ({"higgs": of_whole_size()} if whole else {})
    figures: list[Figure] = []
    failed = []
    for name in chosen or topics:
        started = time.monotonic()
        try:
            figures += topics[name]()
        except (BenchmarkError, HarnessError, TrainingError, OSError) as error:
            failed.append(f"{name}: {error}")
        click.echo(f"{name}: {time.monotonic() - started:.0f} s", err=True)
    measured = results.Results(machine, tuple(figures))
    results.save(measured, json_file)
    print_table(results.HEADINGS, map(results.cells, figures))
    click.echo(str(machine))
    if readme or (readme is None and not chosen and not failed):
        results.update_readme(measured)
    for message in failed:
        click.echo(f"error: {message}", err=True)
    missed = [figure.name for figure in figures if figure.reached is False]
    sys.exit(1 if failed or (strict and missed) else 0)


if __name__ == "__main__":
    main()

"""Run a small job in every legal cell of the training matrix and print the results: `make matrix`.

Data sets are small and epochs few: the table shows that every cell trains, not how well it could.
"""

import sys

import click
from rich.console import Console
from rich.table import Table

from benchmarks.cells import small_job
from harness.aws.clients import clients_for
from harness.errors import HarnessError
from harness.runs.launch import run
from harness.runs.prepared import prepare_run
from harness.runs.run_target import stack_target
from harness.runs.summary import Summary
from harness.settings import load_settings
from harness.stack import stack_for_run
from training.errors import TrainingError
from training.matrix import cells


@click.command()
@click.option("--model", help="Run only the cells of this model.")
def main(*, model: str | None) -> None:
    """Print one line per cell; exit with 1 if a cell failed."""
    chosen = [cell for cell in cells() if model in (None, cell.model)]
    table = Table("model", "data", "optim", "sync", "loss", "accuracy", "rounds", "seconds", box=None, pad_edge=False)
    failed = 0
    settings = load_settings()
    with stack_for_run(settings) as stack:
        target = stack_target(stack, clients_for(stack.endpoints))
        for cell in chosen:
            data, event = small_job(cell)
            try:
                summary = run(
                    prepare_run(data, None, event), settings, target, report=lambda _: None, watch=lambda _: None
                )
            except (HarnessError, TrainingError) as error:
                failed += 1
                table.add_row(*cell, f"FAILED: {error}")
            else:
                table.add_row(*cell, *_figures(summary))
            Console(stderr=True).print(" ".join(cell), highlight=False)
    Console().print(table)
    Console().print(f"{len(chosen) - failed} of {len(chosen)} cells finished")
    sys.exit(1 if failed else 0)


def _figures(summary: Summary) -> tuple[str, ...]:
    accuracy = "-" if summary.accuracy is None else f"{summary.accuracy:.3f}"
    return f"{summary.loss:.4f}", accuracy, str(summary.rounds), f"{summary.seconds.total:.2f}"


if __name__ == "__main__":
    main()

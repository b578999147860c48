"""`harness runs`: list the runs on the stack that is up, or in a deployment."""

import json
from typing import Literal

import click

from harness.cli._terminal import printable
from harness.cli.target_options import account_option, region_option, results_of, stack_option, target_option

TABLE_WIDTH = 150


@click.command()
@click.option("--json", "as_json", is_flag=True, help="Print a JSON list.")
@target_option
@stack_option
@region_option
@account_option
def command(
    *,
    as_json: bool,
    target: Literal["aws", "rehearsal"] | None,
    stack: str,
    region: str | None,
    expect_account: str | None,
) -> None:
    """List the runs on the stack that is up, or with --target those of the deployment; the newest last.

    \b
    Example:
      harness runs --json
      harness runs --target aws
    """
    import msgspec
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    from harness.aws.errors import aws_errors
    from harness.runs.catalogue import list_runs
    from harness.settings import load_settings

    s3, buckets = results_of(target, stack, region, load_settings(), expect_account)
    with aws_errors("reading the runs"):
        runs = list_runs(s3, buckets)
    if as_json:
        click.echo(json.dumps(msgspec.to_builtins(runs)))
        return
    table = Table("run", "status", "dataset", "workers", "loss", "bucket", box=None, pad_edge=False)
    for run in runs:
        loss = "-" if run.loss is None else f"{run.loss:.4f}"
        texts = (Text(printable(text)) for text in (run.run_id, run.status, run.dataset, run.bucket))
        identity, status, dataset, bucket = texts
        table.add_row(identity, status, dataset, str(run.n_workers), loss, bucket)
    # `harness predict` needs the whole run id, so the table is never cut to the terminal's width.
    Console(width=max(Console().width, TABLE_WIDTH)).print(table)

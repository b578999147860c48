"""`harness runs`: the runs whose results lie on the stack that is up."""

import json
from typing import Literal

import click

from harness.cli.target_options import region_option, stack_option, target_of, target_option


@click.command()
@click.option("--json", "as_json", is_flag=True, help="Print a JSON list.")
@target_option
@stack_option
@region_option
def command(*, as_json: bool, target: Literal["aws", "rehearsal"] | None, stack: str, region: str | None) -> None:
    """Lists the runs on the stack that is up, or on what was deployed; the newest last.

    \b
    Example:
      harness runs --json
      harness runs --target aws
    """
    import msgspec
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    from harness.deploy.site import deployed_site
    from harness.errors import HarnessError
    from harness.runs.catalogue import list_runs
    from harness.runs.clients import clients_for
    from harness.runs.launch import RESULT_BUCKET
    from harness.runs.refusals import aws_errors
    from harness.settings import load_settings
    from harness.stack import shared_stack

    settings, bucket = load_settings(), RESULT_BUCKET
    if target is not None:
        site = deployed_site(target_of(target, region, settings), stack, click.echo)
        s3, bucket = site.clients.s3, site.bucket
    else:
        state = shared_stack(settings)
        if state is None:
            raise HarnessError("no stack is up", remedy="run `harness up` first; a run of its own keeps no results")
        s3 = clients_for(state.endpoints).s3
    with aws_errors(f"reading the runs in {bucket}"):
        runs = list_runs(s3, bucket)
    if as_json:
        click.echo(json.dumps(msgspec.to_builtins(runs)))
        return
    table = Table("run", "status", "dataset", "workers", "loss", box=None, pad_edge=False)
    for run in runs:
        loss = "-" if run.loss is None else f"{run.loss:.4f}"
        table.add_row(run.run_id, run.status, Text(run.dataset), str(run.n_workers), loss)
    Console().print(table)

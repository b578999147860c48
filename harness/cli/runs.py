"""`harness runs`: the runs whose results lie on the stack that is up."""

import json

import click


@click.command()
@click.option("--json", "as_json", is_flag=True, help="Print a JSON list.")
def command(*, as_json: bool) -> None:
    """Lists the runs on the stack that is up, the newest last.

    \b
    Example:
      harness runs --json
    """
    import msgspec
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    from harness.errors import HarnessError
    from harness.runs.catalogue import list_runs
    from harness.runs.clients import clients_for
    from harness.runs.launch import RESULT_BUCKET
    from harness.settings import load_settings
    from harness.stack import shared_stack

    stack = shared_stack(load_settings())
    if stack is None:
        raise HarnessError("no stack is up", remedy="run `harness up` first; a run of its own keeps no results")
    runs = list_runs(clients_for(stack.endpoints).s3, RESULT_BUCKET)
    if as_json:
        click.echo(json.dumps(msgspec.to_builtins(runs)))
        return
    table = Table("run", "status", "dataset", "workers", "loss", box=None, pad_edge=False)
    for run in runs:
        loss = "-" if run.loss is None else f"{run.loss:.4f}"
        table.add_row(run.run_id, run.status, Text(run.dataset), str(run.n_workers), loss)
    Console().print(table)

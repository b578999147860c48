"""`harness down`: stop the stack."""

from functools import partial

import click
import msgspec


@click.command("down")
@click.option("--json", "as_json", is_flag=True, help="Print whether a stack was stopped, as JSON.")
def command(*, as_json: bool) -> None:
    """Stop the stack that `harness up` started, and wait until all of its processes and containers are gone.

    \b
    Example:
      harness down
    """
    from harness.cli._warning import warn
    from harness.settings import load_settings_of_any_stack
    from harness.stack import stop_shared_stack

    stopped = stop_shared_stack(load_settings_of_any_stack(warn), log=partial(click.echo, err=True))
    if as_json:
        click.echo(msgspec.json.encode({"stopped": stopped}).decode())
    else:
        click.echo("the stack is down" if stopped else "no stack was up")

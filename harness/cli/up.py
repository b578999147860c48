"""`harness up`: start the stack."""

from functools import partial
from typing import Literal

import click


@click.command("up")
@click.option(
    "--s3",
    type=click.Choice(["localstack", "moto"]),
    help="Emulate S3 with this program.  [default: from harness.toml]",
)
@click.option(
    "--mode",
    type=click.Choice(["process", "container"]),
    help="Run functions as processes or in containers.  [default: from harness.toml]",
)
@click.option("--json", "as_json", is_flag=True, help="Print the stack's state as JSON.")
def command(
    *, s3: Literal["localstack", "moto"] | None, mode: Literal["process", "container"] | None, as_json: bool
) -> None:
    """Start a local stack and keep it running, so that later runs start faster and share it.

    If a stack is already up, report it.

    \b
    Example:
      harness up --s3 moto
      eval "$(harness status --shell)" && aws s3 ls
      harness down
    """
    from harness.cli._stack_text import describe
    from harness.settings import load_settings
    from harness.stack import start_shared_stack, without_key
    from harness.system import records

    say = partial(click.echo, err=True)
    state, started = start_shared_stack(load_settings(), s3=s3, mode=mode, log=say)
    if as_json:
        click.echo(records.encode(without_key(state)).decode())
    else:
        click.echo("\n".join([f"the stack is up{'' if started else ' already'}", *describe(state, [])]))

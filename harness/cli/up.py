"""`harness up`: start the stack."""

from typing import Literal

import click

from harness.cli._waiting import quiet_option, waiting
from harness.cli.page_options import open_if_asked, open_option
from harness.setting_tables import MOST_CACHE_NODES


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
@click.option(
    "--cache-nodes",
    type=click.IntRange(1, MOST_CACHE_NODES),
    help="Have so many nodes of the cache; keys are spread over them.  [default: from harness.toml]",
)
@open_option
@click.option("--json", "as_json", is_flag=True, help="Print the stack's state as JSON.")
@quiet_option
def command(
    *,
    s3: Literal["localstack", "moto"] | None,
    mode: Literal["process", "container"] | None,
    cache_nodes: int | None,
    opened: bool,
    as_json: bool,
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
    from harness.system.console import GOOD, notice, result

    settings = load_settings()
    with waiting("starting the stack") as log:
        state, started = start_shared_stack(settings, s3=s3, mode=mode, cache_nodes=cache_nodes, log=log)
    open_if_asked(settings, notice, opened=opened)
    if as_json:
        click.echo(records.encode(without_key(state)).decode())
    else:
        result(f"the stack is up{'' if started else ' already'}", GOOD)
        for line in describe(state, []):
            result(line)

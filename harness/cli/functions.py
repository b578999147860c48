"""`harness functions`: create, update and list the functions that harness.toml declares, without invoking them."""

import json
import sys
from typing import TYPE_CHECKING

import click

from harness.cli._terminal import printable
from harness.cli.function_argument import functions_argument
from harness.cli.groups import SuggestingGroup

if TYPE_CHECKING:
    from collections.abc import Sequence

    from harness.settings import Settings
    from harness.stack import StackState


@click.group("functions", cls=SuggestingGroup)
def command() -> None:
    """Create, update and list functions on the stack that is up, without invoking them.

    \b
    Example:
      harness functions create
      harness functions list
    """


@command.command()
@functions_argument
def create(*, names: tuple[str, ...]) -> None:
    """Create the functions NAME, or all that harness.toml declares; update those that exist.

    \b
    Example:
      harness functions create linear_ec_1 linear_ec_2
    """
    settings, stack = _project()
    _make(settings, stack, names or tuple(settings.functions))


@command.command()
@functions_argument
def update(*, names: tuple[str, ...]) -> None:
    """Update the code and configuration of the functions NAME, or of all declared functions that exist.

    Invocations that are running finish on the old code.

    \b
    Example:
      harness functions update linear_ec_2
    """
    from harness.aws.clients import clients_for
    from harness.aws.errors import aws_errors
    from harness.errors import HarnessError
    from harness.runs.functions import declared

    settings, stack = _project()
    client = clients_for(stack.endpoints).functions
    with aws_errors("listing the functions"):
        pages = client.get_paginator("list_functions").paginate()
        on_stack = {found["FunctionName"] for page in pages for found in page["Functions"]}
    for name in names:
        declared(settings, name)
        if name not in on_stack:
            raise HarnessError(
                f"function {name} is not on the stack", remedy=f"create it with `harness functions create {name}`"
            )
    chosen = names or tuple(name for name in settings.functions if name in on_stack)
    if not chosen:
        raise HarnessError(
            "the stack has none of the declared functions", remedy="create them with `harness functions create`"
        )
    _make(settings, stack, chosen)


@command.command("list")
@click.option("--json", "as_json", is_flag=True, help="Print a JSON list.")
def list_(*, as_json: bool) -> None:
    """List the functions that harness.toml declares or the stack has, and whether they are up to date.

    \b
    Example:
      harness functions list --json
    """
    from functools import partial

    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    from harness.aws.clients import clients_for
    from harness.aws.errors import aws_errors
    from harness.runs.function_states import function_states

    settings, stack = _project()
    with aws_errors("listing the functions"):
        client = clients_for(stack.endpoints).functions
        states = function_states(client, settings, stack.mode, log=partial(click.echo, err=True))
    if as_json:
        click.echo(json.dumps([one._asdict() for one in states]))
        return
    table = Table("function", "state", "handler", "MB", "s", "code", box=None, pad_edge=False)
    for one in states:
        state = f"{one.state}: {', '.join(one.differs)}" if one.differs else one.state
        size = f"{one.code_bytes / 1e6:.2f} MB" if one.code_bytes else "-"
        cells = (one.name, state, one.handler or "image", str(one.memory_mb), str(one.timeout_s), size)
        table.add_row(*(Text(printable(cell)) for cell in cells))
    Console(width=max(Console().width, 120)).print(table)


def _project() -> "tuple[Settings, StackState]":
    from harness.errors import HarnessError
    from harness.runs.health import check_parts
    from harness.settings import load_settings
    from harness.stack import shared_stack

    settings = load_settings()
    stack = shared_stack(settings)
    if stack is None:
        raise HarnessError("no stack is up", remedy="run `harness up` first")
    check_parts(stack)
    return settings, stack


def _make(settings: "Settings", stack: "StackState", names: "Sequence[str]") -> None:
    """Make functions; one that cannot be made does not keep the others from it."""
    from functools import partial

    from harness.aws.clients import clients_for
    from harness.aws.function_deployer import create_or_update
    from harness.errors import HarnessError
    from harness.runs.functions import declared, desired_function

    for name in names:
        declared(settings, name)
    client, failed = clients_for(stack.endpoints).functions, False
    for name in names:
        try:
            desired = desired_function(name, settings, stack.mode, log=partial(click.echo, err=True))
            done = create_or_update(client, desired)
        except HarnessError as error:
            if len(names) == 1:
                raise
            failed = True
            click.echo(printable(f"error: {name}: " + "\n  ".join(str(error).splitlines())), err=True)
        else:
            what = "created" if "created" in done else f"updated: {', '.join(done)}" if done else "unchanged"
            click.echo(f"{name}  {what}")
    if failed:
        sys.exit(1)

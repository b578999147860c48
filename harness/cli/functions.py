"""`harness functions`: create, update and list the functions that harness.toml declares, without invoking them."""

import json
import sys
from typing import TYPE_CHECKING

import click

from harness.cli._terminal import printable
from harness.cli._waiting import quiet_option, waiting
from harness.cli.function_argument import functions_argument
from harness.cli.groups import SuggestingGroup
from harness.cli.model_options import settings_with_models

if TYPE_CHECKING:
    from collections.abc import Sequence

    from harness.settings import Settings
    from harness.stack import StackState


_as_json = click.option("--json", "as_json", is_flag=True, help="Print a JSON list.")


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
@_as_json
@quiet_option
def create(*, names: tuple[str, ...], as_json: bool) -> None:
    """Create the functions NAME, or all that harness.toml declares; update those that exist.

    \b
    Example:
      harness functions create linear_ec_1 linear_ec_2
    """
    settings, stack = _project()
    _make(settings, stack, names or tuple(settings.functions), as_json=as_json)


@command.command()
@functions_argument
@_as_json
@quiet_option
def update(*, names: tuple[str, ...], as_json: bool) -> None:
    """Update the code and configuration of the functions NAME, or of all declared functions that exist.

    Invocations that are running finish on the old code.

    \b
    Example:
      harness functions update linear_ec_2
    """
    from harness.aws.clients import clients_for
    from harness.aws.errors import aws_errors
    from harness.errors import HarnessError
    from harness.runs.declared import declared

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
    _make(settings, stack, chosen, as_json=as_json)


@command.command("list")
@_as_json
def list_(*, as_json: bool) -> None:
    """List the functions that harness.toml declares or the stack has, and whether they are up to date.

    \b
    Example:
      harness functions list --json
    """
    from harness.aws.clients import clients_for
    from harness.aws.errors import aws_errors
    from harness.cli._table import TableColumn, figures, print_table
    from harness.runs.function_states import function_states

    settings, stack = _project()
    with waiting("comparing the functions") as log, aws_errors("listing the functions"):
        client = clients_for(stack.endpoints).functions
        states = function_states(client, settings, stack.mode, log=log)
    if as_json:
        click.echo(json.dumps([one._asdict() for one in states]))
        return
    rows = []
    for one in states:
        state = f"{one.state}: {', '.join(one.differs)}" if one.differs else one.state
        size = f"{one.code_bytes / 1e6:.2f} MB" if one.code_bytes else "-"
        rows.append((one.name, state, one.handler or "image", str(one.memory_mb), str(one.timeout_s), size))
    names = [TableColumn("function"), TableColumn("state", folds=True), TableColumn("handler", folds=True)]
    print_table([*names, *figures("MB", "s", "code")], rows)


def _project() -> "tuple[Settings, StackState]":
    from harness.errors import HarnessError
    from harness.runs.health import check_parts
    from harness.stack import shared_stack

    settings = settings_with_models()
    stack = shared_stack(settings)
    if stack is None:
        raise HarnessError("no stack is up", remedy="run `harness up` first")
    check_parts(stack)
    return settings, stack


def _make(settings: "Settings", stack: "StackState", names: "Sequence[str]", *, as_json: bool) -> None:
    """Make functions; one that cannot be made does not keep the others from it."""
    from harness.aws.clients import clients_for
    from harness.aws.function_deployer import create_or_update
    from harness.errors import HarnessError
    from harness.runs.declared import declared
    from harness.runs.functions import desired_function
    from harness.system.console import print_error, result

    for name in names:
        declared(settings, name)
    client = clients_for(stack.endpoints).management
    made: list[dict[str, object]] = []
    for name in names:
        try:
            with waiting(f"making {name} ready") as log:
                desired = desired_function(name, settings, stack.mode, log=log)
                done = create_or_update(client, desired)
        except HarnessError as error:
            if len(names) == 1:
                raise
            made.append({"function": name, "error": str(error)})
            print_error(printable(f"error: {name}: " + "\n  ".join(str(error).splitlines())))
        else:
            made.append({"function": name, "changed": list(done)})
            what = "created" if "created" in done else f"updated: {', '.join(done)}" if done else "unchanged"
            if not as_json:
                result(f"{name}  {what}")
    if as_json:
        click.echo(json.dumps(made))
    if any("error" in one for one in made):
        sys.exit(1)

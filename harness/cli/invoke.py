"""`harness invoke`: invoke a function by hand, as `aws lambda invoke` does."""

import os
import sys
from typing import BinaryIO, Literal

import click

from harness.cli._terminal import echo
from harness.cli._waiting import waiting
from harness.cli.debug_options import debug_port_option
from harness.cli.function_argument import function_argument
from harness.cli.model_options import settings_with_models
from harness.cli.target_options import (
    account_option,
    refuse_account_without_target,
    region_option,
    target_of,
    target_option,
)


@click.command()
@function_argument
@click.option(
    "--event",
    type=click.File("rb"),
    help="Read the event from this file; `-` is standard input.",
)
@click.option("--payload", help="Use this JSON as the event.")
@click.option("--async", "asynchronous", is_flag=True, help="Queue the event instead of waiting for the answer.")
@click.option("--log", is_flag=True, help="Print the end of the invocation's log on standard error.")
@click.option("--debug", is_flag=True, help="Let the function wait for a debugger, without its time limit.")
@debug_port_option
@click.option("--pdb", is_flag=True, help="Open a post-mortem in this terminal if the function raises.")
@target_option
@region_option
@account_option
def command(  # noqa: PLR0913 - keywords only, each an option
    *,
    function: str,
    event: BinaryIO | None,
    payload: str | None,
    asynchronous: bool,
    log: bool,
    debug: bool,
    debug_port: int | None,
    pdb: bool,
    target: Literal["aws", "rehearsal"] | None,
    region: str | None,
    expect_account: str | None,
) -> None:
    """Invoke FUNCTION, declared in harness.toml, on the stack that is up, and print its answer.

    The function is first created or updated from its folder or image, and so are the declared functions that it calls;
    with --target, the deployed function is used.
    The exit code is 1 if the function failed.

    \b
    Example:
      harness invoke linear_ec_2 --event fixtures/events/test_input_1_worker.json
      harness invoke linear_ec_1 --event event.json --target aws
      harness invoke linear_ec_2 --event fixtures/events/test_input_1_worker.json --debug
    """
    from harness.aws.clients import clients_for
    from harness.cli.debugger import debugger_of, invoke_under_debugger
    from harness.errors import HarnessError
    from harness.runs.callees import make_callees
    from harness.runs.declared import declared
    from harness.runs.functions import make_declared
    from harness.runs.health import check_parts
    from harness.runs.invoke import check_event, foreign_cache, invoke
    from harness.stack import shared_stack

    if event is not None and payload is not None:
        raise HarnessError("--event and --payload were both given", remedy="give one of them")
    debugger = debugger_of(debug=debug, pdb=pdb, port=debug_port, asynchronous=asynchronous, target=target)
    settings = settings_with_models()
    declared(settings, function)
    body = event.read() if event is not None else os.fsencode(payload or "{}")
    check_event(body, f"--event {event.name}" if event is not None else "--payload")
    stack = None
    if target is not None:
        clients = target_of(target, region, settings, expect_account).run_clients()
    else:
        refuse_account_without_target(expect_account)
        stack = shared_stack(settings)
        if stack is None:
            raise HarnessError("no stack is up", remedy="run `harness up` first")
        check_parts(stack)
        clients = clients_for(stack.endpoints)
        with waiting(f"making {function} ready") as say:
            make_declared(clients.management, function, settings, stack.mode, log=say)
            make_callees(clients.management, function, settings, stack.mode, log=say)
    if stack is not None and debugger is not None:
        answer = invoke_under_debugger(stack, settings, function, body, debugger, debug_port)
    else:
        with waiting(f"waiting for {function}"):
            answer = invoke(clients.functions, function, body, asynchronous=asynchronous)
    if log:
        echo(answer.log, err=True, nl=False)
    echo(answer.payload)
    if answer.error:
        cache = stack.functions_see.discovery if stack else ""
        if cache and (named := foreign_cache(body, cache)):
            click.echo(f"the event names Memcached at {named}; that of this stack is at {cache}", err=True)
            click.echo("write the event again: python fixtures/save_1_worker_output.py", err=True)
        sys.exit(1)

"""`harness logs`: print a function's log, as `aws logs tail` does."""

from typing import Literal

import click

from harness.cli._terminal import echo
from harness.cli.function_argument import function_argument
from harness.cli.target_options import (
    account_option,
    refuse_account_without_target,
    region_option,
    target_of,
    target_option,
)


@click.command()
@function_argument
@click.option("--since", default=60, show_default=True, type=click.IntRange(min=0), help="Look back this many minutes.")
@click.option("--follow", is_flag=True, help="Wait for new lines until interrupted.")
@target_option
@region_option
@account_option
def command(
    *,
    function: str,
    since: int,
    follow: bool,
    target: Literal["aws", "rehearsal"] | None,
    region: str | None,
    expect_account: str | None,
) -> None:
    """Print the log of FUNCTION on the stack that is up, or with --target in the deployment.

    \b
    Example:
      harness logs linear_ec_2 --follow
      harness logs linear_ec_2 --target aws --since 10
    """
    import time
    from datetime import UTC, datetime

    from harness.aws.clients import clients_for
    from harness.aws.errors import aws_errors
    from harness.errors import HarnessError
    from harness.runs.functions import declared
    from harness.runs.health import check_parts
    from harness.runs.log_tail import LOCAL_POLLING, LogTail, has_log
    from harness.settings import load_settings
    from harness.stack import shared_stack

    settings, polling = load_settings(), LOCAL_POLLING
    if target is not None:
        where = target_of(target, region, settings, expect_account)
        logs, polling = where.run_clients().logs, where.polling
    else:
        refuse_account_without_target(expect_account)
        stack = shared_stack(settings)
        if stack is None:
            raise HarnessError("no stack is up", remedy="run `harness up` first; a run of its own keeps no logs")
        check_parts(stack)
        logs = clients_for(stack.endpoints).logs
    with aws_errors(f"reading the log of {function}"):
        if function not in settings.functions and not has_log(logs, function):
            declared(settings, function)  # there is neither the function nor a log of it
    tail = LogTail(logs, f"/aws/lambda/{function}", int(1000 * (time.time() - 60 * since)), polling)
    while True:
        with aws_errors(f"reading the log of {function}"):
            lines = list(tail.lines())
        for timestamp, message in lines:
            echo(f"{datetime.fromtimestamp(timestamp / 1000, UTC):%Y-%m-%dT%H:%M:%S.%f}"[:-3] + f"Z {message}")
        if not follow:
            return
        time.sleep(polling.longest_poll_s)

"""`harness logs`: print the log of functions, as `aws logs tail` does."""

import re
from datetime import UTC, datetime
from typing import Any, Literal

import click

from harness.cli._terminal import echo
from harness.cli.function_argument import functions_argument
from harness.cli.target_options import (
    account_option,
    refuse_account_without_target,
    region_option,
    target_of,
    target_option,
)


class Since(click.ParamType[datetime]):
    """A time span that ends now, or a time."""

    name = "time"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> datetime:  # noqa: ANN401 - click's signature
        """Parse the time.

        Raises:
            click.BadParameter: It is not valid.
        """
        from harness.runs.log_selection import parse_since

        if isinstance(value, datetime):
            return value
        try:
            return parse_since(value, datetime.now(UTC))
        except (ValueError, OverflowError, OSError):
            self.fail(f"{value!r}: give a time span such as 90s, 15m, 2h or 1d, or a time in ISO 8601", param, ctx)


class Regex(click.ParamType["re.Pattern[str]"]):
    """A regular expression."""

    name = "regex"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> "re.Pattern[str]":  # noqa: ANN401 - click's signature
        """Compile the expression.

        Raises:
            click.BadParameter: It is not valid.
        """
        try:
            return re.compile(value)
        except re.error as error:
            self.fail(f"{value!r} is no regular expression: {error}", param, ctx)


@click.command()
@functions_argument
@click.option(
    "--since",
    default="60m",
    show_default=True,
    type=Since(),
    help="Begin this long ago (90s, 15m, 2h, 1d; a number without a unit counts minutes), or at this time (ISO 8601).",
)
@click.option("--follow", "-f", is_flag=True, help="Wait for new lines until interrupted.")
@click.option("--filter", "pattern", type=Regex(), help="Print only lines in which this regular expression is found.")
@click.option(
    "--rank",
    "ranks",
    type=click.IntRange(min=0),
    multiple=True,
    help="Print only the invocations of this rank of a run; repeatable.",
)
@target_option
@region_option
@account_option
def command(
    *,
    names: tuple[str, ...],
    since: datetime,
    follow: bool,
    pattern: "re.Pattern[str] | None",
    ranks: tuple[int, ...],
    target: Literal["aws", "rehearsal"] | None,
    region: str | None,
    expect_account: str | None,
) -> None:
    """Print the log of the functions NAME on the stack that is up, or with --target in the deployment.

    Without NAME, print the logs of all functions that harness.toml declares, each line with its function's name.

    \b
    Example:
      harness logs linear_ec_2 --follow --rank 1
      harness logs --since 15m --filter 'ERROR|REPORT'
      harness logs linear_ec_2 --target aws --since 10m
    """
    import time

    from harness.aws.clients import clients_for
    from harness.errors import HarnessError
    from harness.runs.function_logs import FunctionLogs
    from harness.runs.health import check_parts
    from harness.runs.log_tail import LOCAL_POLLING
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
    tails = FunctionLogs(logs, names, settings, since, polling, ranks)
    while True:
        for function, line in tails.lines():
            if pattern is None or pattern.search(line.message):
                name = "" if len(names) == 1 else f"{function:<{tails.width}}  "
                echo(f"{name}{_time(line.timestamp)} {line.message}")
        if not follow:
            return
        time.sleep(polling.longest_poll_s)


def _time(timestamp: int) -> str:
    return f"{datetime.fromtimestamp(timestamp / 1000, UTC):%Y-%m-%dT%H:%M:%S.%f}"[:-3] + "Z"

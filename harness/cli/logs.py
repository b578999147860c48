"""`harness logs`: print the log of functions, as `aws logs tail` does."""

import json
import re
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import click

from harness.cli._terminal import echo
from harness.cli.function_argument import functions_argument
from harness.cli.run_argument import named_run
from harness.cli.target_options import Where, place_options, refuse_account_without_target, target_of

if TYPE_CHECKING:
    from harness.runs.log_tail import LogLine


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
@click.option(
    "--run", "run_id", metavar="RUN", help="Print the log of this run, from its beginning; `last` is the newest."
)
@click.option(
    "--json", "as_json", is_flag=True, help="Print one JSON object per line: at (epoch seconds), function, text."
)
@place_options
@click.pass_context
def command(  # noqa: PLR0913 - keywords only, each an option
    ctx: click.Context,
    *,
    names: tuple[str, ...],
    since: datetime,
    follow: bool,
    pattern: "re.Pattern[str] | None",
    ranks: tuple[int, ...],
    run_id: str | None,
    as_json: bool,
    where: Where,
) -> None:
    """Print the log of the functions NAME on the stack that is up, or with --target in the deployment.

    Without NAME, print the logs of all functions that harness.toml declares, each line with its function's name.
    With --run, print the log of a run, also of one that is kept and whose stack is down.

    \b
    Example:
      harness logs linear_ec_2 --follow --rank 1
      harness logs --since 15m --filter 'ERROR|REPORT'
      harness logs linear_ec_2 --target aws --since 10m
      harness logs --run last --rank 2
    """
    import time

    from harness.aws.clients import clients_for
    from harness.errors import HarnessError
    from harness.runs.function_logs import FunctionLogs, run_lines
    from harness.runs.health import check_parts
    from harness.runs.log_tail import LOCAL_POLLING
    from harness.settings import load_settings
    from harness.stack import shared_stack

    settings, polling = load_settings(), LOCAL_POLLING
    if run_id is not None:
        _refuse_follow(run_id, follow=follow)
        from_start = ctx.get_parameter_source("since") is click.core.ParameterSource.DEFAULT
        folder = named_run(run_id, where, settings)
        for function, line in run_lines(folder, names, ranks, None if from_start else since):
            _print(function, line, pattern, names, max(len(function), 11), as_json=as_json)
        return
    if where.target is not None:
        target = target_of(where.target, where.region, settings, where.expect_account)
        clients, polling = target.run_clients(), target.polling
    else:
        refuse_account_without_target(where.expect_account)
        state = shared_stack(settings)
        if state is None:
            raise HarnessError("no stack is up", remedy="run `harness up` first; --run prints the log of a kept run")
        check_parts(state)
        clients = clients_for(state.endpoints)
    tails = FunctionLogs(clients.logs, clients.functions, names, settings, since, polling, ranks)
    while True:
        for function, line in tails.lines():
            _print(function, line, pattern, names, tails.width, as_json=as_json)
        if not follow:
            return
        time.sleep(polling.longest_poll_s)


def _refuse_follow(run_id: str, *, follow: bool) -> None:
    from harness.errors import HarnessError

    if follow:
        raise HarnessError(
            "--follow waits for new lines of functions, not of a run", "", f"see `harness attach {run_id}`"
        )


def _print(
    function: str,
    line: "LogLine",
    pattern: "re.Pattern[str] | None",
    names: tuple[str, ...],
    width: int,
    *,
    as_json: bool,
) -> None:
    if pattern is not None and not pattern.search(line.message):
        return
    if as_json:
        click.echo(json.dumps({"at": line.timestamp / 1000, "function": function, "text": line.message}))
    else:
        name = "" if len(names) == 1 else f"{function:<{width}}  "
        echo(f"{name}{_time(line.timestamp)} {line.message}")


def _time(timestamp: int) -> str:
    try:
        return f"{datetime.fromtimestamp(timestamp / 1000, UTC):%Y-%m-%dT%H:%M:%S.%f}"[:-3] + "Z"
    except (ValueError, OverflowError, OSError):  # no calendar has it
        return f"{timestamp / 1000:g}"

"""`harness runs`: list the runs that are kept, and those on the stack or in a deployment; remove kept ones."""

from functools import partial
from typing import TYPE_CHECKING, Any

import click

from harness.cli._waiting import quiet_option, waiting
from harness.cli.groups import SuggestingGroup
from harness.cli.run_argument import elsewhere
from harness.cli.run_comparison import compare_option, print_comparison, refuse_with_compare
from harness.cli.target_options import Where, check_somebody_answers, place_options

if TYPE_CHECKING:
    from harness.history.folder import KeptFolder
    from harness.runs.catalogue import RunEntry
    from harness.runs.selection import Condition

_STYLES = {"succeeded": "good", "failed": "bad", "damaged": "bad", "stopped": "caution", "unfinished": "caution"}


class ConditionText(click.ParamType["Condition"]):
    """A key, a sign and a value."""

    name = "condition"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> "Condition":  # noqa: ANN401 - click's signature
        """Parse the condition.

        Raises:
            click.BadParameter: It is none.
        """
        from harness.runs.selection import Condition, parse_condition

        if isinstance(value, Condition):
            return value
        try:
            return parse_condition(value)
        except ValueError:
            self.fail(
                f"{value!r}: give KEY=VALUE, KEY!=VALUE, or a comparison such as 'loss<0.5', in quotes", param, ctx
            )


class Age(click.ParamType[float]):
    """A time span, in seconds."""

    name = "age"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:  # noqa: ANN401 - click's signature
        """Parse the time span.

        Raises:
            click.BadParameter: It is none.
        """
        from harness.runs.log_selection import parse_span

        if isinstance(value, float):
            return value
        try:
            return parse_span(value)
        except ValueError:
            self.fail(f"{value!r}: give a time span such as 12h, 7d or 4w", param, ctx)


@click.group(cls=SuggestingGroup, invoke_without_command=True)
@click.option("--json", "as_json", is_flag=True, help="Print a JSON list, with the whole job of each run.")
@click.option("--sort", metavar="KEY", help="Sort by this key, the smallest value first; with -KEY, the largest.")
@click.option(
    "--where",
    "conditions",
    metavar="CONDITION",
    type=ConditionText(),
    multiple=True,
    help="List only runs that satisfy this condition, such as lr=0.1 or 'loss<0.5'; repeatable.",
)
@click.option("--limit", metavar="N", type=click.IntRange(min=1), help="List only the newest N, or the first N.")
@compare_option
@quiet_option
@place_options
@click.pass_context
def command(
    ctx: click.Context,
    *,
    as_json: bool,
    sort: str | None,
    conditions: tuple["Condition", ...],
    limit: int | None,
    compared: tuple[str, str] | None,
    where: Where,
) -> None:
    """List the runs that are kept, those on the stack that is up, and with --target those of the deployment.

    The newest comes last. What differs in their jobs has columns of its own.
    A KEY is one of the list, of a job, or of a run's figures, such as accuracy, rounds, seconds or cost_usd.

    \b
    Example:
      harness runs --sort loss --limit 5
      harness runs --where model=lr --where 'loss<0.5' --json
      harness runs --target aws
      harness runs --compare 20261123-151538-367b1d last
      harness runs rm --older-than 7d
    """
    if ctx.invoked_subcommand is not None:
        return
    from harness.runs.listing import all_runs
    from harness.runs.selection import select
    from harness.settings import load_settings

    settings = load_settings()
    place = elsewhere(where, settings)
    if compared is not None:
        refuse_with_compare(sort=sort, where=conditions, limit=limit)
        print_comparison(compared, settings, place, where.target or "local", as_json=as_json)
        return
    with waiting("looking for runs") as log:
        runs = all_runs(settings, place(), log)
    runs = select(runs, conditions, sort, limit)
    if as_json:
        import msgspec

        click.echo(msgspec.json.encode(runs).decode())
    elif runs:
        _print(runs)
    else:
        click.echo("no runs" if not conditions else "no run satisfies these conditions", err=True)


@command.command("rm")
@click.argument("run_ids", metavar="RUN...", nargs=-1)
@click.option("--older-than", metavar="AGE", type=Age(), help="Remove runs that began before this time span, as 7d.")
@click.option("--failed", is_flag=True, help="Remove failed, stopped, unfinished and damaged runs.")
@click.option("--yes", is_flag=True, help="Do not ask.")
@click.option("--json", "as_json", is_flag=True, help="Print the removed runs as a JSON list.")
def remove(*, run_ids: tuple[str, ...], older_than: float | None, failed: bool, yes: bool, as_json: bool) -> None:
    """Remove kept runs, also from the S3 of the stack that is up; nothing on AWS is removed.

    With both flags, a run must satisfy both. A run that is under way is never removed.

    \b
    Example:
      harness runs rm 20261123-151538-367b1d
      harness runs rm --failed --older-than 7d --yes
    """
    from harness.errors import HarnessError
    from harness.runs.removal import chosen_runs, remove_kept
    from harness.settings import load_settings

    if bool(run_ids) == (older_than is not None or failed):
        raise HarnessError("name either runs or conditions", remedy="see `harness runs rm --help`")
    settings = load_settings()
    runs = chosen_runs(settings, run_ids, older_than_s=older_than, failed=failed)
    if runs and not yes:
        check_somebody_answers()
        for run in runs:
            click.echo(_in_a_line(run), err=True)
        words = "this run" if len(runs) == 1 else f"these {len(runs)} runs"
        click.confirm(f"Remove {words} with model, log and records?", abort=True, err=True)
    removed = remove_kept(settings, runs)
    if as_json:
        import msgspec

        click.echo(msgspec.json.encode(removed).decode())
    else:
        click.echo(f"removed {len(removed)} {'run' if len(removed) == 1 else 'runs'}")


def _in_a_line(run: "KeptFolder") -> str:
    record = run.record()
    return run.run_id if record is None else f"{run.run_id}  {record.status}  {record.bytes / 1e6:.1f} MB"


def _print(runs: "list[RunEntry]") -> None:
    """Print a table that fits the terminal: columns of keys that do not fit are left out, and named."""
    from rich.text import Text

    from harness.cli._table import TableColumn, fits, print_table
    from harness.cli._terminal import printable
    from harness.runs.selection import format_value
    from harness.system.console import notice

    keys = list(dict.fromkeys(key for run in runs for key in run.differs))
    placed = {_place(run) for run in runs} != {"kept"}

    def table(shown: list[str]) -> tuple[list[TableColumn], list[list[str | Text]]]:
        right = partial(TableColumn, right=True)
        columns = [TableColumn("run"), TableColumn("status"), TableColumn("dataset", folds=True), right("workers")]
        columns += [right(key) for key in shown] + [right("loss"), right("s")]
        rows: list[list[str | Text]] = []
        for run in runs:
            status = Text(printable(run.status), style=_STYLES.get(run.status, ""))
            row: list[str | Text] = [run.run_id, status, run.dataset, str(run.n_workers)]
            row += [format_value(run.differs[key]) if key in run.differs else "" for key in shown]
            row += ["-" if run.loss is None else f"{run.loss:.4f}"]
            row += ["-" if run.seconds is None else f"{run.seconds:.1f}"]
            rows.append([*row, _place(run)] if placed else row)
        return [*columns, TableColumn("where")] if placed else columns, rows

    shown = list(keys)
    while shown and not fits(*table(shown)):
        shown.pop()
    print_table(*table(shown))
    if left_out := keys[len(shown) :]:
        notice(f"they differ in {', '.join(left_out)} too; --json shows all, --sort and --where take each")


def _place(run: "RunEntry") -> str:
    """Return where a run's records are."""
    return "kept" if run.kept else run.bucket

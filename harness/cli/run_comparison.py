"""`harness runs --compare A B`: what differs between two runs."""

from typing import TYPE_CHECKING, Any, TypeVar

import click

from harness.cli._waiting import waiting

if TYPE_CHECKING:
    from collections.abc import Callable

    from harness.insight.comparison import RunComparison
    from harness.runs.places import Elsewhere
    from harness.settings import Settings

Decorated = TypeVar("Decorated", bound="Callable[..., Any]")

LONGEST_VALUE = 200
_HEADINGS = {"times": "times, s"}


def compare_option(function: Decorated) -> Decorated:
    """Add `--compare`."""
    return click.option(
        "--compare",
        "compared",
        nargs=2,
        metavar="RUN RUN",
        help="List what differs between two runs, in their jobs, versions, times and results.",
    )(function)


def refuse_with_compare(**flags: object) -> None:
    """Refuse flags of the list of runs beside `--compare`, which would do nothing.

    Raises:
        click.UsageError: One of them is set.
    """
    for name, value in flags.items():
        if value:
            raise click.UsageError(f"--{name} selects what a list shows; --compare shows two runs: give one of them")


def print_comparison(
    names: tuple[str, str], settings: "Settings", place: "Elsewhere", target: str, *, as_json: bool
) -> None:
    """Print what differs between two runs.

    Args:
        names: The runs, as the user names them.
        settings: The project's settings.
        place: Where runs may be that are not kept.
        target: Where the runs were, if their records do not tell.
        as_json: Whether to print one JSON object.

    Raises:
        HarnessError: There is no such run; the message names near ones.
    """
    import msgspec

    from harness.insight.comparison import compare
    from harness.insight.folder import read_view
    from harness.runs.places import run_folder

    with waiting(f"reading {names[0]} and {names[1]}"):
        a, b = (read_view(run_folder(name, settings, place), target=target) for name in names)
    found = compare(a, b)
    if as_json:
        click.echo(msgspec.json.encode(found).decode())
    else:
        _print(found)


def _print(found: "RunComparison") -> None:
    from harness.cli._table import TableColumn, print_table

    columns = [
        TableColumn("", folds=True),
        TableColumn(found.a, right=True, folds=True),
        TableColumn(found.b, right=True, folds=True),
        TableColumn("change", right=True),
    ]
    rows = []
    before = ""
    for line in found.lines:
        if line.section != before:
            rows.append([_HEADINGS.get(line.section, line.section), "", "", ""])
            before = line.section
        digits = 4 if line.section == "times" else 6
        rows.append([f"  {line.key}", _value(line.a, digits), _value(line.b, digits), line.change])
    print_table(columns, rows)


def _value(value: object, digits: int) -> str:
    if value is None:
        return "-"
    if isinstance(value, float):
        return f"{value:.{digits}g}"
    text = str(value)
    return text if len(text) <= LONGEST_VALUE else text[:LONGEST_VALUE] + "..."

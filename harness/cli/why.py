"""`harness why`: where a run's time went, for whom it waited, and what would help most."""

import click

from harness.cli._waiting import quiet_option, waiting
from harness.cli.run_argument import named_run, run_argument
from harness.cli.target_options import Where, place_options


@click.command()
@run_argument
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
@quiet_option
@place_options
def command(
    *,
    run_id: str,
    as_json: bool,
    where: Where,
) -> None:
    """Tell where the time of RUN went, for whom it waited, and what would help most, in ten lines.

    The parts add up to the run's seconds. They are those of the rank that waited longest: what it waited, the run lost.

    \b
    Example:
      harness why 20261123-151538-367b1d
      harness why last --json
      harness why 20261123-151538-367b1d --target aws
    """
    import msgspec
    from rich.table import Table
    from rich.text import Text

    from harness.cli._terminal import printable
    from harness.insight.folder import read_view
    from harness.insight.why import lines_of, why
    from harness.settings import load_settings
    from harness.system.console import ASIDE, HEADING, results

    folder = named_run(run_id, where, load_settings())
    with waiting(f"reading run {folder.run_id}"):
        answer = why(read_view(folder, target=where.target or "local"))
    if as_json:
        click.echo(msgspec.json.encode(answer).decode())
        return
    console = results()
    console.print(Text(printable(f"{answer.run_id} {answer.headline}"), style=HEADING))
    table = Table.grid(padding=(0, 2, 0, 0))
    table.add_column(style=ASIDE, no_wrap=True)
    table.add_column(justify="right", no_wrap=True)
    table.add_column(overflow="fold")
    for line in lines_of(answer):
        table.add_row(line.label, line.figure, Text(printable(line.text)))
    with console.capture() as captured:
        console.print(table)
    for printed in captured.get().splitlines():
        click.echo(printed.rstrip())

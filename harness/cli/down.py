"""`harness down`: stop the stack."""

from collections.abc import Callable
from typing import TYPE_CHECKING

import click
import msgspec

from harness.cli._waiting import waiting

if TYPE_CHECKING:
    from harness.settings import Settings


@click.command("down")
@click.option("--json", "as_json", is_flag=True, help="Print whether a stack was stopped, as JSON.")
def command(*, as_json: bool) -> None:
    """Stop the stack that `harness up` started, and wait until all of its processes and containers are gone.

    Runs that were invoked by hand are kept first, as all runs are.
    The page's server ends, too, unless a browser shows the page; then it ends half a minute after the last one left.

    \b
    Example:
      harness down
    """
    from harness.cli._warning import warn
    from harness.runs.harvest import keep_last_runs
    from harness.settings import load_settings_of_any_stack
    from harness.stack import stop_shared_stack

    settings = load_settings_of_any_stack(warn)
    with waiting("stopping the stack") as log:
        keep_last_runs(settings, log)
        stopped = stop_shared_stack(settings, log=log)
        _end_page(settings, log)
    if as_json:
        click.echo(msgspec.json.encode({"stopped": stopped}).decode())
    else:
        click.echo("the stack is down" if stopped else "no stack was up")


def _end_page(settings: "Settings", say: Callable[[str], object]) -> None:
    from harness.page.address import address_file

    if not address_file(settings.state_dir).is_file():
        return
    # The server's modules take 0.3 s to import.
    from harness.page.opening import end_server

    if end_server(settings) is False:
        say("the page stays as long as a browser shows it, and half a minute longer")

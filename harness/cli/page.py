"""`harness page`: see stack, functions, invocations and runs in a browser."""

from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from harness.page.address import PageAddress


@click.command("page")
def command() -> None:
    """Serve a page that shows the project's stack, invocations and runs live, until Ctrl-C.

    It listens on this machine alone, and its address holds a token that keeps other pages and users out.
    Without a stack it shows the kept runs. If the page is served already, as after `harness up --open`, print its
    address.

    \b
    Example:
      harness page
      harness run --open --n-workers 4
    """
    from harness.cli._warning import warn
    from harness.page.opening import running_server, show_in_browser
    from harness.page.server import serve_page
    from harness.settings import load_settings_of_any_stack

    settings = load_settings_of_any_stack(warn)
    running = running_server(settings)
    if running is not None:
        click.echo(f"page: {running.url}")
        click.echo(f"it is served already, by pid {running.pid}", err=True)
        show_in_browser(running.url_for_once)
        return

    def ready(address: "PageAddress") -> None:
        click.echo(f"page: {address.url}")
        click.echo("Ctrl-C ends it", err=True)
        show_in_browser(address.url_for_once)

    serve_page(settings, background=False, ready=ready)

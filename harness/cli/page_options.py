"""The option `--open` of commands that have a stack."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from harness.settings import Settings

open_option: Callable[[Callable[..., Any]], Callable[..., Any]] = click.option(
    "--open", "opened", is_flag=True, help="Serve the page in the background, print its address and open a browser."
)


def open_if_asked(settings: "Settings", say: Callable[[str], object], *, opened: bool) -> None:
    """Make sure that the page is served, and show it, if that was asked for.

    Args:
        settings: The project's settings.
        say: Prints a line.
        opened: Whether it was.

    Raises:
        HarnessError: The page's server does not start.
    """
    if opened:
        # The server's modules take 0.3 s to import.
        from harness.page.opening import open_page

        open_page(settings, say)

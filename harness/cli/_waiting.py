"""Waits with progress: what a command does and for how long, on standard error; and the flag that silences it."""

import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any, TypeVar

import click

from harness.cli._terminal import printable

if TYPE_CHECKING:
    from rich.live import Live

Decorated = TypeVar("Decorated", bound=Callable[..., Any])

# A shorter wait shows nothing.
SHOWN_AFTER_S = 1.0
REDRAWS_PER_S = 8
# Without a terminal, a wait is printed after this time, and again whenever it has doubled.
FIRST_LINE_S = 10.0


class ShownWait:
    """A wait that is shown; calling it prints a line on standard error, from any thread.

    Args:
        spinner: The spinner; None without a terminal.
    """

    def __init__(self, spinner: "Live | None" = None) -> None:
        self._spinner = spinner

    def __call__(self, line: str) -> None:
        """Print a line."""
        from harness.system.console import notice

        notice(printable(line))

    @contextmanager
    def paused(self) -> Iterator[None]:
        """Hide the spinner during the block, which asks the user something."""
        if self._spinner is not None:
            self._spinner.stop()
        yield
        if self._spinner is not None:
            self._spinner.start(refresh=True)


@contextmanager
def waiting(doing: str) -> Iterator[ShownWait]:
    """Show what the block does, and for how long.

    On a terminal, a spinner with the seconds stands below the lines and vanishes with the block.
    Without one, a plain line is printed after `FIRST_LINE_S` seconds, and again whenever the time has doubled.
    Within the block, print results by `harness.system.console.result`: `click.echo` would write into the spinner.

    Args:
        doing: The work in words, such as `starting the stack`.

    Yields:
        What prints further lines, and lets the block ask a question.
    """
    from harness.system.console import is_live, notices

    if notices().quiet:
        yield ShownWait()
    elif is_live():
        with _spinner(doing) as spinner:
            yield ShownWait(spinner)
    else:
        with _plain_lines(doing):
            yield ShownWait()


def _spinner(doing: str) -> "Live":
    from rich.live import Live
    from rich.spinner import Spinner
    from rich.text import Text

    from harness.system.console import ASIDE, notices

    since, spinner = time.monotonic(), Spinner("dots")

    def line() -> Spinner | Text:
        seconds = time.monotonic() - since
        if seconds < SHOWN_AFTER_S:
            return Text("")
        spinner.text = Text(f"{printable(doing)} ... {seconds:.0f} s", style=ASIDE, no_wrap=True, overflow="ellipsis")
        return spinner

    return Live(
        console=notices(),
        refresh_per_second=REDRAWS_PER_S,
        transient=True,
        get_renderable=line,
        # A result that goes to a file must not end up on the terminal.
        redirect_stdout=sys.stdout.isatty(),
    )


@contextmanager
def _plain_lines(doing: str) -> Iterator[None]:
    over, since = threading.Event(), time.monotonic()

    def print_lines() -> None:
        from harness.system.console import notice

        next_s = FIRST_LINE_S
        while not over.wait(max(0.0, since + next_s - time.monotonic())):
            with suppress(OSError, ValueError):  # standard error is closed
                notice(f"{printable(doing)} ... {next_s:.0f} s")
            next_s *= 2

    printer = threading.Thread(target=print_lines, name="waiting", daemon=True)
    printer.start()
    try:
        yield
    finally:
        over.set()
        printer.join()


def quiet_option(function: Decorated) -> Decorated:
    """Add `--quiet`, which silences notices; results and errors are printed nevertheless."""

    def silence(context: click.Context, parameter: click.Parameter, quiet: bool) -> None:  # noqa: ARG001, FBT001 - click's
        from harness.system.console import set_quiet

        set_quiet(quiet)

    return click.option(
        "--quiet",
        "-q",
        is_flag=True,
        expose_value=False,
        callback=silence,
        help="Print results and errors only: no progress and no notices.",
    )(function)

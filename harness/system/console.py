"""The terminal: one console for notices and one for results, one style of colours, and silence on request.

Notices (stages, progress, warnings, errors) go to standard error; the result of a command goes to standard output.
`NO_COLOR` and `TERM=dumb` switch colours off, `FORCE_COLOR` switches them on in a pipe; see https://no-color.org and
https://force-color.org. Redrawn displays and widths depend on the streams alone.
"""

import sys
from functools import cache

from rich.console import Console
from rich.text import Text
from rich.theme import Theme

# What colours mean, in every command.
GOOD, BAD, CAUTION, ASIDE, HEADING = "good", "bad", "caution", "aside", "heading"
STYLES = {
    GOOD: "green",  # it worked, it is up, it is the best
    BAD: "red",  # it failed, it died, it is missing
    CAUTION: "yellow",  # it is late, waited for, retried; or a warning
    ASIDE: "dim",  # details
    HEADING: "bold",
}
# A pipe or a file has no width, so nothing is folded in it.
UNLIMITED = 100_000
_ERROR = "error:"


@cache
def notices() -> Console:
    """Return the console of standard error; its attribute `quiet` silences it."""
    return Console(stderr=True, theme=Theme(STYLES), highlight=False, markup=False, emoji=False)


def results() -> Console:
    """Return a console of standard output: as wide as the terminal, unlimited in a pipe or a file."""
    width = None if sys.stdout.isatty() else UNLIMITED
    return Console(theme=Theme(STYLES), highlight=False, markup=False, emoji=False, width=width)


def is_live() -> bool:
    """Return whether notices may be redrawn in place: standard error is a terminal that can move its cursor."""
    return sys.stderr.isatty() and not notices().is_dumb_terminal and not notices().quiet


def notice(text: str, style: str = "") -> None:
    """Print a line on standard error, unless notices are silenced; the terminal wraps it."""
    notices().print(text, style=style or None, soft_wrap=True)


def print_error(text: str) -> None:
    """Print an error on standard error, also where notices are silenced; the terminal wraps it."""
    shown = Text(text)
    if text.startswith(_ERROR):
        shown.stylize(BAD, 0, len(_ERROR))
    console = notices()
    was_quiet, console.quiet = console.quiet, False
    console.print(shown, soft_wrap=True)
    console.quiet = was_quiet


def result(text: str | Text, style: str = "") -> None:
    """Print a result on standard output, also while a display is shown on standard error; the terminal wraps it."""
    results().print(text, style=style or None, soft_wrap=True)


def set_quiet(quiet: bool) -> None:  # noqa: FBT001 - the value of a flag
    """Silence notices; errors are printed otherwise."""
    notices().quiet = quiet

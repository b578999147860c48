"""What the development loop prints: each line with its function's name, in the function's colour on a terminal.

Lines of functions and of their invocations go to standard output, the loop's own notes to standard error. While an
editor has the terminal, everything waits.
"""

import itertools
import re
from collections.abc import Callable, Iterable

import click

from harness.gateway.attempts import InvocationRecord

_COLOURS = ("cyan", "magenta", "blue", "yellow", "bright_cyan", "bright_magenta", "bright_blue", "bright_yellow")
# The platform's own lines: one line for each invocation says the same.
_PLATFORM = re.compile(
    r"START RequestId: \S+ Version: \S+|END RequestId: \S+|REPORT RequestId: \S+\tDuration: .*"
    r"|INIT_START Runtime Version: .*"
    r'|\{"time":"[^"]+","type":"platform\.(initStart|start|runtimeDone|report)",.*'
)

# Prints a line on standard output or, if `err` is true, on standard error.
Printer = Callable[..., object]


class Screen:
    """The lines of the development loop.

    Args:
        names: The functions that are known, which fixes colours and the width of their column.
        printer: Prints a line.
        clean: Makes untrusted text harmless for a terminal.
    """

    def __init__(self, names: Iterable[str], printer: Printer, clean: Callable[[str], str]) -> None:
        self._printer, self._clean = printer, clean
        self._colours = itertools.cycle(_COLOURS)
        self._styles: dict[str, str] = {}
        self._width = 0
        self._held: list[tuple[str, bool]] | None = None
        for name in names:
            self.know(name)

    def know(self, name: str) -> None:
        """Give a function a colour, and the column of names the width for it."""
        if name not in self._styles:
            self._styles[name] = next(self._colours)
            self._width = max(self._width, len(name))

    def note(self, text: str) -> None:
        """Print a line of the loop itself."""
        self._print(self._clean(text), err=True)

    def problem(self, lines: Iterable[str], name: str = "") -> None:
        """Print what is wrong with the project or with a function, which keeps its old code."""
        first, *more = map(self._clean, lines)
        for line in (f"{click.style('error', fg='red')}: {first}", *(f"  {line}" for line in more)):
            self._print(self._prefix(name) + line if name else line, err=True)

    def function_note(self, name: str, text: str) -> None:
        """Print a line of the loop itself about a function."""
        self._print(self._prefix(name) + click.style(self._clean(text), bold=True), err=True)

    def function_lines(self, name: str, text: str) -> None:
        """Print lines of a function's log, without those that an invocation's own line replaces."""
        for event in text.removesuffix("\n").split("\n"):
            if not _PLATFORM.fullmatch(event):
                for line in event.split("\r"):
                    self._print(self._prefix(name) + self._clean(line))

    def invocation(self, ended: InvocationRecord) -> None:
        """Print the line of an invocation that has ended."""
        status = click.style(self._clean(ended.error), fg="red") if ended.error else click.style("ok", fg="green")
        start = "warm" if ended.init_ms is None else f"cold, init {ended.init_ms:.0f} ms"
        attempt = f"  attempt {ended.attempt}" if ended.attempt > 1 else ""
        version = "" if ended.version == "$LATEST" else f"  version {ended.version}"
        self._print(
            f"{self._prefix(ended.function)}{status}  {ended.request_id}  {ended.duration_ms:.2f} ms, "
            f"billed {ended.billed_ms} ms, {ended.used_mb} of {ended.memory_mb} MB, {start}{attempt}{version}"
        )

    def pause(self) -> None:
        """Hold everything back until `resume`."""
        self._held = self._held if self._held is not None else []

    def resume(self) -> None:
        """Print what was held back, and go on."""
        held, self._held = self._held or [], None
        for line, err in held:
            self._printer(line, err=err)

    def _prefix(self, name: str) -> str:
        self.know(name)
        return click.style(f"{name:<{self._width}}", fg=self._styles[name]) + "  "

    def _print(self, line: str, *, err: bool = False) -> None:
        if self._held is not None:
            self._held.append((line, err))
        else:
            self._printer(line, err=err)

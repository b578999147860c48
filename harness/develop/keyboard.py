"""Keys, each as soon as it is pressed, from a terminal that stays usable: Ctrl-C, Ctrl-Z and output work as ever."""

import asyncio
import os
import signal
import sys
import termios
import tty
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from types import TracebackType
from typing import Self

END_OF_INPUT = "\x04"  # Ctrl-D
_ESCAPE = b"\x1b"


def has_keyboard() -> bool:
    """Return whether standard input is a terminal that this process may read: not that of a job in the background."""
    try:
        return sys.stdin.isatty() and os.tcgetpgrp(sys.stdin.fileno()) == os.getpgrp()
    except (OSError, ValueError):
        return False


class Keyboard:
    """The terminal at standard input, in cbreak mode within a block; does nothing without a terminal.

    Args:
        present: Whether there is one.
    """

    def __init__(self, *, present: bool) -> None:
        self.present = present
        self._number = sys.stdin.fileno() if present else -1
        self._before: list[int | list[bytes | int]] = []
        self._lent = False
        self._keys: asyncio.Queue[str] = asyncio.Queue()

    def __enter__(self) -> Self:
        if self.present:
            self._before = termios.tcgetattr(self._number)
            self._set_cbreak()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._restore()

    @contextmanager
    def reading(self) -> Iterator[None]:
        """Read keys within the block, in a running event loop."""
        if not self.present:
            yield
            return
        loop = asyncio.get_running_loop()
        loop.add_reader(self._number, self._read)
        # A shell that stopped and continued this process has set the terminal to its own mode in between.
        loop.add_signal_handler(signal.SIGCONT, self._continue)
        try:
            yield
        finally:
            loop.remove_reader(self._number)
            loop.remove_signal_handler(signal.SIGCONT)

    async def key(self) -> str:
        """Return the next key; without a terminal, wait for ever."""
        return await self._keys.get()

    @contextmanager
    def lent(self) -> Iterator[None]:
        """Leave the terminal to another program within the block."""
        loop = asyncio.get_running_loop()
        if self.present:
            loop.remove_reader(self._number)
        self._restore()
        self._lent = True
        try:
            yield
        finally:
            self._lent = False
            if self.present:
                with suppress(termios.error):
                    termios.tcflush(self._number, termios.TCIFLUSH)  # what was typed after the program's end
                self._set_cbreak()
                loop.add_reader(self._number, self._read)

    def _read(self) -> None:
        try:
            typed = os.read(self._number, 1024)
        except OSError:
            typed = b""
        if not typed:
            asyncio.get_running_loop().remove_reader(self._number)
        elif not typed.startswith(_ESCAPE):  # an arrow or a function key
            for key in typed.decode(errors="ignore"):
                self._keys.put_nowait(key)

    def _continue(self) -> None:
        if not self._lent:
            self._set_cbreak()

    def _set_cbreak(self) -> None:
        with suppress(termios.error):  # the terminal is gone
            tty.setcbreak(self._number, termios.TCSADRAIN)

    def _restore(self) -> None:
        if self._before:
            with suppress(termios.error):
                termios.tcsetattr(self._number, termios.TCSADRAIN, self._before)

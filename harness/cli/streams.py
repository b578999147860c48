"""Standard input, output and error that are always there, and whose failures are told apart from all others.

What cannot be shown is no reason to give up the work: standard error swallows what nobody can read.
What cannot be printed on standard output is the command's result, and so an error: `OutputLostError`.
"""

import io
import os
import sys
from contextlib import suppress
from typing import TYPE_CHECKING, TextIO

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer

STDOUT, STDERR = 1, 2


class OutputLostError(Exception):
    """Standard output takes nothing any more.

    Args:
        cause: What the kernel said.
    """

    def __init__(self, cause: OSError) -> None:
        self.errno = cause.errno
        super().__init__(f"standard output cannot be written to: {cause.strerror}")


class _Output(io.FileIO):
    def write(self, data: "ReadableBuffer", /) -> int:
        try:
            return super().write(data)
        except OSError as error:
            raise OutputLostError(error) from error


class _Notices(io.FileIO):
    def write(self, data: "ReadableBuffer", /) -> int:
        with suppress(OSError):  # a full disk, or a terminal that was closed
            super().write(data)
        return memoryview(data).nbytes


def open_streams() -> None:
    """Replace the standard streams by ones that this module describes; to be called before any other file is opened."""
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            # The lowest number that is free is this one; else the next file would be taken for the stream.
            os.open(os.devnull, os.O_RDWR)
    sys.stdin = sys.stdin or open(os.devnull, encoding="utf-8")  # noqa: SIM115, PTH123 - for as long as the process
    sys.stdout = _text(_Output(STDOUT, "wb", closefd=False), sys.stdout)
    sys.stderr = _text(_Notices(STDERR, "wb", closefd=False), sys.stderr)


def close_streams() -> None:
    """Write what is left.

    Raises:
        OutputLostError: It could not be written.
    """
    sys.stdout.flush()
    sys.stderr.flush()


def discard_output() -> None:
    """Let standard output go nowhere; Python would else try again at its end, and complain."""
    sys.stdout = open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115, PTH123 - for as long as the process


def _text(raw: io.FileIO, before: TextIO | None) -> TextIO:
    """A text stream that shows any text: what the terminal's encoding lacks is escaped."""
    encoding = before.encoding if before is not None else "utf-8"
    buffer = io.BufferedWriter(raw)
    line_buffering = raw.fileno() == STDERR or raw.isatty()
    return io.TextIOWrapper(buffer, encoding=encoding, errors="backslashreplace", line_buffering=line_buffering)

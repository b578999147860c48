"""Standard input, output and error that are always open, and whose failures are distinguished from all others.

A notice that cannot be printed is no reason to give up the work: standard error ignores failed writes.
Standard output carries the command's result, so a failed write is an error: `OutputLostError`.
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
    """Standard output can no longer be written to.

    Args:
        cause: The operating system's error.
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
    """Replace the standard streams by those that this module describes; call this before any other file is opened."""
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            # The lowest free descriptor is this one; otherwise, the next file to be opened would become the stream.
            os.open(os.devnull, os.O_RDWR)
    sys.stdin = sys.stdin or open(os.devnull, encoding="utf-8")  # noqa: SIM115, PTH123 - for as long as the process
    sys.stdout = _text(_Output(STDOUT, "wb", closefd=False), sys.stdout)
    sys.stderr = _text(_Notices(STDERR, "wb", closefd=False), sys.stderr)


def close_streams() -> None:
    """Flush the streams.

    Raises:
        OutputLostError: Standard output could not be written to.
    """
    sys.stdout.flush()
    sys.stderr.flush()


def discard_output() -> None:
    """Redirect standard output to nowhere; otherwise Python would flush it again at exit, and complain."""
    sys.stdout = open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115, PTH123 - for as long as the process


def _text(raw: io.FileIO, before: TextIO | None) -> TextIO:
    """Return a text stream that accepts any text: characters that the terminal's encoding lacks are escaped."""
    encoding = before.encoding if before is not None else "utf-8"
    buffer = io.BufferedWriter(raw)
    line_buffering = raw.fileno() == STDERR or raw.isatty()
    return io.TextIOWrapper(buffer, encoding=encoding, errors="backslashreplace", line_buffering=line_buffering)

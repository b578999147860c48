"""A function's output: from bytes as they arrive to the lines of its log, and the last 4 KB for `LogResult`.

    bytes --> Lines --> whole lines, long ones in pieces --> the log stream
                  `--> Tail, the last 4 KB

The memory used here does not depend on how much a function prints.
"""

import asyncio
import contextlib
import os
import re
from collections.abc import Callable

import msgspec

from harness.gateway import limits
from harness.gateway.logs.config import Logging
from harness.gateway.runtime.bootstrap import LINE_WITHIN, NO_LINE_END

# CloudWatch Logs limits the size of an event, of which 26 bytes are its own, and one is the line's end.
# https://docs.aws.amazon.com/AmazonCloudWatchLogs/latest/APIReference/API_PutLogEvents.html
LONGEST_LINE_BYTES = 262_144 - 26 - 1
# Small enough that a function that prints endlessly does not block the event loop.
READ_BYTES = 16_384
# A pipe holds 64 KB by default and at most 1 MB without privileges.
MOST_UNREAD_BYTES = 1 << 20

_CHARACTER_BYTES = 4
# RIE's own messages: `30 Nov 2026 19:34:13,445 [ERROR] (rapid) Init failed ...`.
_RAPID = re.compile(r"\d{2} [A-Z][a-z]{2} \d{4} \d{2}:\d{2}:\d{2},\d{3} \[[A-Z]+\] \(rapid\) .*\n")


class Lines:
    """Splits a stream of bytes into lines; an unfinished line is kept until the rest of it arrives."""

    def __init__(self) -> None:
        self._rest = b""

    def add(self, chunk: bytes) -> str:
        """Return the lines that the chunk completes, each with its end; lines above CloudWatch's limit in pieces."""
        head, end, rest = chunk.rpartition(b"\n")
        if end:
            whole, self._rest = self._rest + head + end, rest
        else:
            whole, self._rest = b"", self._rest + chunk
        # An invalid byte is replaced by a character of three bytes.
        if len(whole) * 3 <= LONGEST_LINE_BYTES:
            text = whole.decode(errors="replace")
        else:
            text = "".join(map(_in_pieces, whole.split(b"\n")[:-1]))
        while len(self._rest) > LONGEST_LINE_BYTES:
            length = LONGEST_LINE_BYTES - split_character(self._rest[:LONGEST_LINE_BYTES])
            text += _in_pieces(self._rest[:length])
            self._rest = self._rest[length:]
        return text

    def end(self) -> str:
        """Return the unfinished line, if there is one, as if it had ended."""
        rest, self._rest = self._rest, b""
        return _in_pieces(rest) if rest else ""


def _in_pieces(line: bytes) -> str:
    """Return a line with its end, in pieces of whole characters if it exceeds CloudWatch's limit."""
    content, pieces = line.decode(errors="replace").encode(), []
    while len(content) > LONGEST_LINE_BYTES:
        length = LONGEST_LINE_BYTES - split_character(content[:LONGEST_LINE_BYTES])
        pieces.append(content[:length])
        content = content[length:]
    return b"\n".join([*pieces, content, b""]).decode()


def split_character(content: bytes) -> int:
    """Return how many bytes at the end begin a UTF-8 character whose rest is missing."""
    for length in range(1, min(_CHARACTER_BYTES, len(content) + 1)):
        first = content[-length]
        if first & 0b1100_0000 == 0b1000_0000:
            continue
        needed = 4 if first >= 0b1111_0000 else 3 if first >= 0b1110_0000 else 2 if first >= 0b1100_0000 else 1
        return length if needed > length else 0
    return 0


def events_of(text: str) -> list[str]:
    """Return whole lines as log events: each ends with its line end, unless it is marked as one without.

    AWS logs no empty lines.
    """
    events = [line + "\n" for line in text.split("\n") if line]
    if LINE_WITHIN in text or NO_LINE_END in text:
        return [event.replace(LINE_WITHIN, "\n").replace(NO_LINE_END + "\n", "") for event in events]
    return events


class _Levelled(msgspec.Struct):
    """What matters of a message in JSON."""

    level: object = None


def at_level(text: str, logging: Logging) -> str:
    """Return the lines that a log in JSON holds: messages in JSON have a level, all other text passes.

    Args:
        text: Whole lines.
        logging: The log's configuration.
    """
    if "{" not in text:
        return text
    return "".join([line + "\n" for line in text.split("\n")[:-1] if _passes(line, logging)])


def _passes(line: str, logging: Logging) -> bool:
    if not line.startswith("{"):
        return True
    try:
        message = msgspec.json.decode(line.removesuffix(NO_LINE_END), type=_Levelled)
    except (msgspec.MsgspecError, RecursionError):
        return True
    return logging.logs_application(message.level)


def readable(text: str, within: str = "\n") -> str:
    """Return whole lines without marks, each with its end.

    Args:
        text: The lines.
        within: Stands for a line end within an event.
    """
    if "\r" not in text:
        return text
    return text.replace(LINE_WITHIN, within).replace(NO_LINE_END, "")


class Tail:
    """The last 4 KB of an invocation's log."""

    def __init__(self) -> None:
        self._kept = b""

    def clear(self) -> None:
        """Forget the log, because another invocation begins."""
        self._kept = b""

    def add(self, text: str) -> None:
        """Add logged text, whole lines."""
        # A character has at least one byte, so this many characters suffice.
        self._kept = (self._kept + text[-limits.LOG_TAIL_BYTES :].encode())[-limits.LOG_TAIL_BYTES :]

    @property
    def content(self) -> bytes:
        """Return the last 4 KB as bytes, without a character that was cut in half at the beginning."""
        begin = 0
        while begin < min(_CHARACTER_BYTES, len(self._kept)) and self._kept[begin] & 0b1100_0000 == 0b1000_0000:
            begin += 1
        return self._kept[begin:]


class Pipe:
    """The reading end of a pipe, read as data arrives, as long as the receiver has room.

    While reading is paused the pipe fills, and then the process that prints into it waits.

    Args:
        descriptor: The pipe; `close` closes it.
    """

    def __init__(self, descriptor: int) -> None:
        os.set_blocking(descriptor, False)
        self._descriptor = descriptor
        self._take: Callable[[bytes], bool] | None = None

    def start(self, take: Callable[[bytes], bool]) -> None:
        """Start to read.

        Args:
            take: Receives each chunk, and returns whether it has room for more; if not, call `resume` later.
        """
        self._take = take
        self.resume()

    def resume(self) -> None:
        """Continue to read."""
        if self._descriptor >= 0:
            asyncio.get_running_loop().add_reader(self._descriptor, self._read)

    def drain(self) -> None:
        """Deliver what is in the pipe now, even without room: it is one pipe's content at most."""
        assert self._take is not None  # noqa: S101 - it was started
        unread = MOST_UNREAD_BYTES if self._descriptor >= 0 else 0
        while unread > 0 and (chunk := self._next()):
            unread -= len(chunk)
            self._take(chunk)

    def close(self) -> None:
        """Deliver what is in the pipe, and close it."""
        if self._descriptor >= 0:
            self.drain()
            self._pause()
            os.close(self._descriptor)
            self._descriptor = -1

    def _read(self) -> None:
        assert self._take is not None  # noqa: S101 - it was started
        chunk = self._next()
        if chunk == b"" or (chunk and not self._take(chunk)):
            self._pause()

    def _next(self) -> bytes | None:
        """Return a chunk; None if there is none now, empty if there will be no more."""
        with contextlib.suppress(BlockingIOError):
            return os.read(self._descriptor, READ_BYTES)
        return None

    def _pause(self) -> None:
        asyncio.get_running_loop().remove_reader(self._descriptor)


class RieLines:
    """Separates RIE's own lines from the function's on a shared stream, as in a container.

    RIE prints `START` with the invocation's id before the function can know it, and `END` and `REPORT` as a pair in its
    own format. The same words in another format, elsewhere, or with another id are the function's.
    Its errors have a time and `(rapid)` in front. A line of the runtime's own error is marked as one event.
    """

    def __init__(self) -> None:
        self.ended = asyncio.Event()
        self._start = self._end = self._report = re.compile("(?!)")
        self._held = ""

    def begin(self, request_id: str) -> None:
        """Expect the lines of another invocation."""
        self.ended.clear()
        self._start = re.compile(rf"START RequestId: {request_id} Version: \S+\n")
        self._end = re.compile(rf"END RequestId: {request_id}\n")
        self._report = re.compile(
            rf"REPORT RequestId: {request_id}\t(Init Duration: [\d.]+ ms\t)?Duration: [\d.]+ ms\t"
            r"Billed Duration: \d+ ms\tMemory Size: \d+ MB\tMax Memory Used: \d+ MB\t\n"
        )

    def add(self, text: str) -> str:
        """Return the function's own lines among these whole lines."""
        return "".join([self._own(line + "\n") for line in text.split("\n")[:-1]])

    def end(self) -> str:
        """Return the line that was held back until the next one."""
        held, self._held = self._held, ""
        return held

    def _own(self, line: str) -> str:
        held = self.end()
        if " (rapid) " in line and _RAPID.search(line):
            return held + _before(_RAPID, line)
        if line.startswith("[ERROR] ") and "\r" in line:
            line = line[:-1].replace("\r", LINE_WITHIN) + NO_LINE_END + "\n"
        if held and self._report.fullmatch(line):
            self.ended.set()
            return _before(self._end, held)
        if self._end.search(line):
            self._held = line
            return held
        if self._start.search(line):
            line, self._start = _before(self._start, line), re.compile("(?!)")
        return held + line


def _before(ending: re.Pattern[str], line: str) -> str:
    """Return the function's output, without a line end, that precedes RIE's text on a line."""
    found = ending.search(line)
    assert found is not None  # noqa: S101 - it was found before
    return line[: found.start()] + "\n" if found.start() else ""

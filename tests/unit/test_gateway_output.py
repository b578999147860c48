"""From the bytes that a function prints to the lines of its log."""

import asyncio
import contextlib
import os

import pytest

from harness.gateway import limits
from harness.gateway.logs.config import Logging
from harness.gateway.logs.output import (
    LONGEST_LINE_BYTES,
    Lines,
    Pipe,
    RieLines,
    Tail,
    at_level,
    events_of,
    readable,
    split_character,
)

RIE_REPORT = (
    "REPORT RequestId: {}\tDuration: 1.40 ms\tBilled Duration: 2 ms\tMemory Size: 128 MB\tMax Memory Used: 128 MB\t\n"
)


@pytest.mark.parametrize("size", [1, 2, 3, 5, 7, 1000])
def test_lines_do_not_depend_on_how_the_output_came(size):
    """Characters and lines that arrive in parts are joined."""
    printed, lines = "one\n\nzwei ü\r日本\n😀 end".encode(), Lines()

    text = "".join(lines.add(printed[place : place + size]) for place in range(0, len(printed), size)) + lines.end()

    assert printed.decode() + "\n" == text
    assert "" == lines.end()


def test_bytes_that_are_no_characters_are_replaced():
    """A function may print any bytes; the log accepts only characters."""
    assert "\0 \ufffd\ufffd\n" == Lines().add(b"\0 \xff\xfe\n")


def test_a_line_above_cloudwatchs_limit_comes_in_pieces_of_whole_characters():
    """No more than one piece of it is kept in memory."""
    lines, text = Lines(), ""
    for _ in range(50):
        text += lines.add("日本語".encode() * 2000)

    pieces = (text + lines.end()).split("\n")[:-1]

    assert "日本語" * 100_000 == "".join(pieces)
    assert max(len(piece.encode()) for piece in pieces) <= LONGEST_LINE_BYTES


@pytest.mark.parametrize(
    "printed",
    [
        b"x" * (LONGEST_LINE_BYTES - 10) + b"y" * 100 + b"\nz\n",
        "日本語".encode() * 100_000 + b"\n",
        b"\xff" * (LONGEST_LINE_BYTES - 10) + b"\n",
        b"\xff" * (LONGEST_LINE_BYTES - 10),
    ],
    ids=["just above", "one chunk", "replaced", "replaced, unfinished"],
)
@pytest.mark.parametrize("size", [10_000, 16_384, 10**7])
def test_no_event_is_above_cloudwatchs_limit(printed, size):
    """This holds for a line that ends just after the limit, and for one that grows when its bytes are replaced."""
    lines = Lines()
    text = "".join(lines.add(printed[place : place + size]) for place in range(0, len(printed), size)) + lines.end()

    assert printed.decode(errors="replace").replace("\n", "") == text.replace("\n", "")
    assert max(len(piece.encode()) for piece in text.split("\n")) <= LONGEST_LINE_BYTES


@pytest.mark.parametrize(
    ("content", "missing"),
    [(b"", 0), (b"a", 0), ("ü".encode(), 0), ("ü".encode()[:1], 1), ("日".encode()[:2], 2), ("😀".encode()[:3], 3)],
)
def test_the_beginning_of_a_character_is_seen(content, missing):
    """So a cut falls before it."""
    assert missing == split_character(content)
    assert missing == split_character(b"before" + content)


@pytest.mark.parametrize("text", ["日\n", "日本\n", "é\n", "😀\n", "abc\n"])
def test_a_tail_has_at_most_4_kb_and_whole_characters(text):
    """It is what `LogResult` contains, whatever the lines are."""
    tail = Tail()
    for _ in range(2000):
        tail.add(text)

    assert limits.LOG_TAIL_BYTES - 4 < len(tail.content) <= limits.LOG_TAIL_BYTES
    assert (text * 2000).endswith(tail.content.decode())


def test_a_pipe_is_not_read_while_there_is_no_room():
    """The process that prints into it waits; at the end of an invocation the content is read anyway."""

    async def read():
        reading, writing = os.pipe()
        os.set_blocking(writing, False)
        taken, room = [], False

        def take(chunk):
            taken.append(chunk)
            return room

        pipe = Pipe(reading)
        pipe.start(take)
        written = 0
        with contextlib.suppress(BlockingIOError):
            while written < 1 << 20:
                written += os.write(writing, b"x" * 4096)
                await asyncio.sleep(0)
        before = sum(map(len, taken))
        pipe.drain()
        after = sum(map(len, taken))
        room = True
        pipe.resume()
        os.write(writing, b"more")
        while taken[-1] != b"more":  # noqa: ASYNC110 - a pipe sets no event
            await asyncio.sleep(0)
        pipe.close()
        os.close(writing)
        return before, after

    before, after = asyncio.run(read())

    assert before <= 16_384
    assert after >= 65_536


def test_riess_own_lines_are_dropped_and_the_functions_look_alikes_kept():
    """In a container both share one stream."""
    rie = RieLines()
    rie.begin("an-id")
    printed = (
        "START RequestId: an-id Version: $LATEST\n"
        "START RequestId: an-id Version: $LATEST\n"
        "REPORT RequestId: other Duration: 9 ms\n"
        "END RequestId: an-id\n"
        "END RequestId: other\n" + RIE_REPORT.format("other") + "worker: " + RIE_REPORT.format("an-id") + "no end"
    )

    kept = rie.add(printed + "END RequestId: an-id\n")
    ended_before = rie.ended.is_set()
    kept += rie.add(RIE_REPORT.format("an-id"))

    assert printed.partition("\n")[2] + "\n" == kept
    assert (False, True) == (ended_before, rie.ended.is_set())


def test_the_last_words_of_a_runtime_that_died_are_kept_even_if_they_look_like_ries():
    """RIE writes no END after a death."""
    rie = RieLines()
    rie.begin("an-id")

    assert "END RequestId: an-id\n" == rie.add("END RequestId: an-id\n") + rie.end()
    assert not rie.ended.is_set()


def test_ries_errors_are_dropped_and_the_runtimes_error_is_one_event():
    """In a container, RIE writes its errors even behind an unfinished line."""
    rie = RieLines()
    rie.begin("an-id")
    rapid = "30 Nov 2026 19:34:13,445 [ERROR] (rapid) Init failed error=Runtime exited with error: exit status 1\n"

    kept = rie.add(f"{rapid}half a line{rapid}what (rapid) means\n[ERROR] ValueError: x\rTraceback:\r  line\na\rb\n")

    error = "[ERROR] ValueError: x\nTraceback:\n  line"
    assert ["half a line\n", "what (rapid) means\n", error, "a\rb\n"] == events_of(kept)
    assert f"half a line\nwhat (rapid) means\n{error}\na\rb\n" == readable(kept)


@pytest.mark.parametrize(
    ("line", "passes"),
    [
        ("text", True),
        ('{"level": "INFO"}', False),
        ('{"level": "warning"}', True),
        ('{"level": "CRITICAL"}', True),
        ('{"level": 7}', False),
        ('{"message": "no level"}', False),
        ("{no json", True),
        ("[1]", True),
        pytest.param('{"a":' * 5000, True, id="deep"),
    ],
)
def test_a_log_in_json_holds_what_has_its_level(line, passes):
    """A message without a valid level counts as INFO, and text is none."""
    assert (line + "\n" if passes else "") == at_level(line + "\n", Logging("JSON", application_level="WARN"))

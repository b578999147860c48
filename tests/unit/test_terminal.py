"""Text of others does not reach a terminal as commands to it."""

import io
import sys
from pathlib import Path

import pytest

from harness.cli import _terminal

HARNESS = Path(sys.executable).with_name("harness")


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain\ttext\nof two lines, größer 日本", "plain\ttext\nof two lines, größer 日本"),
        ("\x1b]0;title\x07\x1b[2Jgone", r"\x1b]0;title\x07\x1b[2Jgone"),
        ("\x9b31mred", r"\x9b31mred"),
        ("first\rsecond", r"first\rsecond"),
        ("a\x00b\x7f\u202ec", r"a\x00b\x7f\u202ec"),
    ],
)
def test_control_characters_are_escaped(text, shown):
    """All but tab and line feed, in both of their forms."""
    assert shown == _terminal.printable(text)


@pytest.mark.parametrize("terminal", [True, False])
def test_a_pipe_gets_what_was_printed(monkeypatch, terminal):
    """Only a terminal obeys escape sequences; what reads from a pipe decides for itself."""
    stream = io.StringIO()
    stream.isatty = lambda: terminal
    monkeypatch.setattr("sys.stdout", stream)

    _terminal.echo("\x9b31mred\x07", nl=False)

    assert stream.getvalue() == (r"\x9b31mred\x07" if terminal else "\x9b31mred\x07")

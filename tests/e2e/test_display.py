"""A run on terminals of two sizes, as a user sees it."""

import os
import re
import sys
from pathlib import Path

import pexpect
import pytest

HARNESS = Path(sys.executable).with_name("harness")
ESCAPES = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")


def run_on_terminal(folder, width, height, *arguments):
    """The output of a run that succeeds, and all lines that were drawn."""
    # pexpect's terminal is the standard streams' only; pytest's own size must not be inherited.
    environment = {key: value for key, value in os.environ.items() if key not in {"COLUMNS", "LINES", "NO_COLOR"}}
    child = pexpect.spawn(
        str(HARNESS), ["run", *arguments], cwd=folder, dimensions=(height, width),
        env=environment | {"TERM": "xterm-256color"}, encoding="utf-8", timeout=100,
    )  # fmt: skip
    child.expect(pexpect.EOF)
    child.close()
    assert child.exitstatus == 0, child.before
    return child.before, re.split(r"[\r\n]+", ESCAPES.sub("", child.before))


@pytest.mark.parametrize(("width", "height"), [(80, 24), pytest.param(200, 50, marks=pytest.mark.slow)])
def test_a_run_fits_the_terminal(project, width, height):
    """No line is longer than the terminal; totals, ranks and the summary are there; the display leaves nothing."""
    text, lines = run_on_terminal(
        project.root, width, height,
        "--data", "synthetic:rows=20000", "--n-workers", "3", "--n-epochs", "20", "--batch-size", "20",
    )  # fmt: skip

    assert max(map(len, lines)) <= width
    seen = "\n".join(lines)
    for part in ("3 training", "loss of the epoch", "rows/s", "ETA", "rank  state", "0  training"):
        assert part in seen
    assert re.search(r"round [\d,]+/6,\d{3}", seen)
    end = seen[seen.rindex("succeeded") :]
    assert "sha256" in end
    # The cursor is visible again.
    assert text.rindex("\x1b[?25h") > text.rindex("\x1b[?25l")

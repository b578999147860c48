"""The screen of a run on terminals of two sizes, with more ranks than lines."""

import re
import time
from io import StringIO

import pytest
from rich.console import Console
from rich.theme import Theme

from harness.cli.run_screen import RANKS_EVERY_S, STEADY_S, RunScreen
from harness.runs.progress import Progress, RankProgress, format_ranks, late_rank
from harness.system.console import STYLES

SIZES = [(80, 24), (200, 50)]
STAGE = "training"


class Screen:
    """A run's screen on a terminal of a size, and a clock that the test sets.

    Args:
        width: Columns.
        height: Lines.
    """

    def __init__(self, width, height):
        self.now = 100.0
        self.console = Console(
            width=width, height=height, file=StringIO(), force_terminal=True, color_system=None,
            theme=Theme(STYLES), highlight=False,
        )  # fmt: skip
        self.screen = RunScreen(self.console, lambda: self.now)

    def lines(self, progress, after_s=RANKS_EVERY_S):
        """The lines on the terminal some time later."""
        self.now += after_s
        self.console.file = StringIO()
        self.console.print(self.screen.draw(STAGE, "", progress))
        return self.console.file.getvalue().splitlines()


def training(number, **changes):
    """The progress of ranks that train."""
    common = {"state": "training", "round": 500, "rounds": 2000, "epoch": 3, "loss": 0.4, "epoch_loss": 0.5}
    return Progress([RankProgress(rank, rows_per_s=1000.0, **(common | changes)) for rank in range(number)])


@pytest.mark.parametrize(("width", "height"), SIZES)
@pytest.mark.parametrize("number", [1, 4, 40, 64])
def test_the_screen_fits_and_has_the_totals(width, height, number):
    """No line is longer, and no more lines are there, than the terminal has; the totals are complete."""
    lines = Screen(width, height).lines(training(number))

    assert len(lines) < height
    assert max(map(len, lines)) <= width
    text = "\n".join(lines[:3])
    for part in ("25%", "round 500/2,000", "ETA", f"{number} training", "epoch 3", "loss of the epoch 0.5000",
                 "of the batch 0.4000", f"{number},000 rows/s"):  # fmt: skip
        assert part in text


@pytest.mark.parametrize(("width", "height"), SIZES)
def test_ranks_that_need_attention_are_shown_first(width, height):
    """Of 64 ranks, those that failed, are retried or wait are shown; the others are summed up in the last line."""
    progress = training(64)
    ranks = progress.ranks
    ranks[61].state, ranks[61].cause, ranks[61].failures = "failed", "Task timed out after 3.00 seconds", 3
    ranks[62].state, ranks[62].cause, ranks[62].retry_at = "died", "Runtime.ExitError", time.monotonic() + 1000.0
    ranks[63].waits_for = "rank 62"

    lines = Screen(width, height).lines(progress)

    first = next(at for at, line in enumerate(lines) if line.startswith("rank  state")) + 1
    assert [line.split()[:2] for line in lines[first : first + 4]] == [
        ["61", "failed"], ["62", "retrying"], ["63", "waiting"], ["0", "training"],
    ]  # fmt: skip
    assert "Task timed out" in lines[first]
    assert re.search(r"again in about (1000|9\d\d) s", lines[first + 1])
    assert "waits for rank 62" in lines[first + 2]
    shown = len(lines) - first - 1
    assert lines[-1].startswith(f"{64 - shown} more: {64 - shown} training; round 500; ")
    assert "64 ranks: 1 failed, 1 retrying, 1 waiting, 61 training" in "\n".join(lines)


def test_a_resized_terminal_is_filled_again():
    """The next drawing fits the new size."""
    screen = Screen(80, 24)
    assert len(screen.lines(training(40))) == 23

    screen.console.size = (60, 12)
    lines = screen.lines(training(40), after_s=0.1)

    assert len(lines) == 11
    assert max(map(len, lines)) <= 60
    assert lines[-1].startswith("34 more")


def test_the_eta_follows_from_the_speed_of_the_rounds():
    """At 10 rounds a second, 1,000 rounds that are left take 100 seconds."""
    screen, progress = Screen(80, 24), training(4)
    for seconds in range(20):
        for rank in progress.ranks:
            rank.round = 810 + 10 * seconds
        lines = screen.lines(progress, after_s=1.0)

    assert "ETA 0:01:40" in lines[0]


def test_a_late_rank_is_named():
    """The others wait for their neighbours, and those for rank 5: it is named and shown first while that is news."""
    progress = training(40, compute_s=0.1, wait_s=0.4, measured_at=100.0)
    for rank in progress.ranks:
        rank.waited_for = 5 if rank.rank in {4, 6} else (rank.rank + 1) % 40
    progress.ranks[5].compute_s, progress.ranks[5].wait_s, progress.ranks[5].waited_for = 0.49, 0.01, 6
    screen = Screen(80, 24)

    assert not any("late" in line for line in screen.lines(progress))
    for rank in progress.ranks:
        rank.measured_at = screen.now + STEADY_S
    lines = screen.lines(progress, after_s=STEADY_S)

    assert "rank 5 is late: the others waited 0.40 of the last 0.50 s for it" in lines[3]
    assert lines[5].split()[:2] == ["5", "late"]

    assert not any("late" in line for line in screen.lines(progress, after_s=10.0))


def test_nobody_is_late_where_all_wait_for_one_another():
    """Ranks that all wait as long as the others hold up nobody."""
    progress = training(4, compute_s=0.1, wait_s=0.4, measured_at=100.0)
    for rank in progress.ranks:
        rank.waited_for = (rank.rank + 1) % 4

    assert late_rank(progress, now=100.0) is None


def test_text_of_others_is_escaped():
    """A cause that holds an escape sequence does not reach the terminal."""
    progress = training(2)
    progress.ranks[1].state, progress.ranks[1].cause = "failed", "\x1b[2Jgone"

    assert "\\x1b[2Jgone" in "\n".join(Screen(80, 24).lines(progress))


def test_ranks_in_a_few_characters():
    """Runs of ranks are written by their ends."""
    assert format_ranks([7, 0, 1, 2, 5, 6, 9]) == "0-2, 5-7, 9"

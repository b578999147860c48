"""The screen of a run: its totals, then as many ranks as fit, those first that need attention."""

import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from typing import Literal

from rich.console import Console, Group, RenderableType
from rich.progress import BarColumn, TaskProgressColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.progress import Progress as Bars
from rich.segment import Segments
from rich.spinner import Spinner
from rich.table import Table
from rich.text import Text

from harness.cli._terminal import printable
from harness.runs.progress import LateRank, Progress, RankProgress, late_rank, waits
from harness.system.console import ASIDE, BAD, CAUTION, GOOD

# The conditions of a rank, those first that need attention, each with its colour.
CONDITIONS = {
    "failed": BAD,
    "retrying": CAUTION,
    "late": CAUTION,
    "waiting": CAUTION,
    "starting": ASIDE,
    "training": "",
    "finished": GOOD,
}
# On a terminal of this width, the totals are in one line, and ranks have further columns.
WIDE = 120
# A rank is named as late once it has been the same one for this long.
STEADY_S = 2.0
RANKS_EVERY_S = 1.0


class RunScreen:
    """The screen of a run, drawn anew at each call of `draw`.

    Args:
        console: The terminal, which may be resized at any time.
        clock: A monotonic clock, in seconds.
    """

    def __init__(self, console: Console, clock: Callable[[], float] = time.monotonic) -> None:
        self._console, self._clock = console, clock
        self._bars = Bars(
            TextColumn("{task.description}"),
            BarColumn(bar_width=None),
            TaskProgressColumn(),
            TextColumn("round {task.fields[rounds]}"),
            TimeElapsedColumn(),
            TextColumn("ETA", style=ASIDE),
            TimeRemainingColumn(),
            console=console,
            auto_refresh=False,
            expand=True,
            get_time=clock,
        )
        self._bar = self._bars.add_task("", total=None, rounds="")
        self._spinner = Spinner("dots")
        self._rendered, self._shape, self._next_ranks = Segments([]), (0, 0), 0.0
        self._late: LateRank | None = None
        self._late_since = 0.0

    def draw(self, stage: str, wait: str, progress: Progress | None) -> RenderableType:
        """Return the screen.

        Args:
            stage: What the run does.
            wait: How long the stage has lasted; empty for a short time.
            progress: Its ranks; None before they are invoked.
        """
        width, height = self._console.size
        if progress is None or not progress.ranks:
            self._spinner.text = _line(f"{stage} ... {wait}")
            return self._spinner
        late = self._steady(late_rank(progress, self._clock()))
        totals = [self._bar_of(stage, progress), *_totals(progress, late, width)]
        if reason := waits(progress):
            totals.append(_line(f"waiting for {reason}", CAUTION))
        if late is not None:
            totals.append(_line(format_late(late), CAUTION))
        return Group(*totals, self._ranks_of(progress.ranks, late, width, height - len(totals) - 1))

    def _ranks_of(self, ranks: Sequence[RankProgress], late: LateRank | None, width: int, room: int) -> RenderableType:
        """Return the ranks, rendered at most once a second: a table of 50 lines takes 20 ms of a core."""
        now, shape = self._clock(), (width, room)
        if shape != self._shape or now >= self._next_ranks:
            self._shape, self._next_ranks = shape, now + RANKS_EVERY_S
            self._rendered = Segments(list(self._console.render(Group(*_ranks(ranks, late, width, room)))))
        return self._rendered

    def _bar_of(self, stage: str, progress: Progress) -> RenderableType:
        done, total = min(rank.round for rank in progress.ranks), max(rank.rounds for rank in progress.ranks)
        shown = f"{done:,}/{total:,}" if total else f"{done:,}"
        self._bars.update(self._bar, description=stage, completed=done, total=total or None, rounds=shown)
        return self._bars.get_renderable()

    def _steady(self, late: LateRank | None) -> LateRank | None:
        """Return the late rank once it has been the same one for a while, so that names do not flicker."""
        now = self._clock()
        if late is None or self._late is None or late.rank != self._late.rank:
            self._late_since = now
        self._late = late
        return late if now - self._late_since >= STEADY_S else None


def format_late(late: LateRank) -> str:
    """Return a line about a late rank."""
    return f"rank {late.rank} is late: the others waited {late.wait_s:.2f} of the last {late.seconds:.2f} s for it"


def _totals(progress: Progress, late: LateRank | None, width: int) -> Iterator[Text]:
    ranks = progress.ranks
    states = Text(f"{len(ranks)} ranks: " if len(ranks) > 1 else "1 rank: ", no_wrap=True, overflow="ellipsis")
    states.append_text(_counts(ranks, late))
    figures = Text(no_wrap=True, overflow="ellipsis")
    epoch = min(rank.epoch for rank in ranks)
    if epoch:
        figures.append(f"epoch {epoch}  ")
    figures.append(f"loss of the epoch {_number(ranks[0].epoch_loss)}, of the batch {_number(ranks[0].loss)}  ")
    figures.append(f"{_speed(ranks):,.0f} rows/s")
    if states.cell_len + figures.cell_len + 3 <= width and width >= WIDE:
        yield states.append("   ").append_text(figures)
    else:
        yield states
        yield figures


def _counts(ranks: Sequence[RankProgress], late: LateRank | None) -> Text:
    counts = Counter(_condition(rank, late) for rank in ranks)
    parts = [Text(f"{counts[name]} {name}", style=style) for name, style in CONDITIONS.items() if counts[name]]
    return Text(", ").join(parts)


def _ranks(ranks: Sequence[RankProgress], late: LateRank | None, width: int, room: int) -> Iterator[RenderableType]:
    """Yield the table of ranks that fit into some lines, and a line about the others."""
    table = Table(box=None, pad_edge=False, header_style=ASIDE, expand=True)
    headings = ["rank", "state", "round", "epoch", "waits", "rows/s", *["MB"] * (width >= WIDE), ""]
    for heading in headings:
        justify: Literal["left", "right"] = "left" if heading in {"state", ""} else "right"
        # The last column, a note, takes what is left of the width.
        table.add_column(heading, justify=justify, no_wrap=True, ratio=None if heading else 1)
    lines = room - 1
    shown, others = list(ranks), []
    if len(ranks) > lines:
        order = list(CONDITIONS)
        by_interest = sorted(ranks, key=lambda rank: order.index(_condition(rank, late)))
        cut = max(0, lines - 1)
        shown, others = by_interest[:cut], by_interest[cut:]
    for rank in shown:
        table.add_row(*_cells(rank, late, wide=width >= WIDE))
    if shown:
        yield table
    if others and room > 0:
        yield _others(others, late)


def _others(ranks: Sequence[RankProgress], late: LateRank | None) -> Text:
    first, last = min(rank.round for rank in ranks), max(rank.round for rank in ranks)
    text = Text(f"{len(ranks)} more: ", style=ASIDE, no_wrap=True, overflow="ellipsis")
    text.append_text(_counts(ranks, late))
    text.append(f"; round {first:,}" + (f" to {last:,}" if last > first else ""))
    return text.append(f"; {_speed(ranks):,.0f} rows/s")


def _cells(rank: RankProgress, late: LateRank | None, *, wide: bool) -> list[Text]:
    condition = _condition(rank, late)
    measured_s = rank.compute_s + rank.wait_s
    texts = [
        str(rank.rank),
        condition,
        f"{rank.round:,}",
        str(rank.epoch),
        f"{rank.wait_s / measured_s:.0%}" if measured_s else "-",
        f"{rank.rows_per_s:,.0f}" if rank.rows_per_s else "-",
        *([f"{rank.rss_mb:,.0f}" if rank.rss_mb else "-"] if wide else []),
    ]
    cells = [Text(text) for text in texts]
    cells[1].stylize(CONDITIONS[condition])
    return [*cells, _line(_note(rank, condition), ASIDE)]


def _condition(rank: RankProgress, late: LateRank | None) -> str:
    if rank.retry_at is not None:
        return "retrying"
    if rank.state in {"failed", "died"}:
        return "failed"
    if rank.state == "finished":
        return "finished"
    if late is not None and rank.rank == late.rank:
        return "late"
    if rank.waits_for:
        return "waiting"
    return "training" if rank.state == "training" else "starting"


def _note(rank: RankProgress, condition: str) -> str:
    if condition == "retrying" and rank.retry_at is not None:
        return f"again in about {max(0.0, rank.retry_at - time.monotonic()):.0f} s; {rank.cause}"
    if condition == "failed":
        return rank.cause
    if condition == "waiting":
        return f"waits for {rank.waits_for}"
    if condition == "late":
        return "the others wait for it"
    return f"attempt {rank.failures + 1}" if rank.failures else ""


def _speed(ranks: Sequence[RankProgress]) -> float:
    return sum(rank.rows_per_s or 0.0 for rank in ranks if _condition(rank, None) == "training")


def _line(text: str, style: str = "") -> Text:
    return Text(printable(text), style=style, no_wrap=True, overflow="ellipsis")


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.4f}"

"""The display of a run: one line per rank while it trains, a short summary at the end."""

import threading
import time
from contextlib import suppress
from types import TracebackType
from typing import Any, Self

import click
from rich.console import Console, Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from harness.cli._terminal import printable
from harness.runs.defaults import format_defaults
from harness.runs.progress import Progress, RankProgress, waits
from harness.runs.summary import Summary

# As many ranks as fit on a terminal; the others are only counted.
MAX_RANK_LINES = 32
# A longer wait is reported with its reason, and again at this interval.
LONG_WAIT_S, WAIT_LINE_EVERY_S = 5.0, 15.0
MAX_EPOCH_LINES = 12
# Without a terminal, at most one epoch is printed in this time.
PLAIN_LINE_EVERY_S = 1.0


class RunDisplay:
    """A live display on standard error, or plain lines, one per stage and epoch, when that is not a terminal."""

    def __init__(self) -> None:
        self._console = Console(stderr=True)
        self._stage = ""
        self._progress: Progress | None = None
        self._printed_epoch, self._next_line = 0, 0.0
        self._since = time.monotonic()
        self._next_wait = self._since + LONG_WAIT_S
        self._over = threading.Event()
        self._wait_printer = threading.Thread(target=self._print_waits, name="display", daemon=True)
        # Drawn ten times a second, so that the seconds advance while the command itself waits.
        self._live = Live(console=self._console, refresh_per_second=10, transient=True, get_renderable=self._screen)

    def __enter__(self) -> Self:
        if self._console.is_terminal:
            self._live.start()
        else:
            self._wait_printer.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._live.stop()
        self._over.set()

    def stage(self, name: str) -> None:
        """Show the stage of the run."""
        if not self._live.is_started and name != self._stage:
            click.echo(f"{name} ...", err=True)
        self._stage = name
        self._moved()

    def note(self, text: str) -> None:
        """Print lines that stay; any thread may call this."""
        if self._live.is_started:
            self._console.print(printable(text), markup=False, highlight=False, soft_wrap=True)
        else:
            click.echo(printable(text), err=True)

    def watch(self, progress: Progress) -> None:
        """Show the progress of the ranks."""
        self._progress = progress
        if not self._live.is_started:
            self._print_epoch(progress)

    def _print_epoch(self, progress: Progress) -> None:
        epoch = min((rank.epoch for rank in progress.ranks), default=0)
        if epoch > self._printed_epoch and time.monotonic() >= self._next_line:
            self._printed_epoch, self._next_line = epoch, time.monotonic() + PLAIN_LINE_EVERY_S
            click.echo(f"epoch {epoch}: loss {_number(progress.ranks[0].loss)}", err=True)
            self._moved()

    def _moved(self) -> None:
        self._since = time.monotonic()
        self._next_wait = self._since + LONG_WAIT_S

    def _print_waits(self) -> None:
        """Print a line when nothing has been printed for a while, until the display ends."""
        while not self._over.wait(0.5):
            now = time.monotonic()
            if now >= self._next_wait and self._stage:
                self._next_wait = now + WAIT_LINE_EVERY_S
                with suppress(OSError, ValueError):  # standard error is closed
                    click.echo(f"{self._stage} ... {self._wait_text(now)}", err=True)

    def _wait_text(self, now: float) -> str:
        ranks = self._progress.ranks if self._progress else []
        reason = waits(self._progress) if self._progress else ""
        rounds = f", round {min(rank.round for rank in ranks)}" if ranks and ranks[0].rounds else ""
        return f"{now - self._since:.0f} s{rounds}" + (f", waiting for {reason}" if reason else "")

    def _screen(self) -> Group:
        now = time.monotonic()
        wait = f" {self._wait_text(now)}" if now - self._since >= LONG_WAIT_S else ""
        table = Table(box=None, pad_edge=False)
        for column in ("rank", "state", "round", "epoch", "loss", "rows/s"):
            table.add_column(column, justify="left" if column == "state" else "right")
        ranks = self._progress.ranks if self._progress else []
        for rank in ranks[:MAX_RANK_LINES]:
            table.add_row(*_cells(rank))
        if len(ranks) > MAX_RANK_LINES:
            table.add_row("...", f"{len(ranks) - MAX_RANK_LINES} more ranks")
        # Not as the table's title, which would be wrapped at the table's width.
        return Group(Text(f"{self._stage} ...{wait}"), table)


def print_summary(summary: Summary) -> None:
    """Print the short summary on standard output."""
    console = Console(highlight=False, soft_wrap=True)
    seconds = summary.seconds
    console.print(
        f"[bold green]{summary.status}[/]  run {summary.run_id}  {len(summary.workers)} workers, "
        f"{summary.rounds} rounds, {' and '.join(summary.exchange['collectives']) or 'alone'}"
    )
    table = Table(box=None, pad_edge=False)
    for column in ("epoch", "loss", "accuracy", "validation loss", "validation accuracy"):
        table.add_column(column, justify="right")
    for epoch in _some(summary.epochs):
        validation = epoch["validation"] or {"loss": None, "accuracy": None}
        figures = (epoch["loss"], epoch["accuracy"], validation["loss"], validation["accuracy"])
        table.add_row(str(epoch["epoch"]), *(_number(figure) for figure in figures))
    console.print(table)
    console.print(
        f"time    {seconds.total:.2f} s from invocation to result: start {seconds.start:.2f}, "
        f"load {seconds.load:.3f}, train {seconds.train:.3f}"
    )
    console.print(
        f"speed   {summary.rows_per_s:,.0f} rows/s; round p50 {summary.round_ms['p50']:.2f} ms, "
        f"all-reduce p50 {summary.all_reduce_ms['p50']:.2f} ms, p99 {summary.all_reduce_ms['p99']:.2f} ms"
    )
    console.print(f"memory  {max(worker.max_rss_mb for worker in summary.workers):.0f} MB in the largest worker")
    console.print(f"cost    {summary.cost_usd:.6f} USD on AWS Lambda")
    if summary.job["zero_based"] == "yes":
        console.print("data    feature indices start at 0 (zero-based)")
    if summary.defaults:
        console.print(format_defaults(summary.defaults))
    for event in summary.events:
        console.print(f"event   {printable(_event(event))}", markup=False)
    for warning in summary.warnings:
        console.print(f"warning {printable(warning['message'])}", style="yellow", markup=False)
    model = f"model   {summary.model['location']}  sha256 {summary.model['sha256'][:16]}"
    console.print(printable(model), markup=False)


def _some(epochs: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return at most a dozen evenly spaced epochs, including the first and the last; `--json` has all."""
    if len(epochs) <= MAX_EPOCH_LINES:
        return epochs
    step = (len(epochs) - 1) / (MAX_EPOCH_LINES - 1)
    return [epochs[round(step * line)] for line in range(MAX_EPOCH_LINES)]


def _event(event: dict[str, Any]) -> str:
    """Return one line about an event of the run: its name, place, time and cost."""
    place = ", ".join(f"{key} {event[key]}" for key in ("rank", "round", "step", "attempt") if key in event)
    words = [str(event.get("fault", event.get("event"))), f"at {place}" if place else ""]
    words += [f"{event['times']} times" if event.get("times", 0) > 1 else "", str(event.get("note", ""))]
    words += [f"after {event['at_s']:.2f} s" if "at_s" in event else ""]
    words += [f"cost {event['cost_s']:.3f} s" if event.get("cost_s") is not None else ""]
    return "; ".join(filter(None, words))


def _cells(rank: RankProgress) -> tuple[str, ...]:
    return (
        str(rank.rank),
        rank.state,
        f"{rank.round}/{rank.rounds}" if rank.rounds else str(rank.round),
        str(rank.epoch),
        _number(rank.loss),
        f"{rank.rows_per_s:,.0f}" if rank.rows_per_s else "",
    )


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.4f}"

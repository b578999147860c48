"""The display of a run while it trains, and a short summary at its end."""

import sys
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from types import TracebackType
from typing import Any, Self

from rich.console import Console, RenderableType
from rich.live import Live
from rich.table import Table
from rich.text import Text

from harness.cli._metrics_text import metrics_text
from harness.cli._table import figures, print_table
from harness.cli._terminal import printable
from harness.cli._waiting import SHOWN_AFTER_S
from harness.cli.run_screen import RunScreen, format_late
from harness.insight.zones import zones_of
from harness.runs.choices import format_chosen
from harness.runs.emulated_network import RunNetwork
from harness.runs.progress import Progress, late_rank, waits
from harness.runs.run_events import summed_up
from harness.runs.summary import Summary
from harness.system.console import CAUTION, GOOD, HEADING, is_live, notice, notices, results

# A longer wait is reported with its reason; without a terminal, again at this interval, which doubles.
LONG_WAIT_S, WAIT_LINE_EVERY_S = 5.0, 15.0
MAX_EPOCH_LINES = 12
MAX_LINK_LINES = 8
MAX_ZONE_RANKS = 8
# Without a terminal, at most one epoch is printed in this time, and in this share of the time so far.
PLAIN_LINE_EVERY_S, PLAIN_LINE_SHARE = 1.0, 0.05
# The labels of a summary's lines.
LABEL_WIDTH = 8
# More failures are only counted.
MOST_FAILURE_LINES = 10
# Ranks print progress twice a second.
REDRAWS_PER_S = 4


class RunDisplay:
    """A live display on standard error, or plain lines, one per stage and epoch, when that is not a terminal."""

    def __init__(self) -> None:
        self._stage = ""
        self._progress: Progress | None = None
        self._begun = time.monotonic()
        self._printed_epoch, self._next_line = 0, 0.0
        self._seen: dict[int, int] = {}
        self._told: dict[int, int] = {}
        self._moved()
        self._over = threading.Event()
        self._wait_printer = threading.Thread(target=self._print_waits, name="display", daemon=True)
        self._screen = RunScreen(notices())
        self._live = Live(
            console=notices(),
            # Drawn by a thread, so that the seconds advance while the command itself waits.
            refresh_per_second=REDRAWS_PER_S,
            transient=True,
            get_renderable=self._draw,
            vertical_overflow="crop",
            redirect_stdout=sys.stdout.isatty(),
        )

    def __enter__(self) -> Self:
        if is_live():
            self._live.start()
        elif not notices().quiet:
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
            notice(f"{printable(name)} ...")
        self._stage = name
        self._moved()

    def note(self, text: str, style: str = "") -> None:
        """Print lines that stay; any thread may call this."""
        notice(printable(text), style)

    def watch(self, progress: Progress) -> None:
        """Show the progress of the ranks."""
        self._progress = progress
        self._note_failures(progress)
        if not self._live.is_started:
            self._print_epoch(progress)

    def _note_failures(self, progress: Progress) -> None:
        """Print a line for each failure that the previous call saw: a failure that ends the run is an error instead."""
        for rank in progress.ranks:
            told = self._told.get(rank.rank, 0)
            if told < self._seen.get(rank.rank, 0) and sum(self._told.values()) < MOST_FAILURE_LINES:
                left_s = 0.0 if rank.retry_at is None else rank.retry_at - time.monotonic()
                peers = "the others revive it, or " if progress.revive else ""
                again = f"; {peers}Lambda tries again in about {left_s:.0f} s" if left_s > 0 else ""
                self.note(f"rank {rank.rank} failed: {rank.cause}{again}", CAUTION)
        self._told = self._seen
        self._seen = {rank.rank: rank.failures for rank in progress.ranks if rank.failures}

    def _print_epoch(self, progress: Progress) -> None:
        epoch, now = min((rank.epoch for rank in progress.ranks), default=0), time.monotonic()
        if epoch > self._printed_epoch and now >= self._next_line:
            self._printed_epoch = epoch
            self._next_line = now + max(PLAIN_LINE_EVERY_S, PLAIN_LINE_SHARE * (now - self._begun))
            notice(f"epoch {epoch}: loss {_number(progress.ranks[0].epoch_loss)}")
            self._moved()

    def _moved(self) -> None:
        self._since = time.monotonic()
        self._next_wait, self._wait_interval_s = self._since + LONG_WAIT_S, WAIT_LINE_EVERY_S

    def _print_waits(self) -> None:
        """Print a line when nothing has been printed for a while, until the display ends."""
        while not self._over.wait(0.5):
            now = time.monotonic()
            if now >= self._next_wait and self._stage:
                self._next_wait = now + self._wait_interval_s
                self._wait_interval_s *= 2
                with suppress(OSError, ValueError):  # standard error is closed
                    notice(f"{printable(self._stage)} ... {printable(self._wait_text(now))}")

    def _wait_text(self, now: float) -> str:
        ranks = self._progress.ranks if self._progress else []
        reason = waits(self._progress) if self._progress else ""
        late = late_rank(self._progress, now) if self._progress and not reason else None
        rounds = f", round {min(rank.round for rank in ranks)}" if ranks and ranks[0].rounds else ""
        words = [f"{now - self._since:.0f} s{rounds}", f"waiting for {reason}" if reason else ""]
        return ", ".join([*filter(None, words), *([format_late(late)] if late else [])])

    def _draw(self) -> RenderableType:
        waited_s = time.monotonic() - self._since
        # Once ranks train, their totals tell more than the time since the last stage.
        wait = f"{waited_s:.0f} s" if waited_s >= SHOWN_AFTER_S else ""
        return self._screen.draw(self._stage, wait, self._progress)


def print_summary(summary: Summary) -> None:
    """Print the short summary on standard output, no wider than the terminal."""
    console = results()
    status = Text.assemble((summary.status, f"{HEADING} {GOOD}"), f"  run {summary.run_id}")
    collectives = " and ".join(summary.exchange["collectives"]) or "alone"
    console.print(status.append(f"  {len(summary.workers)} workers, {summary.rounds} rounds, {collectives}"))
    metric = "rmse" if any("rmse" in epoch.get("metrics", {}) for epoch in summary.epochs) else "accuracy"
    rows = [
        [
            str(epoch["epoch"]),
            *map(_number, (*_loss_and(metric, epoch), *_loss_and(metric, epoch["validation"] or {}))),
        ]
        for epoch in _some(summary.epochs)
    ]
    print_table(figures("epoch", "loss", metric, "validation loss", f"validation {metric}"), rows, console)
    for line in metrics_text({"valid": summary.validation, "test": summary.test}, summary.classes):
        if isinstance(line, str):
            _print_fact(console, line)
        else:
            console.print(line)
    for line in _facts(summary):
        _print_fact(console, line)
    for event in summed_up(summary.events, MAX_LINK_LINES):
        _print_fact(console, f"event   {_event(event)}")
    for line in summary.network.warnings if summary.network else ():
        _print_fact(console, f"warning {line}", CAUTION)
    for warning in summary.warnings:
        _print_fact(console, f"warning {warning['message']}", CAUTION)
    _print_fact(console, f"model   {summary.model['location']}  sha256 {summary.model['sha256'][:16]}")


def _facts(summary: Summary) -> Iterator[str]:
    if summary.best_epoch is not None:
        yield _best(summary.best_epoch, len(summary.epochs), summary.job["n_epochs"])
    seconds = summary.seconds
    yield (
        f"time    {seconds.total:.2f} s from invocation to result: start {seconds.start:.2f}, "
        f"load {seconds.load:.3f}, train {seconds.train:.3f}"
    )
    yield (
        f"speed   {summary.rows_per_s:,.0f} rows/s; round p50 {summary.round_ms['p50']:.2f} ms, "
        f"all-reduce p50 {summary.all_reduce_ms['p50']:.2f} ms, p99 {summary.all_reduce_ms['p99']:.2f} ms"
    )
    if summary.network is not None:
        yield from _network(summary.network)
    if summary.straggler is not None:
        yield f"late    {summary.straggler.text}"
    if zones := zones_of((worker.rank, worker.zone) for worker in summary.workers):
        yield f"zones   {_zones(zones, (summary.exchange['link'] or {}).get('zone', ''))}"
    yield f"memory  {max(worker.max_rss_mb for worker in summary.workers):.0f} MB in the largest worker"
    yield f"cost    {summary.cost_usd:.6f} USD on AWS Lambda"
    if summary.job["zero_based"] == "yes":
        yield "data    feature indices start at 0 (zero-based)"
    if summary.defaults:
        yield format_chosen(summary.defaults)


def _zones(zones: dict[str, list[int]], measured_from: str) -> str:
    """Describe where the workers were, and where the coordinator measured the cache from."""
    if len(zones) == 1:
        (each,) = zones
        text = f"all workers in {each}"
    else:
        named = {zone: ", ".join(map(str, ranks)) for zone, ranks in zones.items() if len(ranks) <= MAX_ZONE_RANKS}
        text = "; ".join(
            f"{zone}: {f'ranks {named[zone]}' if zone in named else f'{len(ranks)} ranks'}"
            for zone, ranks in zones.items()
        )
    return f"{text}; the cache was measured from {measured_from}" if measured_from and len(zones) > 1 else text


def _network(network: RunNetwork) -> Iterator[str]:
    """Describe an emulated network: what it is, and what its trips took beside what was drawn."""
    yield f"network {network.preset}, seed {network.seed}, {network.zones} zone{'s' if network.zones > 1 else ''}"
    by_kind: dict[str, list[str]] = {}
    for trip in network.trips:
        figures = f"{trip.drawn_ms['p50']:.2f}/{trip.delivered_ms['p50']:.2f} ({trip.zone})"
        by_kind.setdefault(trip.kind, []).append(figures)
    if by_kind:
        kinds = "; ".join(f"{kind} {', '.join(figures)}" for kind, figures in by_kind.items())
        yield f"trips   p50 drawn/delivered, ms: {kinds}"


def _print_fact(console: Console, line: str, style: str = "") -> None:
    """Print a label of eight characters and its text, which is folded beside its label where it is too long."""
    text = Text(printable(line), style=style)
    if text.cell_len <= console.width:
        console.print(text)
        return
    grid = Table.grid()
    grid.add_column(width=LABEL_WIDTH)
    grid.add_column(overflow="fold")
    grid.add_row(*text.divide([LABEL_WIDTH]))
    console.print(grid)


def _loss_and(metric: str, figures: dict[str, Any]) -> tuple[float | None, float | None]:
    return figures.get("loss"), figures.get(metric, figures.get("metrics", {}).get(metric))


def _best(best: int, done: int, planned: int) -> str:
    """Return one line about the epoch that patience chose."""
    stopped = f"; stopped early, after {done} of {planned}" if done < planned else ""
    return f"best    the model is that of epoch {best}{stopped}"


def _some(epochs: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return at most a dozen evenly spaced epochs, including the first and the last; `--json` has all."""
    if len(epochs) <= MAX_EPOCH_LINES:
        return epochs
    step = (len(epochs) - 1) / (MAX_EPOCH_LINES - 1)
    return [epochs[round(step * line)] for line in range(MAX_EPOCH_LINES)]


def _event(event: dict[str, Any]) -> str:
    """Return one line about an event of the run: its name, place, time and cost."""
    place = ", ".join(f"{key} {event[key]}" for key in ("rank", "round", "step", "attempt", "link") if key in event)
    words = [str(event.get("fault", event.get("event"))), f"at {place}" if place else ""]
    words += [f"{event['times']} times" if event.get("times", 0) > 1 else "", str(event.get("note", ""))]
    words += [f"after {event['at_s']:.2f} s" if "at_s" in event else ""]
    words += [f"cost {event['cost_s']:.3f} s" if event.get("cost_s") is not None else ""]
    return "; ".join(filter(None, words))


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.4f}"

"""The display of a study: its trials while they run, and its table."""

import shlex
import sys
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from rich.console import Group, RenderableType
from rich.live import Live
from rich.progress import BarColumn, TextColumn, TimeElapsedColumn
from rich.progress import Progress as Bars
from rich.spinner import Spinner
from rich.table import Table
from rich.text import Text

from harness.cli._table import TableColumn, figures
from harness.cli._table import print_table as print_columns
from harness.cli._terminal import printable
from harness.cli.data_options import table_flags
from harness.runs.choices import format_chosen
from harness.runs.progress import Progress
from harness.system.console import ASIDE, BAD, GOOD, HEADING, is_live, notice, notices, result
from harness.tune.halving import Rung
from harness.tune.records import StudyPlan, StudyRecord, StudyTable, Trial
from harness.tune.space import format_dimension, format_value

REDRAWS_PER_S = 4


class TuneDisplay:
    """A live table on standard error, or a plain line per trial when that is not a terminal."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._stage, self._metric = "", ""
        self._record: StudyRecord | None = None
        self._running: dict[int, tuple[dict[str, Any], int | None, float]] = {}
        self._progress: dict[int, Progress] = {}
        self._ended: dict[int, Trial] = {}
        self._best: Trial | None = None
        self._since, self._spinner = time.monotonic(), Spinner("dots")
        self._bars = Bars(
            TextColumn("{task.fields[done]}"),
            BarColumn(bar_width=None),
            TimeElapsedColumn(),
            TextColumn("{task.fields[best]}"),
            console=notices(),
            auto_refresh=False,
            expand=True,
        )
        self._bar = self._bars.add_task("", total=None, done="", best="")
        self._live = Live(
            console=notices(),
            refresh_per_second=REDRAWS_PER_S,
            transient=True,
            get_renderable=self._screen,
            vertical_overflow="crop",
            redirect_stdout=sys.stdout.isatty(),
        )

    def __enter__(self) -> Self:
        if is_live():
            self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._live.stop()

    def stage(self, name: str) -> None:
        """Show what the study does before its first trial."""
        if not self._live.is_started and name != self._stage:
            notice(f"{printable(name)} ...")
        self._stage, self._since = name, time.monotonic()

    def note(self, text: str) -> None:
        """Print a line that stays."""
        notice(printable(text))

    def plan(self, record: StudyRecord, rungs: Sequence[Rung], at_once: int, before: Sequence[Trial]) -> None:
        """Show what the study is about to do, and the trials that an earlier command began."""
        self._record, self._metric = record, f"{record.rows} {record.plan.metric}"
        space = ", ".join(f"{key}={format_dimension(dimension)}" for key, dimension in record.space.items())
        trials = f"{record.n_trials} trials"
        if record.plan.reduction is not None:
            trials = ", then ".join(f"{rung.trials} of {_epochs(rung.epochs)}" for rung in rungs)
        self.note(f"study {record.name}: {trials}, {at_once} at once, compared by {self._metric}")
        self.note(f"search space: {space}")
        if record.method:
            self.note(format_chosen(record.method))
        kept = [trial for trial in before if trial.state != "running"]
        if before:
            again = ", ".join(str(trial.number) for trial in before if trial.state == "running")
            runs = f"; these go on: {again}" if again else ""
            self.note(f"{len(kept)} of {record.n_trials} trials ended before and are kept{runs}")
        self._ended = {trial.number: trial for trial in kept}
        self._stage = "training"

    def began(self, number: int, params: dict[str, Any], epochs: int | None) -> None:
        """Show that a trial begins, or begins a rung."""
        with self._lock:
            self._running[number] = (params, epochs, time.monotonic())
            self._ended.pop(number, None)

    def watch(self, number: int, progress: Progress) -> None:
        """Show the progress of a trial's run."""
        with self._lock:
            self._progress[number] = progress

    def ended(self, trial: Trial, best: Trial | None) -> None:
        """Show that a trial has ended its run, and the best one so far."""
        with self._lock:
            self._running.pop(trial.number, None)
            self._progress.pop(trial.number, None)
            self._ended[trial.number], self._best = trial, best
        if self._live.is_started and trial.state != "failed":
            return
        params = " ".join(f"{key}={format_value(value)}" for key, value in trial.params.items())
        if trial.state == "failed":
            self.note(f"trial {trial.number}: {params}: failed: {trial.cause}")
            return
        epochs = f" after {_epochs(trial.epochs)}" if self._halving and trial.epochs else ""
        so_far = f"; best {_figure(best.value)} (trial {best.number})" if best else ""
        self.note(f"trial {trial.number}: {params}: {self._metric} {_figure(trial.value)}{epochs}{so_far}")

    @property
    def _halving(self) -> bool:
        return self._record is not None and self._record.plan.reduction is not None

    def _screen(self) -> RenderableType:
        _, height = notices().size
        with self._lock:
            if self._record is None:
                self._spinner.text = Text(f"{self._stage} ... {time.monotonic() - self._since:.0f} s", style=ASIDE)
                return self._spinner
            running, progress = dict(self._running), dict(self._progress)
            ended = sorted(self._ended.values(), key=lambda trial: trial.number)
            best = self._best
        keys = list(self._record.space)
        # Above the rows are the bar and the headings, and the last line stays free.
        room = max(1, height - 4)
        shown = sorted(running.items())[:room]
        table = _columns(keys, self._metric)
        for trial in ended[len(ended) - min(len(ended), room - len(shown)) :]:
            table.add_row(*_cells(trial, keys, best.number if best else None))
        for number, (params, epochs, since) in shown:
            found = progress.get(number)
            table.add_row(
                str(number),
                f"running{_done(found)}",
                *(_value(params, key) for key in keys),
                "" if epochs is None else str(epochs),
                Text(_loss(found), style=ASIDE),
                f"{time.monotonic() - since:.0f}",
            )
        best_text = f"best {self._metric} {_figure(best.value)}" if best else ""
        done = f"{len(ended)} of {self._record.n_trials} trials"
        self._bars.update(self._bar, completed=len(ended), total=self._record.n_trials, done=done, best=best_text)
        return Group(self._bars.get_renderable(), table)


def again_command(plan: StudyPlan, output: Path) -> str:
    """Return the command that trains the best model again."""
    words = ["harness", "run", "--job", str(output)]
    words += ["--data", plan.data] if plan.data is not None else []
    place = plan.place
    flags = {
        "--target": place.target,
        "--stack": place.stack if place.target else None,
        "--region": place.region,
        "--function-timeout": place.timeout_s,
        "--function-memory": place.memory_mb,
    }
    words += [word for flag, value in flags.items() if value is not None for word in (flag, str(value))]
    return shlex.join([*words, *table_flags(plan.table)])


def print_table(table: StudyTable, command: str) -> None:
    """Print a study's table on standard output.

    Args:
        table: The table.
        command: The command that trains the best model again; empty if there is none yet.
    """
    rows = f"{table.rows} " if table.rows else ""
    keys = list(table.space)
    columns = [TableColumn("trial", right=True), TableColumn("state"), *figures(*keys)]
    columns += figures("epochs", f"{rows}{table.metric}", "seconds")
    print_columns(columns, [_cells(trial, keys, table.best) for trial in table.trials])
    for trial in table.trials:
        if trial.cause:
            result(printable(f"trial {trial.number} failed: {trial.cause}"), BAD)
    waiting = table.n_trials - len(table.trials)
    if waiting > 0:
        result(
            f"{waiting} more of {table.n_trials} trials have not begun; go on with `harness tune --resume {table.name}`"
        )
    if table.best is not None:
        best = table.trials[table.best]
        found = f"    trial {best.number}, {rows}{table.metric} {_figure(best.value)}, run {best.runs[-1].run_id}"
        result(Text.assemble(("best", f"{HEADING} {GOOD}"), f"{found}, model sha256 {table.best_sha256[:16]}..."))
    if command:
        result(printable(f"again   {command}"))
    result(printable(f"study   {table.name}, in {table.storage}"))


def _columns(keys: Sequence[str], metric: str) -> Table:
    """Return the live table, whose columns are as wide as the terminal allows."""
    table = Table(box=None, pad_edge=False, header_style=HEADING)
    for column in ("trial", "state", *keys, "epochs", metric, "seconds"):
        table.add_column(
            Text(column), justify="left" if column == "state" else "right", no_wrap=True, overflow="ellipsis"
        )
    return table


def _cells(trial: Trial, keys: Sequence[str], best: int | None) -> list[Text]:
    style = {"failed": BAD, "halved": ASIDE}.get(trial.state, "")
    if trial.number == best:
        style = f"{HEADING} {GOOD}"
    texts = [
        str(trial.number),
        "best" if trial.number == best and trial.state == "finished" else trial.state,
        *(_value(trial.params, key) for key in keys),
        "" if trial.epochs is None else str(trial.epochs),
        _figure(trial.value),
        f"{trial.seconds:.1f}",
    ]
    return [Text(printable(text), style=style) for text in texts]


def _value(params: dict[str, Any], key: str) -> str:
    return format_value(params[key]) if key in params else "-"


def _figure(value: float | None) -> str:
    return "-" if value is None else f"{value:.6g}"


def _epochs(number: int) -> str:
    return f"{number} epoch" if number == 1 else f"{number} epochs"


def _done(progress: Progress | None) -> str:
    epoch = min((rank.epoch for rank in progress.ranks), default=0) if progress else 0
    return f", epoch {epoch}" if epoch else ""


def _loss(progress: Progress | None) -> str:
    first = progress.ranks[0] if progress and progress.ranks else None
    loss = first and (first.loss if first.epoch_loss is None else first.epoch_loss)
    return "" if loss is None else f"{loss:.4f}"

"""TensorBoard's event files: scalars of the run and of each rank, and the job as hyper-parameters.

    DIR/<run_id>/            loss and metrics by epoch, batch losses and round times by round, hyper-parameters
    DIR/<run_id>/rank-<r>/   compute, wait and memory of one rank

https://github.com/tensorflow/tensorboard/blob/master/docs/get_started.ipynb describes the files' readers.
"""

import math
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import NamedTuple

from harness.formats.scalars import final_metrics, flat_job
from harness.insight.view import Rank, RunView

# tensorboardX imports PyTorch where it is installed, which takes seconds, and does without where it is not.
_TORCH = sys.modules.get("torch")
sys.modules["torch"] = _TORCH  # type: ignore[assignment] # None: it cannot be imported
try:
    from tensorboardX import SummaryWriter
    from tensorboardX.summary import hparams
finally:
    if _TORCH is None:
        del sys.modules["torch"]


class Scalar(NamedTuple):
    """One point of a curve: its tag, its value, its step, and its time in seconds since the epoch."""

    tag: str
    value: float
    step: int
    time: float


class TensorBoardRun:
    """The event files of one run, which grow with it.

    Args:
        directory: The folder that `tensorboard --logdir` is given.
        run_id: The run.
    """

    def __init__(self, directory: Path, run_id: str) -> None:
        self._folder = directory / run_id
        self._writers: dict[Path, SummaryWriter] = {}
        self._last: dict[tuple[Path, str], int] = {}

    def update(self, view: RunView) -> None:
        """Add what is new since the last update; a run that is over also gets its hyper-parameters."""
        for scalar in sorted(_run_scalars(view), key=_step):
            self._add(self._folder, scalar)
        for rank in view.ranks:
            for scalar in sorted(_rank_scalars(view, rank), key=_step):
                self._add(self._folder / f"rank-{rank.rank}", scalar)
        if view.status != "running":
            metrics = {f"hparam/{name}": value for name, value in final_metrics(view).items()}
            for summary in hparams(flat_job(view), metrics):
                self._writer(self._folder).file_writer.add_summary(summary)
            for name, value in metrics.items():
                self._add(self._folder, Scalar(name, value, view.rounds.done, view.started_at + view.seconds))
        for writer in self._writers.values():
            writer.flush()

    def close(self) -> None:
        """Close the files."""
        for writer in self._writers.values():
            writer.close()

    def _add(self, folder: Path, scalar: Scalar) -> None:
        if not math.isfinite(scalar.value) or scalar.step <= self._last.get((folder, scalar.tag), -1):
            return
        self._last[folder, scalar.tag] = scalar.step
        self._writer(folder).add_scalar(scalar.tag, scalar.value, scalar.step, walltime=scalar.time)

    def _writer(self, folder: Path) -> SummaryWriter:
        if folder not in self._writers:
            self._writers[folder] = SummaryWriter(logdir=str(folder), write_to_disk=True)
        return self._writers[folder]


def _step(scalar: Scalar) -> int:
    """Return the step: readers take curves whose steps go back for a run that was started again."""
    return scalar.step


def write_tensorboard(view: RunView, directory: Path) -> None:
    """Write the event files of a run that is over.

    Args:
        view: The run.
        directory: The folder that `tensorboard --logdir` is given; it is made if it does not exist.
    """
    with closing(TensorBoardRun(directory, view.run_id)) as run:
        run.update(view)


def _run_scalars(view: RunView) -> Iterator[Scalar]:
    for epoch in view.epochs:
        time = view.started_at + (view.seconds if epoch.at is None else epoch.at)
        yield Scalar("train/loss", epoch.loss, epoch.epoch, time)
        for name, value in epoch.metrics.items():
            yield Scalar(f"train/{name}", value, epoch.epoch, time)
        for name, value in (epoch.validation or {}).items():
            yield Scalar(f"validation/{name}", value, epoch.epoch, time)
    for batch in view.batches:
        yield Scalar("batch/loss", batch.loss, batch.round, view.started_at + batch.at)
    for number, at, ms in view.rounds.series:
        yield Scalar("round/ms", ms, number, view.started_at + at)


def _rank_scalars(view: RunView, rank: Rank) -> Iterator[Scalar]:
    for attempt in rank.attempts:
        for bucket in attempt.buckets:
            step, time = bucket.first_round + bucket.rounds - 1, view.started_at + bucket.end
            yield Scalar("round/compute_ms", 1e3 * bucket.compute_s / bucket.rounds, step, time)
            yield Scalar("round/wait_ms", 1e3 * bucket.wait_s / bucket.rounds, step, time)
        for at, megabytes in attempt.memory:
            # Memory has no round: its step is the second of the run.
            yield Scalar("memory/mb", megabytes, int(at), view.started_at + at)

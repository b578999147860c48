"""A run as tables: CSV files that any program reads.

    DIR/<run_id>/epochs.csv        loss and metrics after each epoch
                 rounds.csv        the rounds of each rank: compute, wait, and for whom
                 ranks.csv         one line per rank
                 phases.csv        what each attempt did outside of its rounds
                 events.csv        faults, deaths, retries, recoveries
                 invocations.csv   one line per attempt of an invocation
                 job.csv           the job's keys

Times are seconds since the invocation of the coordinator.
"""

import csv
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec

from harness.formats.scalars import flat_job
from harness.insight.view import InvocationView, Mark, RunView

_RANK_COLUMNS = (
    "rank", "state", "round", "rows", "attempts", "compute_s", "wait_s", "blamed_s",
    "sent_bytes", "received_bytes", "max_rss_mb", "cpu_s", "zone",
)  # fmt: skip
_ROUND_COLUMNS = (
    "rank", "attempt", "link", "first_round", "rounds", "start_s", "end_s", "compute_s", "wait_s", "waited_for",
)  # fmt: skip
# A cell that begins so is a formula for a spreadsheet.
_FORMULAS = ("=", "+", "-", "@", "\t", "\r")


def write_tables(view: RunView, directory: Path) -> None:
    """Write a run's tables.

    Args:
        view: The run.
        directory: The folder in which the run gets a folder of its own; it is made if it does not exist.
    """
    folder = directory / view.run_id
    folder.mkdir(parents=True, exist_ok=True)
    _write(folder / "epochs.csv", *_epochs(view))
    _write(folder / "rounds.csv", _ROUND_COLUMNS, _rounds(view))
    _write(folder / "ranks.csv", _RANK_COLUMNS, _ranks(view))
    _write(folder / "phases.csv", ("rank", "attempt", "link", "phase", "start_s", "end_s", "note"), _phases(view))
    _write(folder / "events.csv", *_records(Mark, view.marks))
    _write(folder / "invocations.csv", *_records(InvocationView, view.invocations))
    _write(folder / "job.csv", ("key", "value"), flat_job(view).items())


def _epochs(view: RunView) -> tuple[Sequence[str], Iterable[Sequence[Any]]]:
    metrics = sorted({name for epoch in view.epochs for name in epoch.metrics})
    validation = sorted({name for epoch in view.epochs for name in epoch.validation or {}})
    header = ("epoch", "at_s", "loss", *metrics, *(f"validation_{name}" for name in validation))
    rows = (
        (
            epoch.epoch,
            epoch.at,
            epoch.loss,
            *(epoch.metrics.get(name) for name in metrics),
            *((epoch.validation or {}).get(name) for name in validation),
        )
        for epoch in view.epochs
    )
    return header, rows


def _rounds(view: RunView) -> Iterable[Sequence[Any]]:
    for rank in view.ranks:
        for attempt in rank.attempts:
            for bucket in attempt.buckets:
                whom = bucket.waited_for if bucket.waited_for >= 0 else None
                times = (bucket.start, bucket.end, bucket.compute_s, bucket.wait_s)
                yield rank.rank, attempt.attempt, attempt.link, bucket.first_round, bucket.rounds, *times, whom


def _ranks(view: RunView) -> Iterable[Sequence[Any]]:
    for rank in view.ranks:
        record: Mapping[str, Any] = msgspec.structs.asdict(rank) | {"attempts": len(rank.attempts)}
        yield [record[name] for name in _RANK_COLUMNS]


def _phases(view: RunView) -> Iterable[Sequence[Any]]:
    for rank in view.ranks:
        for attempt in rank.attempts:
            for one in attempt.intervals:
                yield rank.rank, attempt.attempt, attempt.link, one.phase, one.start, one.end, one.note


def _records(
    kind: type[msgspec.Struct], records: Sequence[msgspec.Struct]
) -> tuple[Sequence[str], Iterable[Sequence[Any]]]:
    names = kind.__struct_fields__
    return names, ([getattr(record, name) for name in names] for record in records)


def _write(path: Path, header: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(header)
        writer.writerows([_cell(value) for value in row] for row in rows)


def _cell(value: object) -> object:
    """Return a value as it is written: text that a spreadsheet would run as a formula is quoted, as OWASP advises."""
    return f"'{value}" if isinstance(value, str) and value.startswith(_FORMULAS) else value

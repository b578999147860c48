"""A worker's stored timings, `telemetry/<rank>.<attempt>.json`: a malformed field is left out, and the others count."""

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, get_args

import numpy as np
from numpy.typing import NDArray

from harness.insight.view import NOBODY, Phase
from training.job_fields import MOST_WORKERS

# The first version whose records tell who waited for whom; older ones have no version.
WAITS_SINCE = 2
# No run has a round of a higher number: a job has at most a million epochs.
MOST_ROUNDS = 10**10
# A thousand years: whatever is longer is no time, and its sums would not be finite.
LONGEST_MS = 3e13
PHASES: tuple[str, ...] = get_args(Phase)

Floats = NDArray[np.float64]
Whole = NDArray[np.int64]


@dataclass(frozen=True)
class Timings:
    """The timings of one attempt of a rank.

    Attributes:
        version: The version of the record; 1 for those that have none.
        started_at: When the handler began, seconds since the epoch; None if unknown.
        first_round: The number of the first round.
        rounds_per_entry: How many rounds each of the following entries stands for, with the mean of their times.
        round_s: Seconds of each round, float64 [entries].
        starts_s: When each round began, seconds after `started_at`, float64 [entries]; None if unknown.
        wait_s: Seconds of each round in which the rank waited for others, float64 [entries]; None if unknown.
        waited_for: The rank whose frame ended the longest such wait, int64 [entries]; `NOBODY` if it did not wait.
        all_reduce_s: Seconds of each all-reduce, float64.
        intervals: Phases with their start and end, seconds after `started_at`.
        memory: Seconds after `started_at` and resident MB, float64 [samples, 2].
        cold_start: Seconds by phase before the handler ran for the first time; None in a warm environment.
        sent_bytes: Bytes that it stored in the channel.
        received_bytes: Bytes that it read from the channel.
        zone: The ID of its zone; empty if unknown.
        problems: What of the record was left out, one clause each.
    """

    version: int
    started_at: float | None
    first_round: int
    rounds_per_entry: int
    round_s: Floats
    starts_s: Floats | None
    wait_s: Floats | None
    waited_for: Whole
    all_reduce_s: Floats
    intervals: list[tuple[Phase, float, float]]
    memory: Floats
    cold_start: dict[str, float] | None
    sent_bytes: int
    received_bytes: int
    zone: str = ""
    problems: list[str] = field(default_factory=list)


def read_timings(record: Mapping[str, Any]) -> Timings:
    """Read a record; what is malformed is left out, and named in `problems`."""
    problems: list[str] = []
    round_s = _seconds(record, "round_ms", None, problems)
    rounds = len(round_s) if round_s is not None else 0
    wait_s = _seconds(record, "wait_ms", rounds, problems)
    cold_start = record.get("cold_start")
    return Timings(
        version=int(number_of(record.get("version")) or 1),
        started_at=number_of(record.get("started_at")),
        first_round=_count(record.get("first_round")),
        rounds_per_entry=_count(record.get("rounds_per_entry")),
        round_s=round_s if round_s is not None else np.zeros(0),
        starts_s=_seconds(record, "round_at_ms", rounds, problems),
        wait_s=wait_s,
        waited_for=_peers(record, rounds, problems),
        all_reduce_s=_or_none(_seconds(record, "all_reduce_ms", None, problems)),
        intervals=_intervals(record.get("intervals"), problems),
        memory=_memory(record.get("memory"), problems),
        cold_start=cold_start_of(cold_start),
        sent_bytes=int(number_of(record.get("sent_bytes")) or 0),
        received_bytes=int(number_of(record.get("received_bytes")) or 0),
        zone=zone_of(record.get("zone")),
        problems=problems,
    )


def cold_start_of(value: object) -> dict[str, float] | None:
    """Return the seconds of a cold start by phase; None for anything else."""
    if not isinstance(value, dict):
        return None
    phases = {str(name): seconds for name, each in value.items() if (seconds := number_of(each)) is not None}
    return phases or None


def zone_of(value: object) -> str:
    """Return the ID of a zone; empty for anything else."""
    return value if isinstance(value, str) and re.fullmatch(r"[a-z0-9-]{1,32}", value) else ""


def number_of(value: object) -> float | None:
    """Return a finite number that is not negative; None for anything else."""
    if isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value < 1e15 and math.isfinite(value):
        return float(value)
    return None


def _count(value: object) -> int:
    """Return a number of rounds, at least 1."""
    number = number_of(value)
    return int(number) if number is not None and 1 <= number <= MOST_ROUNDS else 1


def _or_none(values: Floats | None) -> Floats:
    return np.zeros(0) if values is None else values


def _seconds(record: Mapping[str, Any], key: str, length: int | None, problems: list[str]) -> Floats | None:
    """Return a list of milliseconds as seconds; None if it is absent, malformed, or of another length."""
    if key not in record:
        return None
    values = _array(record[key])
    if values is None or not ((values >= 0) & (values <= LONGEST_MS)).all():
        problems.append(f"{key} is not a list of times")
        return None
    if length is not None and len(values) != length:
        problems.append(f"{key} has {len(values)} entries for {length} rounds")
        return None
    return values / 1e3


def _peers(record: Mapping[str, Any], rounds: int, problems: list[str]) -> Whole:
    nobody = np.full(rounds, NOBODY, np.int64)
    if "waited_for" not in record:
        return nobody
    values = _array(record["waited_for"])
    if values is None or len(values) != rounds or not np.isfinite(values).all():
        problems.append(f"waited_for is not a list of {rounds} ranks")
        return nobody
    return np.where((values >= 0) & (values < MOST_WORKERS), values, NOBODY).astype(np.int64)


def _array(value: object) -> Floats | None:
    if not isinstance(value, list):
        return None
    try:
        values = np.array(value, np.float64)
    except (ValueError, TypeError, OverflowError):
        return None
    return values if values.ndim == 1 else None


def _intervals(value: object, problems: list[str]) -> list[tuple[Phase, float, float]]:
    found: list[tuple[Phase, float, float]] = []
    for entry in value if isinstance(value, list) else []:
        match entry:
            case [phase, start, end] if (
                phase in PHASES and (begin := number_of(start)) is not None and (stop := number_of(end)) is not None
            ) and begin <= stop:
                found.append((phase, begin / 1e3, stop / 1e3))
            case _:
                problems.append("intervals has an entry that is no phase with its start and end")
    return sorted(found, key=lambda interval: interval[1])


def _memory(value: object, problems: list[str]) -> Floats:
    found: list[tuple[float, float]] = []
    for entry in value if isinstance(value, list) else []:
        match entry:
            case [at, size] if (when := number_of(at)) is not None and (mb := number_of(size)) is not None:
                found.append((when / 1e3, mb))
            case _:
                problems.append("memory has an entry that is no time with its MB")
    return np.array(found).reshape(-1, 2)

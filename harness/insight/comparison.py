"""What differs between two runs: in their jobs, in what they ran on, in their times, and in what came out."""

from collections.abc import Iterator, Mapping
from typing import Any, Literal

import msgspec

from harness.insight.view import RunView

Section = Literal["run", "job", "versions", "times", "results"]

# Keys of a job that say where it ran and not what it did.
PLACES = frozenset({"run_id", "host", "port", "data_bucket", "tmp_bucket", "merged_bucket", "result_bucket"})
SHARE_NAMES = ("start", "load", "compute", "wait", "exchange", "evaluate", "store", "other")


class RunDifference(msgspec.Struct, frozen=True):
    """A line of a comparison.

    Attributes:
        section: What it belongs to.
        key: What is compared.
        a: The first run's value; None if it has none.
        b: The second run's value; None if it has none.
        change: How the second compares with the first, in words; empty if it cannot be said.
    """

    section: Section
    key: str
    a: Any
    b: Any
    change: str = ""


class RunComparison(msgspec.Struct, frozen=True):
    """Two runs side by side.

    Attributes:
        a: The first run.
        b: The second run.
        lines: What differs; times and results are there whether they do or not.
    """

    a: str
    b: str
    lines: list[RunDifference]


def compare(a: RunView, b: RunView) -> RunComparison:
    """Return what differs between two runs, and their times and results."""
    lines = [*_run(a, b), *_different("job", _job(a), _job(b)), *_different("versions", a.versions, b.versions)]
    return RunComparison(a.run_id, b.run_id, [*lines, *_times(a, b), *_results(a, b)])


def _run(a: RunView, b: RunView) -> Iterator[RunDifference]:
    for key in ("status", "cause", "target", "mode"):
        own, other = getattr(a, key), getattr(b, key)
        if own != other:
            yield RunDifference("run", key, own, other)


def _job(view: RunView) -> dict[str, Any]:
    return {key: value for key, value in view.job.items() if key not in PLACES}


def _different(section: Section, a: Mapping[str, Any], b: Mapping[str, Any]) -> Iterator[RunDifference]:
    for key in sorted({*a, *b}):
        if a.get(key) != b.get(key):
            yield RunDifference(section, key, a.get(key), b.get(key))


def _times(a: RunView, b: RunView) -> Iterator[RunDifference]:
    """Yield the runs' times; those that neither run has are left out."""
    yield _time("seconds", a.seconds, b.seconds)
    shares = [{share.name: share.seconds for share in view.shares} for view in (a, b)]
    for name in SHARE_NAMES:
        own, other = (of_run.get(name, 0.0) for of_run in shares)
        if own or other:
            yield _time(name, own, other)
    if a.rounds.p50_ms or b.rounds.p50_ms:
        yield _time("round p50, ms", a.rounds.p50_ms, b.rounds.p50_ms)
        yield _time("round p99, ms", a.rounds.p99_ms, b.rounds.p99_ms)
        yield RunDifference("times", "rounds", a.rounds.done, b.rounds.done)
    names = [f"rank {view.straggler.rank}" if view.straggler else None for view in (a, b)]
    if any(names):
        yield RunDifference("times", "straggler", names[0], names[1])
    deaths = [sum(mark.kind == "death" for mark in view.marks) for view in (a, b)]
    if any(deaths):
        yield RunDifference("times", "deaths", deaths[0], deaths[1])


def _time(key: str, a: float, b: float) -> RunDifference:
    change = f"{b / a:.2f}x" if a and b else ""
    return RunDifference("times", key, round(a, 4), round(b, 4), change)


def _results(a: RunView, b: RunView) -> Iterator[RunDifference]:
    own, other = _figures(a), _figures(b)
    for key in dict.fromkeys([*own, *other]):
        left, right = own.get(key), other.get(key)
        change = f"{right - left:+.4g}" if left is not None and right is not None else ""
        yield RunDifference("results", key, left, right, change)


def _figures(view: RunView) -> dict[str, float]:
    """Return the figures of the last epoch, and what the run would cost."""
    found: dict[str, float] = {}
    if view.epochs:
        last = view.epochs[-1]
        found = {"epochs": float(last.epoch), "loss": last.loss, **last.metrics}
        found |= {f"validation {name}": value for name, value in (last.validation or {}).items()}
    cost = (view.summary or {}).get("cost_usd")
    if isinstance(cost, int | float):
        found["cost, USD"] = float(cost)
    return found

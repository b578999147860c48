"""Curves of a run: its epochs, the losses of its batches, and its rounds, thinned to what a page can draw."""

from collections.abc import Mapping, Sequence
from typing import Any, TypeVar

import numpy as np

from harness.insight.attempts import AttemptFacts
from harness.insight.facts import RunFacts
from harness.insight.timings import Floats, number_of
from harness.insight.view import Batch, Epoch, Rounds

MOST_EPOCHS, MOST_BATCHES, MOST_ROUNDS = 2000, 1000, 1000
# A bin's upper edge is at least so many times its lower one, and there are at most so many bins.
BIN_RATIO, MOST_BINS = 1.1, 60

Item = TypeVar("Item")


def thinned(items: Sequence[Item], most: int) -> list[Item]:
    """Return at most this many of the items, evenly spaced, the first and the last among them."""
    if len(items) <= most:
        return list(items)
    return [items[at] for at in np.linspace(0, len(items) - 1, most).round().astype(int).tolist()]


def epochs_of(facts: RunFacts, zero: float) -> list[Epoch]:
    """Return the epochs that the result or the log reports."""
    stored = facts.documents.get("result.json", {}).get("epochs")
    reports: dict[int, Mapping[str, Any]] = {number: line for number, (_, _, line) in facts.epochs.items()}
    for report in stored if isinstance(stored, list) else []:
        if isinstance(report, dict) and (number := number_of(report.get("epoch"))):
            reports[int(number)] = report
    found = [_epoch(number, reports[number], facts, zero) for number in thinned(sorted(reports), MOST_EPOCHS)]
    return [epoch for epoch in found if epoch is not None]


def _epoch(number: int, report: Mapping[str, Any], facts: RunFacts, zero: float) -> Epoch | None:
    loss = _figure(report.get("loss"))
    if loss is None:
        return None
    printed = facts.epochs.get(number)
    validation = report.get("validation")
    figures = _figures(validation) if isinstance(validation, dict) else None
    if figures is not None and isinstance(validation, dict) and (own := _figure(validation.get("loss"))) is not None:
        figures = {"loss": own, **figures}
    return Epoch(
        epoch=number,
        at=None if printed is None else round(printed[1] - zero, 3),
        loss=loss,
        metrics=_figures(report),
        validation=figures,
    )


def _figures(report: Mapping[str, Any]) -> dict[str, float]:
    """Return accuracy and the further metrics of a report."""
    found = {"accuracy": report.get("accuracy")}
    further = report.get("metrics")
    found |= further if isinstance(further, dict) else {}
    return {str(name): number for name, value in found.items() if (number := _figure(value)) is not None}


def _figure(value: object) -> float | None:
    """Return a finite number, which may be negative; None for anything else."""
    if isinstance(value, int | float) and not isinstance(value, bool) and np.isfinite(float(value)):
        return float(value)
    return None


def batches_of(facts: RunFacts, zero: float) -> list[Batch]:
    """Return the batch losses that the lowest rank with a log printed."""
    lowest = min((rank for rank, _ in facts.logs), default=0)
    logs = [log for (rank, _), log in sorted(facts.logs.items()) if rank == lowest and len(log.columns["at"])]
    if not logs:
        return []
    at, number, loss = (np.concatenate([log.column(name) for log in logs]) for name in ("at", "round", "loss"))
    known = np.flatnonzero(np.isfinite(loss))
    chosen = np.array(thinned(known.tolist(), MOST_BATCHES), np.int64)
    rows = zip((at[chosen] - zero).round(3).tolist(), number[chosen].tolist(), loss[chosen].tolist(), strict=True)
    return [Batch(when, int(round_number), value) for when, round_number, value in rows]


def rounds_of(facts: RunFacts, attempts: Sequence[AttemptFacts], zero: float) -> Rounds:
    """Return the rounds of a run by one rank.

    Args:
        facts: The run's records.
        attempts: That rank's attempts.
        zero: What is returned counts from here, seconds since the epoch.
    """
    planned = max((float(log.column("rounds").max(initial=0.0)) for log in facts.logs.values()), default=0.0)
    result = number_of(facts.documents.get("result.json", {}).get("rounds"))
    pieces = [one for one in attempts if len(one.entries.start)]
    if not pieces:
        return Rounds(done=int(result or 0), planned=int(result or planned))
    number = np.concatenate([one.entries.first_round + one.entries.rounds - 1 for one in pieces])
    end = np.concatenate([one.entries.end + one.started - zero for one in pieces])
    count = np.concatenate([one.entries.rounds for one in pieces])
    ms = 1e3 * np.concatenate([one.entries.busy_s for one in pieces]) / count
    p50, p99 = _percentiles(ms, count.astype(np.float64))
    return Rounds(
        done=int(result or number.max()),
        planned=int(result or max(planned, float(number.max()))),
        p50_ms=round(p50, 4),
        p99_ms=round(p99, 4),
        histogram=_histogram(ms, count.astype(np.float64)),
        series=[
            (int(number[at]), round(float(end[at]), 4), round(float(ms[at]), 4))
            for at in _longest_of_groups(ms, MOST_ROUNDS)
        ],
    )


def _percentiles(values: Floats, weights: Floats) -> tuple[float, float]:
    if (weights == weights[0]).all():
        p50, p99 = np.percentile(values, [50, 99])
        return float(p50), float(p99)
    order = np.argsort(values)
    share = np.cumsum(weights[order]) / weights.sum()
    p50, p99 = values[order][np.minimum(np.searchsorted(share, [0.5, 0.99]), len(values) - 1)]
    return float(p50), float(p99)


def _histogram(ms: Floats, weights: Floats) -> list[tuple[float, float, int]]:
    """Count rounds by time, in bins whose edges grow by a constant factor."""
    low, high = max(float(ms.min()), 1e-3), max(float(ms.max()), 1e-3)
    bins = int(np.clip(np.ceil(np.log(high / low) / np.log(BIN_RATIO)), 1, MOST_BINS))
    edges = np.geomspace(low, high * 1.001, bins + 1)
    counts, _ = np.histogram(np.maximum(ms, low), edges, weights=weights)
    lows, highs = edges[:-1].round(4).tolist(), edges[1:].round(4).tolist()
    return [(lo, hi, int(n)) for lo, hi, n in zip(lows, highs, counts.round().tolist(), strict=True)]


def _longest_of_groups(ms: Floats, most: int) -> list[int]:
    """Divide rounds into at most this many groups of neighbours; return the longest of each."""
    if len(ms) <= most:
        return list(range(len(ms)))
    group = np.arange(len(ms)) * most // len(ms)
    order = np.lexsort((ms, group))
    last = np.flatnonzero(np.diff(group[order], append=most))
    chosen: list[int] = order[last].tolist()
    return chosen

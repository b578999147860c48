"""What would help a run most: one line, with what it would save at most; empty where nothing stands out."""

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import numpy as np

from harness.insight.facts import RunFacts
from harness.insight.shares import Spent
from harness.insight.status import Status
from harness.insight.timeline import Timeline
from harness.insight.timings import number_of
from harness.insight.view import Mark, Straggler

# What saves less than this, or less than this part of the run's seconds, is not worth a change.
LEAST_S, LEAST_PART = 0.05, 0.05
# A rank has too many rows, or computes too long, from this many times the usual.
UNEVEN = 1.2
# Workers that get less of a processor than this while they compute have too few cores for all of them.
LEAST_CPU = 0.6


class Proposal(NamedTuple):
    """A change.

    Attributes:
        saves_s: What it saves at most, seconds.
        text: What to do, and why.
    """

    saves_s: float
    text: str


def advice_of(facts: RunFacts, timeline: Timeline, spent: Spent, marks: list[Mark], status: Status) -> str:
    """Return what would help most, one line; empty if nothing would."""
    straggler = None if timeline.waited is None else timeline.waited.straggler
    if status.status == "failed":
        return f"see why it failed: `harness logs --run {facts.run_id}`"
    if straggler is not None and (injected := _injected(straggler.rank, marks)):
        return (
            f"rank {straggler.rank} was disturbed on purpose ({injected}): "
            f"without that, at most {straggler.waited_s:.2f} s less"
        )
    proposals = list(_about_ranks(timeline, straggler, marks))
    # Compute and exchange are told apart only when the ranks have stored their timings.
    if status.status != "running":
        proposals += _about_the_job(timeline, spent, straggler, status)
    best = max(proposals, default=Proposal(0.0, ""))
    # A run that a clock sees in the future has lasted for no time yet.
    if timeline.seconds <= 0 or best.saves_s < max(LEAST_S, LEAST_PART * timeline.seconds):
        return ""
    return f"{best.text}; saves at most {best.saves_s:.2f} s ({best.saves_s / timeline.seconds:.0%})"


def _injected(rank: int, marks: list[Mark]) -> str:
    return next((mark.text for mark in marks if mark.kind == "fault" and mark.rank == rank), "")


def _about_ranks(timeline: Timeline, straggler: Straggler | None, marks: list[Mark]) -> Iterator[Proposal]:
    if straggler is None:
        return
    rank, saves_s = straggler.rank, straggler.waited_s
    if any(mark.kind == "death" and mark.rank == rank for mark in marks):
        cause = next(mark.text for mark in marks if mark.kind == "death" and mark.rank == rank)
        yield Proposal(saves_s, f"find out why rank {rank} was lost ({cause})")
        return
    rows = {each[-1].rank: each[-1].rows for each in timeline.attempts.values() if each}
    usual_rows = _median_of_others(rows, rank)
    if usual_rows and rows.get(rank, 0) > UNEVEN * usual_rows:
        more = rows[rank] / usual_rows - 1
        yield Proposal(saves_s, f"deal the rows evenly: rank {rank} has {more:.0%} more than the median of the others")
        return
    own, usual = _compute_s(timeline, rank)
    if usual and own > UNEVEN * usual:
        yield Proposal(
            saves_s, f"look at rank {rank}: it computed {own / usual:.1f} times as long as the median of the others"
        )
    else:
        yield Proposal(
            saves_s, f"look at rank {rank}: the others waited for it, though it computed no longer than they"
        )


def _compute_s(timeline: Timeline, rank: int) -> tuple[float, float]:
    """Return the seconds that a rank computed in its rounds, and the median of the other ranks."""
    found = {
        number: sum(float((one.entries.busy_s - one.entries.wait_s).sum()) for one in each)
        for number, each in timeline.attempts.items()
    }
    return found.get(rank, 0.0), _median_of_others(found, rank)


def _median_of_others(values: Mapping[int, float], rank: int) -> float:
    others = [value for other, value in values.items() if other != rank]
    return float(np.median(others)) if others else 0.0


def _about_the_job(timeline: Timeline, spent: Spent, straggler: Straggler | None, status: Status) -> Iterator[Proposal]:
    seconds = spent.seconds
    workers, attempts = len(timeline.attempts), [one for each in timeline.attempts.values() for one in each]
    cold = [sum(each[0].cold_start.values()) for each in timeline.attempts.values() if each and each[0].cold_start]
    if cold:
        how = "warm starts: provisioned concurrency, or a run just before" if status.target == "aws" else (
            "warm starts: a second run on a stack that stays up (`harness up`)"
        )  # fmt: skip
        yield Proposal(min(max(cold), seconds.get("start", 0.0)), how)
    crowded = _crowded(timeline)
    compute_s, exchange_s = seconds.get("compute", 0.0), seconds.get("exchange", 0.0)
    waited_s = seconds.get("wait", 0.0) - (straggler.waited_s if straggler else 0.0)
    if crowded and status.target != "aws" and workers > 1:
        text = f"fewer workers, or a machine with more cores: workers got {crowded:.0%} of one while they trained"
        yield Proposal((compute_s + max(0.0, waited_s)) * (1 - crowded), text)
    elif compute_s:
        yield Proposal(compute_s / 2, f"twice the workers ({2 * workers}): each computes half as long")
    if workers > 1:
        yield from _about_the_exchange(status.job, exchange_s + max(0.0, waited_s), compute_s)
    loads = [span.end - span.start for one in attempts for span in one.intervals if span.phase == "load"]
    if load_s := min(max(loads, default=0.0), seconds.get("load", 0.0)):
        yield Proposal(load_s / 2, f"twice the workers ({2 * workers}): each loads half as many rows")


def _about_the_exchange(job: Mapping[str, Any], exchange_s: float, compute_s: float) -> Iterator[Proposal]:
    """Propose fewer, or cheaper, exchanges. Half of the waits go with half of the rounds, if ranks are alike."""
    mode, batch = job.get("sync_mode"), number_of(job.get("batch_size"))
    if job.get("optim") == "grad_avg" and batch:
        text = f"twice the batch (--batch-size {2 * batch:.0f}): half as many exchanges, though it may need more epochs"
        yield Proposal(exchange_s / 2, text)
    if exchange_s > 2 * compute_s:
        yield Proposal(exchange_s / 2, "fewer workers: ranks exchange and wait longer than they compute")
    if isinstance(mode, str) and mode not in {"auto", "async"}:
        yield Proposal(
            exchange_s / 4, f"--sync-mode auto instead of {mode[:40]}: it measures which collective is quickest"
        )


def _crowded(timeline: Timeline) -> float:
    """Return what part of a processor the workers got while they were busy; 0 if it was enough, or is unknown."""
    parts = []
    for each in timeline.attempts.values():
        for one in each:
            busy_s = float((one.entries.busy_s - one.entries.wait_s).sum())
            if one.cpu_s and busy_s and one.entries.tells_waits:
                other_s = one.phases.get("load", 0.0) + one.phases.get("store", 0.0)
                parts.append(one.cpu_s / (busy_s + other_s))
    part = float(np.median(parts)) if parts else 1.0
    return part if part < LEAST_CPU else 0.0

"""Where a run's time went: shares of its seconds, which add up to them; docs/decisions/0059 says why so.

    invoked --start--> last rank began --load--> first round --rounds, evaluations--> last round --store--> last result

From its first round on, the run is seen by the rank that waited longest: what a rank waits is what the run loses.
"""

from typing import NamedTuple

import numpy as np

from harness.insight.attempts import AttemptFacts
from harness.insight.facts import RunFacts
from harness.insight.timeline import Timeline
from harness.insight.view import Share

# A rank that at least this part of all waits goes back to is named with its seconds.
WORTH_NAMING = 0.1
MOST_NAMED = 3

# An attempt with one of these outcomes has not begun to store its results.
_WITHOUT_RESULT = frozenset({"running", "failed", "died"})


class Spent(NamedTuple):
    """The seconds of the shares, and what their lines say.

    Attributes:
        seconds: By name of the share.
        waited_for: Seconds that rounds waited, by rank.
        last_rank: The rank whose handler began last.
        cold_s: Its cold start.
    """

    seconds: dict[str, float]
    waited_for: dict[int, float]
    last_rank: int | None
    cold_s: float


def spent_of(timeline: Timeline) -> Spent:
    """Divide a run's seconds."""
    total = timeline.seconds
    firsts = {rank: each[0] for rank, each in timeline.attempts.items() if each}
    if not firsts:
        return Spent({"start": total}, {}, None, 0.0)
    last = max(firsts, key=lambda rank: firsts[rank].started)
    began = float(np.clip(firsts[last].started - timeline.zero, 0.0, total))
    cold_s = sum((firsts[last].cold_start or {}).values())
    observer = _observer(timeline)
    rounds = [one for one in observer if len(one.entries.start)]
    if not rounds:
        return Spent({"start": began, "load": total - began}, {}, last, cold_s)
    round_at = float(np.clip(rounds[0].started + rounds[0].entries.start[0] - timeline.zero, began, total))
    end_at = float(np.clip(rounds[-1].started + rounds[-1].entries.end[-1] - timeline.zero, round_at, total))
    within, waited_for = _in_rounds(timeline, rounds)
    evaluated, evaluated_after = _phase_s(observer, "evaluate", end_at + timeline.zero)
    within["store"], _ = _phase_s(observer, "checkpoint", end_at + timeline.zero)
    within["evaluate"] = max(0.0, evaluated - (0.0 if timeline.waited is None else timeline.waited.between_s))
    room, taken = end_at - round_at, sum(within.values())
    by = min(1.0, room / taken) if taken else 1.0  # rounds that were done twice, or a clock that was set
    within = {name: seconds * by for name, seconds in within.items()}
    other = max(0.0, room - taken * by)
    evaluated_after = min(evaluated_after, total - end_at)
    within["evaluate"] += evaluated_after
    rest_s = total - end_at - evaluated_after
    if observer[-1].outcome in _WITHOUT_RESULT:
        other += rest_s  # nothing was stored: the run goes on, or waited for what did not come
    else:
        within["store"] += rest_s
    seconds = {"start": began, "load": round_at - began, **within, "other": other}
    return Spent(seconds, {rank: one * by for rank, one in waited_for.items()}, last, cold_s)


def _observer(timeline: Timeline) -> list[AttemptFacts]:
    """Return the attempts of the rank that waited longest; without waits, of the lowest rank with rounds."""
    if timeline.waited is not None:
        return timeline.attempts[timeline.waited.observer]
    with_rounds = [each for each in timeline.attempts.values() if any(len(one.entries.start) for one in each)]
    return with_rounds[0] if with_rounds else []


def _phase_s(attempts: list[AttemptFacts], phase: str, end_at: float) -> tuple[float, float]:
    """Return the seconds of a phase that began before this time, and of one that began after it.

    Args:
        attempts: A rank's attempts.
        phase: The phase.
        end_at: The time, seconds since the epoch.
    """
    before = after = 0.0
    for one in attempts:
        for span in one.intervals:
            if span.phase != phase:
                continue
            if one.started + span.start < end_at:
                before += span.end - span.start
            else:
                after += span.end - span.start
    return before, after


def _in_rounds(timeline: Timeline, rounds: list[AttemptFacts]) -> tuple[dict[str, float], dict[int, float]]:
    """Return the seconds of a rank's rounds by share, and those of its waits by the rank that they go back to."""
    busy_s = sum(float(one.entries.busy_s.sum()) for one in rounds)
    waited_for: dict[int, float] = {}
    wait_s = sum(float(one.entries.wait_s.sum()) for one in rounds)
    busy_s -= wait_s
    exchange_s = min(busy_s, sum(one.exchange_s for one in rounds))
    found = {"compute": busy_s - exchange_s, "exchange": exchange_s}
    if timeline.waited is not None:
        waited_for = timeline.waited.waited_for
        found["wait"] = wait_s + timeline.waited.between_s
    return found, waited_for


def shares_of(facts: RunFacts, timeline: Timeline, spent: Spent) -> list[Share]:
    """Return the shares with their lines, the largest first; those of no time are left out."""
    texts = {
        "start": _start_text(spent),
        "load": _load_text(timeline),
        "compute": _compute_text(timeline),
        "wait": _wait_text(spent),
        "exchange": _exchange_text(facts, timeline),
        "evaluate": "training and validation rows, after each epoch",
        "store": "the model, the results and checkpoints",
        "other": _other_text(timeline),
    }
    found = [Share(name=name, seconds=seconds, text=texts[name]) for name, seconds in spent.seconds.items()]
    return sorted((share for share in found if share.seconds > 0), key=lambda share: -share.seconds)


def _start_text(spent: Spent) -> str:
    if spent.last_rank is None:
        return "no worker has begun"
    cold = f"; cold start {spent.cold_s:.2f} s" if spent.cold_s else ""
    return f"until the last worker, rank {spent.last_rank}, began{cold}"


def _load_text(timeline: Timeline) -> str:
    """Name the ranks that died before any rank had done a round."""
    attempts = [one for each in timeline.attempts.values() for one in each]
    until = min((one.started + one.entries.start[0] for one in attempts if len(one.entries.start)), default=None)
    died = sorted({one.rank for one in attempts if one.outcome == "died" and (until is None or one.last_at <= until)})
    text = "rows from S3, and joining, until the first round"
    return text + (f"; rank {', '.join(map(str, died[:MOST_NAMED]))} died" if died else "")


def _compute_text(timeline: Timeline) -> str:
    if timeline.waited is None:
        return "gradients and steps, with waits: these records do not tell them apart"
    if not any(one.complete for each in timeline.attempts.values() for one in each):
        return "gradients, steps and exchanges: ranks tell them apart when they end"
    return "gradients and steps"


def _wait_text(spent: Spent) -> str:
    total = sum(spent.waited_for.values())
    ranked = sorted(spent.waited_for.items(), key=lambda item: -item[1])
    named = [(rank, seconds) for rank, seconds in ranked[:MOST_NAMED] if seconds >= WORTH_NAMING * total]
    words = ", ".join(f"rank {rank} {seconds:.2f} s" for rank, seconds in named)
    rest = total - sum(seconds for _, seconds in named)
    return f"for {words}" + (f", others {rest:.2f} s" if rest >= 0.005 else "") if named else "for one another"


def _exchange_text(facts: RunFacts, timeline: Timeline) -> str:
    exchange = facts.documents.get("result.json", {}).get("exchange")
    collectives = exchange.get("collectives") if isinstance(exchange, dict) else None
    names = [str(name)[:40] for name in collectives] if isinstance(collectives, list) else []
    how = f" by {', '.join(names)}" if names else ""
    waits = "" if timeline.waited is not None else ", waits included"
    return f"frames stored and read{how}{waits}"


def _other_text(timeline: Timeline) -> str:
    # A last attempt that failed was told to stop, or is the end of the run: its rank was not gone before.
    lost = sorted(
        {
            one.rank
            for each in timeline.attempts.values()
            for one in each
            if one.outcome == "died" or (one.outcome == "failed" and one is not each[-1])
        }
    )
    links = max((one.link for each in timeline.attempts.values() for one in each), default=1)
    ends = {each[-1].outcome for each in timeline.attempts.values() if each}
    words = ["between rounds"]
    if "running" in ends:
        words.append("since the last report")
    elif ends & _WITHOUT_RESULT:
        words.append("after the last round")
    if lost:
        words.append(f"while rank {', '.join(map(str, lost[:5]))} was gone")
    if links > 1:
        words.append(f"with {links - 1} handovers to a next link")
    return ", ".join(words)

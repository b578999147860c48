"""What a run's view lacks, and why."""

from harness.insight.facts import RunFacts
from harness.insight.status import Status
from harness.insight.timeline import Timeline
from harness.insight.timings import WAITS_SINCE

MOST_NAMED = 8
MOST_PROBLEMS = 10


def gaps_of(facts: RunFacts, timeline: Timeline, status: Status) -> list[str]:
    """Return one line for each thing that is missing or malformed."""
    found = [problem + ": it was left out" for problem in sorted(facts.problems.values())[:MOST_PROBLEMS]]
    if more := len(facts.problems) - MOST_PROBLEMS:
        found += [f"{more} more records were left out"] if more > 0 else []
    if not facts.documents.get("job.json"):
        found.append("the run's job is not known: its folder has no job.json")
    complete = [one for each in timeline.attempts.values() for one in each if one.complete]
    old = sorted({key[0] for key, one in facts.timings.items() if one.version < WAITS_SINCE})
    if old:
        found.append(f"{_ranks(old)} stored timings of an older version: they do not tell waits, nor when rounds began")
    if status.over or status.status == "unfinished":
        found += _missing_ranks(timeline, status)
        if not facts.logs:
            found.append("there is no log: attempts that died, recoveries and batch losses are not shown")
    elif timeline.attempts and not complete:
        found.append("ranks have not stored their timings yet: rounds are means between two progress lines")
    for rank, by in sorted(timeline.skews.items())[:MOST_NAMED]:
        way = "ahead of" if by > 0 else "behind"
        found.append(f"the clock of rank {rank} is {abs(by):.2f} s {way} the others': its times are moved by as much")
    return found


def _missing_ranks(timeline: Timeline, status: Status) -> list[str]:
    unknown = [rank for rank in range(status.n_workers) if not timeline.attempts.get(rank)]
    untold = [rank for rank, each in timeline.attempts.items() if each and not any(one.complete for one in each)]
    found = [f"{_ranks(unknown)} left no record"] if unknown else []
    if untold:
        found.append(f"{_ranks(untold)} stored no timings of rounds: what is drawn comes from the log")
    return found


def _ranks(ranks: list[int]) -> str:
    named = ", ".join(map(str, ranks[:MOST_NAMED]))
    return f"rank {named}" + (f" and {len(ranks) - MOST_NAMED} more" if len(ranks) > MOST_NAMED else "")

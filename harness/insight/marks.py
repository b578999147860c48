"""What happened during a run at one moment: faults, deaths, retries, recoveries, checkpoints, links."""

from collections.abc import Iterator, Mapping, Sequence

from harness.insight.attempts import AttemptFacts
from harness.insight.curves import thinned
from harness.insight.facts import RunFacts
from harness.insight.log_text import WorkerLine, one_line
from harness.insight.timings import number_of
from harness.insight.view import Mark, MarkKind

MOST_MARKS = 1000
LONGEST_TEXT = 300

# Of too many marks, the first of these are thinned out first.
_EXPENDABLE: tuple[MarkKind, ...] = ("checkpoint", "recovery", "retry", "link", "death", "fault", "restart")


def marks_of(facts: RunFacts, attempts: Mapping[int, Sequence[AttemptFacts]], zero: float) -> list[Mark]:
    """Return what happened, the oldest first."""
    found = [*_faults(facts), *_of_attempts(attempts, zero), *_of_lines(facts.events, zero)]
    for kind in _EXPENDABLE:
        if len(found) <= MOST_MARKS:
            break
        of_kind = [mark for mark in found if mark.kind == kind]
        room = max(0, MOST_MARKS - len(found) + len(of_kind))
        kept = {id(mark) for mark in thinned(of_kind, room)} if room else set()
        found = [mark for mark in found if mark.kind != kind or id(mark) in kept]
    return sorted(found, key=lambda mark: mark.at)


def _faults(facts: RunFacts) -> Iterator[Mark]:
    events = (facts.summary or {}).get("events")
    for event in events if isinstance(events, list) else []:
        if not isinstance(event, dict) or event.get("event") != "fault":
            continue
        if (at := number_of(event.get("at_s"))) is None:
            continue  # it did not strike
        times = number_of(event.get("times")) or 1
        text = one_line(event.get("fault", "a fault")) + (f", {times:.0f} times" if times > 1 else "")
        yield Mark(
            at=at,
            kind="restart" if text.startswith("restart") else "fault",
            text=text,
            rank=_whole(event.get("rank")),
            round=_whole(event.get("round")),
            cost_s=number_of(event.get("cost_s")),
        )


def _of_attempts(attempts: Mapping[int, Sequence[AttemptFacts]], zero: float) -> Iterator[Mark]:
    for rank, own in attempts.items():
        before: AttemptFacts | None = None
        for one in own:
            if before is not None and before.outcome in {"died", "failed"}:
                since = "" if before.ended is None else f", {max(0.0, one.started - before.ended):.2f} s later"
                text = f"rank {rank} is tried again{since}: attempt {one.attempt}"
                yield Mark(at=round(one.started - zero, 4), kind="retry", text=text, rank=rank)
            if one.outcome in {"died", "failed"}:
                at = one.last_at if one.ended is None else one.ended
                last = int(one.entries.first_round[-1] + one.entries.rounds[-1] - 1) if len(one.entries.start) else None
                text = f"rank {rank} {one.outcome}" + (f": {one.cause}" if one.cause else "")
                yield Mark(at=round(at - zero, 4), kind="death", text=text[:LONGEST_TEXT], rank=rank, round=last)
            before = one


def _of_lines(lines: Sequence[WorkerLine], zero: float) -> Iterator[Mark]:
    once: set[tuple[str, int | None]] = set()
    handovers = {_whole(line.values.get("round")) for line in lines if line.event == "handed_on"}
    for line in sorted(lines, key=lambda line: line.at):
        at, number = round(line.at - zero, 4), _whole(line.values.get("round"))
        if line.event == "resumed" and number in handovers:
            continue  # the next link's first act, which its mark stands for
        if line.event in {"checkpoint", "handed_on"}:
            # All ranks print it; one mark stands for them.
            key = (line.event, number)
            if key in once:
                continue
            once.add(key)
        if line.event == "checkpoint":
            yield Mark(at=at, kind="checkpoint", text=f"checkpoint after round {number}", round=number)
        elif line.event == "handed_on":
            link = _whole(line.values.get("link"))
            yield Mark(
                at=at, kind="link", text=f"link {link} of the chain takes over after round {number}", round=number
            )
        else:
            text = _what_recovered(line)
            yield Mark(at=at, kind="recovery", text=text, rank=line.rank, round=number)


def _what_recovered(line: WorkerLine) -> str:
    said = {
        key: _text(line.values.get(key)) for key in ("cause", "seconds", "frames", "to", "whom", "round", "lost_by")
    }
    after = f", after {said['seconds']} s" if said["seconds"] else ""
    what = {
        "recovered": f"recovered from: {said['cause']}{after}",
        "reput": f"stored {said['frames']} of its frames again",
        "revived": f"found rank {said['whom']} dead, and invoked its event",
        "handed_over": f"handed its state to rank {said['to']}",
        "rejoined": f"continues from another rank's state{after}",
        "rolled_back": f"goes back with all ranks: rank {said['lost_by']} has lost its private state",
        "resumed": f"resumes from the checkpoint after round {said['round']}",
        "checkpoint_failed": f"could not store a checkpoint: {said['cause']}",
    }
    return f"rank {line.rank} {what.get(line.event, line.event)}"[:LONGEST_TEXT]


def _text(value: object) -> str:
    return f"{value:.3g}" if isinstance(value, float) else " ".join(str(value).split()) if value is not None else ""


def _whole(value: object) -> int | None:
    number = number_of(value)
    return None if number is None else int(number)

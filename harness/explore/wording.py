"""A finding as a page of text: the schedule in words, the calls with the blow marked, the two states side by side."""

import itertools
import json
import textwrap
from collections.abc import Iterator, Sequence
from typing import Any

from harness.explore.comparing import StateDifference, members
from harness.explore.findings import CaseFinding, Exploration
from harness.explore.records import CallRecord, Ending
from harness.explore.schedule import Blow, Overlap, Schedule, Strike

_LONGEST_VALUE_LINES = 24
_MOST_OTHERS = 4
_LONGEST_PAYLOAD = 160

_BLOWS = {
    Blow.KILL_BEFORE: "the process is killed before {call}",
    Blow.KILL_AFTER: "the process is killed after {call} took effect and before the answer",
    Blow.ERROR: "{call} fails with an internal error of the service",
    Blow.THROTTLE: "{call} is throttled",
    Blow.TIMEOUT: "{call} takes effect, but its answer never comes",
    Blow.TIME_LIMIT: "the function's time limit strikes after {call} took effect and before the answer",
}
_STRUCK = {
    Blow.KILL_BEFORE: "killed before it",
    Blow.KILL_AFTER: "killed before the answer",
    Blow.ERROR: "internal error",
    Blow.THROTTLE: "throttled",
    Blow.TIMEOUT: "no answer",
    Blow.TIME_LIMIT: "time limit",
}


def in_words(schedule: Schedule, calls: Sequence[CallRecord]) -> str:
    """Return a schedule as a sentence without its full stop.

    Args:
        schedule: The schedule.
        calls: The calls of the undisturbed run, which the numbers of calls refer to.
    """
    parts = [_strike(strike, calls) for strike in schedule.strikes]
    if schedule.second == "after":
        parts.append("the event is delivered again, after the first delivery has ended")
    if schedule.overlap is not None:
        parts.append(_overlap(schedule.overlap, calls))
    return "; ".join(parts) or "nothing disturbs the run"


def _strike(strike: Strike, calls: Sequence[CallRecord]) -> str:
    text = _BLOWS[strike.blow].format(call=_named(strike.call, calls))
    where = [f"delivery {strike.delivery}"] * (strike.delivery > 1) + [f"attempt {strike.attempt}"] * (
        strike.attempt > 1
    )
    return f"in {', '.join(where)} {text}" if where else text


def _overlap(overlap: Overlap, calls: Sequence[CallRecord]) -> str:
    until = f"passed {_named(overlap.until, calls)}" if overlap.until else "ended"
    rest = ", and then runs to its end before the second goes on" if overlap.until else ""
    return (
        "the event is delivered twice at the same time: the first delivery stands still before "
        f"{_named(overlap.hold, calls)} until the second has {until}{rest}"
    )


def _named(number: int, calls: Sequence[CallRecord]) -> str:
    """Return a call of the explored function by its number and what it does: `call 2 (s3 PutObject s3://b/k)`."""
    for call in calls:
        if call.number == number and call.delivery == 1 and call.attempt == 1:
            return f"call {number} ({' '.join(filter(None, (call.service, call.operation, call.target)))})"
    return f"call {number}"


def page(finding: CaseFinding, number: int, function: str, width: int = 100) -> str:
    """Return a finding as a page of text.

    Args:
        finding: The finding.
        number: Its number, from 1.
        function: The function's name.
        width: The longest line, in characters, except for values without spaces.
    """
    lines = [*textwrap.wrap(f"{number}. {function}: {finding.title}", width, subsequent_indent="   "), ""]
    several = len({(call.delivery, call.attempt) for call in finding.calls}) > 1
    heading = "calls (delivery.attempt, number of the call)" if several else "calls"
    lines += [f"   {heading}", *(f"   {line}" for line in call_lines(finding.calls)), ""]
    lines += ["   attempts", *(f"   {line}" for line in _ending_lines(finding.endings)), ""]
    if finding.violation:
        lines += ["   invariant", *_indented(finding.violation, width), ""]
    if finding.differences:
        half = (width - 8) // 2
        lines.append(f"     {'after the undisturbed run':<{half}}   after this schedule")
        for difference in itertools.chain.from_iterable(map(members, finding.differences)):
            lines += [f"   {difference.address}", *(f"     {line}" for line in _side_by_side(difference, half))]
        lines.append("")
    if finding.others:
        lines += _others(finding.others, width)
    if finding.file:
        lines += [f"   replay: harness explore --replay {finding.file}", ""]
    return "\n".join(lines)


def call_lines(calls: Sequence[CallRecord]) -> Iterator[str]:
    """Return the calls in the order of their arrival; `>` marks those that were struck."""
    who = [f"{call.delivery}.{call.attempt}" if call.delivery else call.function for call in calls]
    widest = max(map(len, who), default=0)
    several = len(set(who)) > 1
    for name, call in zip(who, calls, strict=True):
        mark = ">" if call.blow else " "
        place = f"{name:<{widest}} " if several else ""
        words = " ".join(filter(None, (call.service, call.operation, call.target)))
        yield f"{mark} {place}{call.number:>3}  {words}{_outcome(call)}"


def _outcome(call: CallRecord) -> str:
    parts = []
    if call.blow:
        parts.append(_STRUCK[call.blow])
        parts.append("took effect" if call.effect else "no effect")
    elif call.status is None:
        parts.append("did not arrive")
    elif call.status >= 400:
        parts.append(f"answered {call.status}")
    return f"   <- {', '.join(parts)}" if parts else ""


def _ending_lines(endings: Sequence[Ending]) -> Iterator[str]:
    for ending in endings:
        told = ending.error or json.dumps(ending.payload, ensure_ascii=False)
        yield f"  {ending.delivery}.{ending.attempt}  {ending.kind}  {told[:_LONGEST_PAYLOAD]}"


def _indented(text: str, width: int) -> list[str]:
    return [f"     {line}" for given in text.splitlines() for line in textwrap.wrap(given, width - 5) or [""]]


def _others(others: Sequence[str], width: int) -> list[str]:
    lines = [f"   the same after {len(others)} other schedule{'s' * (len(others) > 1)}, such as"]
    for other in others[:_MOST_OTHERS]:
        lines += textwrap.wrap(other, width, initial_indent="   - ", subsequent_indent="     ")
    return [*lines, ""]


def _side_by_side(difference: StateDifference, half: int) -> Iterator[str]:
    left, right = (list(_value_lines(values, half)) for values in (difference.undisturbed, difference.found))
    for before, after in itertools.zip_longest(left, right, fillvalue=""):
        yield f"{before:<{half}} | {after}".rstrip()


def _value_lines(values: Sequence[Any], width: int) -> Iterator[str]:
    lines = [line for value in values for line in _wrapped(value, width)] if values else ["(absent)"]
    yield from lines[:_LONGEST_VALUE_LINES]
    if len(lines) > _LONGEST_VALUE_LINES:
        yield f"... {len(lines) - _LONGEST_VALUE_LINES} more lines"


def _wrapped(value: Any, width: int) -> Iterator[str]:  # noqa: ANN401 - any JSON
    text = json.dumps(value, ensure_ascii=False)
    if len(text) > width and isinstance(value, dict | list):
        text = json.dumps(value, ensure_ascii=False, indent=1)
    for line in text.splitlines():
        yield from (line[at : at + width] for at in range(0, len(line), width))


def summary(exploration: Exploration) -> str:
    """Return the last line: what was tried, and how much was found."""
    calls = sum(call.delivery == 1 for call in exploration.calls)
    found = len(exploration.findings)
    verdict = "no finding" if not found else f"{found} finding{'s' * (found > 1)}"
    return (
        f"{exploration.function}: {verdict} in {exploration.cases} case{'s' * (exploration.cases != 1)}, "
        f"{calls} call{'s' * (calls != 1)} to AWS, {exploration.seconds:.1f} s"
    )

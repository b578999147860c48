"""A finding in words: what was done, at which call, and what is wrong afterwards."""

import msgspec
import pytest

from harness.explore.comparing import StateDifference
from harness.explore.findings import CaseFinding, Exploration
from harness.explore.records import CallRecord, Ending
from harness.explore.schedule import Blow, Overlap, Schedule, Strike
from harness.explore.wording import in_words, page, summary


def call(number: int, operation: str, *, attempt: int = 1, **more) -> CallRecord:
    """A call of the first delivery."""
    values = {"target": "s3://inbox/total", "effect": True, "status": 200, "function": "f", "service": "s3", **more}
    named = {"delivery": 1, "attempt": attempt, "number": number, "operation": operation}
    return msgspec.convert({**named, **values}, CallRecord)


TWICE = (
    "the event is delivered twice at the same time: "
    "the first delivery stands still before call 2 (s3 PutObject s3://inbox/total) until the second has"
)
FIRST = "call 1 (s3 GetObject s3://inbox/total)"
CALLS = [call(1, "GetObject"), call(2, "PutObject")]


@pytest.mark.parametrize(
    ("schedule", "words"),
    [
        (Schedule(), "nothing disturbs the run"),
        (
            Schedule(strikes=(Strike(1, 1, 2, Blow.KILL_AFTER),)),
            "the process is killed after call 2 (s3 PutObject s3://inbox/total) took effect and before the answer",
        ),
        (Schedule(strikes=(Strike(1, 2, 3, Blow.THROTTLE),)), "in attempt 2 call 3 is throttled"),
        (Schedule(second="after"), "the event is delivered again, after the first delivery has ended"),
        (
            Schedule(second="overlap", overlap=Overlap(2, 1)),
            f"{TWICE} passed {FIRST}, and then runs to its end before the second goes on",
        ),
        (
            Schedule(second="overlap", overlap=Overlap(2, 0)),
            f"{TWICE} ended",
        ),
    ],
)
def test_a_schedule_is_a_sentence(schedule: Schedule, words: str):
    """A reader who has never seen a schedule knows what was done."""
    assert in_words(schedule, CALLS) == words


FINDING = CaseFinding(
    title="the process is killed after call 2 took effect",
    schedule=Schedule(strikes=(Strike(1, 1, 2, Blow.KILL_AFTER),)),
    differences=(
        StateDifference("s3://inbox/total", ({"sum": 1},), ({"sum": 2},)),
        StateDifference("s3://inbox/log", (), ("killed",)),
    ),
    violation="the sum is 2",
    endings=(
        Ending(delivery=1, attempt=1, kind="killed", error="Runtime.ExitError"),
        Ending(delivery=1, attempt=2, kind="returned", payload={"ok": True}),
    ),
    calls=(
        call(1, "GetObject"),
        call(2, "PutObject", blow=Blow.KILL_AFTER),
        call(1, "GetObject", attempt=2),
        call(2, "PutObject", attempt=2, status=412, effect=False),
    ),
    others=("the event is delivered again",),
    file=".harness/explore/f-1.json",
)


def test_a_page_marks_the_blow_and_shows_both_states():
    """One look tells what happened, and what it did."""
    text = page(FINDING, 1, "f", width=80)

    assert text.splitlines() == [
        "1. f: the process is killed after call 2 took effect",
        "",
        "   calls (delivery.attempt, number of the call)",
        "     1.1   1  s3 GetObject s3://inbox/total",
        "   > 1.1   2  s3 PutObject s3://inbox/total   <- killed before the answer, took effect",
        "     1.2   1  s3 GetObject s3://inbox/total",
        "     1.2   2  s3 PutObject s3://inbox/total   <- answered 412",
        "",
        "   attempts",
        "     1.1  killed  Runtime.ExitError",
        '     1.2  returned  {"ok": true}',
        "",
        "   invariant",
        "     the sum is 2",
        "",
        "     after the undisturbed run              after this schedule",
        "   s3://inbox/total#sum",
        "     1                                    | 2",
        "   s3://inbox/log",
        '     (absent)                             | "killed"',
        "",
        "   the same after 1 other schedule, such as",
        "   - the event is delivered again",
        "",
        "   replay: harness explore --replay .harness/explore/f-1.json",
    ]


def test_a_long_value_is_wrapped_and_cut():
    """A page stays a page."""
    long = StateDifference("s3://b/k", ({f"key{number}": "v" * 20 for number in range(50)},), ("x" * 500,))
    finding = CaseFinding(title="t", schedule=Schedule(), differences=(long,))

    lines = page(finding, 1, "f", width=80).splitlines()

    assert max(map(len, lines)) <= 80
    assert any("more lines" in line for line in lines)
    assert len(lines) < 50


@pytest.mark.parametrize(
    ("exploration", "words"),
    [
        (Exploration(function="f", cases=1, calls=(CALLS[0],)), "f: no finding in 1 case, 1 call to AWS, 0.0 s"),
        (
            Exploration(function="f", cases=15, calls=tuple(CALLS), findings=(FINDING,), seconds=2.04),
            "f: 1 finding in 15 cases, 2 calls to AWS, 2.0 s",
        ),
    ],
)
def test_the_last_line_counts(exploration: Exploration, words: str):
    """Also where nothing was found: how much was tried."""
    assert summary(exploration) == words

"""The book of attempts: the states of requests and events, figures, and what is kept."""

import json

import pytest

from harness.gateway.answers import Answer, failure
from harness.gateway.attempts import KEPT, KEPT_BYTES, LONGEST_ANSWER_BYTES, AttemptBook
from harness.gateway.logs.report_lines import Report

FAILED = failure("KeyError", "no such key")


def report(duration_ms=1.5, init_ms=None):
    """The figures of one invocation."""
    return Report(duration_ms=duration_ms, init_ms=init_ms, memory_mb=128, used_mb=40)


def run(tracked, answer, **figures):
    """Let an attempt run to its end in an environment that was started for it."""
    tracked.begin("$LATEST")
    tracked.enter("an-environment", cold=True)
    tracked.finish(answer, report(**figures))


def listening_book():
    """A book, and the states that it reports, each with the number of the attempt."""
    book, states = AttemptBook(), []
    book.on_change = lambda record: states.append((record.number, record.state))
    return book, states


def test_a_request_is_reported_from_its_acceptance_to_its_end():
    """With its times in order, its figures, its payload and its answer."""
    book, states = listening_book()
    tracked = book.open("f", "an-id", "request", b'{"a": 1}')
    run(tracked, Answer(b'{"b": 2}'), init_ms=7.0)

    (whole,) = [one.whole() for one in book.kept()]
    assert [(1, "queued"), (1, "running"), (1, "running"), (1, "succeeded")] == states
    assert ('{"a": 1}', '{"b": 2}', "an-environment", True) == (
        whole.payload,
        whole.answer,
        whole.environment,
        whole.cold,
    )
    assert whole.queued_at <= whole.started_at <= whole.ended_at
    assert (7.0, 1.5, 9, 40) == (whole.init_ms, whole.duration_ms, whole.billed_ms, whole.used_mb)
    assert "" == tracked.record.payload


def test_an_event_has_a_record_for_each_attempt():
    """A failed one says when the next is due; the last one is given up."""
    book, states = listening_book()
    first = book.open("f", "an-id", "event", b"1")
    run(first, FAILED)
    second = first.wait(60.0)
    run(second, FAILED)
    second.give_up("RetriesExhausted")

    one, two = (tracked.record for tracked in book.kept())
    assert ["failed", "given_up"] == [one.state, two.state]
    assert [1, 2] == [one.attempt, two.attempt]
    assert one.ended_at < one.due_at
    assert ("KeyError", "no such key", "an-id") == (two.error, two.error_message, two.request_id)
    assert (2, "waiting") in states


def test_a_throttled_event_stays_the_same_attempt():
    """It has not run; if it becomes too old it is given up without an answer."""
    book, _ = listening_book()
    tracked = book.open("f", "an-id", "event", b"1")

    assert tracked is tracked.wait(1.0)
    assert "throttled" == tracked.record.state
    assert {"f": 1} == book.waiting()
    tracked.give_up("EventAgeExceeded")
    assert ("given_up", "EventAgeExceeded", 1) == (tracked.record.state, tracked.record.error, tracked.record.attempt)
    assert {} == book.waiting()


def test_what_has_ended_does_not_end_again():
    """A reset drops the attempts in progress alone, and a late error changes nothing."""
    book, states = listening_book()
    done, running = (book.open("f", name, "request", b"") for name in ("done", "running"))
    run(done, Answer(b"1"))
    for tracked in (done, running):
        tracked.drop("Cancelled", "the stack was reset")
    running.finish(FAILED, None)

    assert ["succeeded", "dropped"] == [tracked.record.state for tracked in book.kept()]
    assert "Cancelled" == running.record.error
    assert (2, "dropped") == states[-1]


def test_ended_attempts_are_kept_up_to_a_number_and_a_size():
    """The newest one always, whatever its size; those in progress are kept beside them."""
    book = AttemptBook()
    book.open("f", "in progress", "event", b"")
    for number in range(KEPT + 2):
        run(book.open("f", str(number), "request", b"1"), Answer(b"2"))
    many = [one.record.request_id for one in book.kept()]
    large = book.open("f", "large", "request", b"1" * (KEPT_BYTES + 1))
    run(large, Answer(b"3" * (LONGEST_ANSWER_BYTES + 1)))

    assert ["in progress", *map(str, range(2, KEPT + 2))] == many
    assert ["in progress", "large"] == [one.record.request_id for one in book.kept()]
    assert LONGEST_ANSWER_BYTES == len(large.whole().answer)
    assert large is book.find(large.record.number)
    assert book.find(2) is None
    assert [large] == book.kept(large.record.number - 1)


@pytest.mark.parametrize(("duration_ms", "place"), [(0.5, 0), (1.0, 0), (2.0, 1), (10_000_000.0, -1)])
def test_figures_add_up(duration_ms, place):
    """Invocations, errors, throttles, cold starts and durations of each function."""
    book = AttemptBook()
    run(book.open("f", "an-id", "request", b""), FAILED, duration_ms=duration_ms)
    book.refuse("f")

    (figures,) = book.figures().values()
    assert (1, 1, 1, 1) == (figures.invocations, figures.errors, figures.throttles, figures.cold_starts)
    assert (1, 1) == (figures.durations[place], sum(figures.durations))
    assert json.dumps(duration_ms / 1e3) == json.dumps(figures.seconds)

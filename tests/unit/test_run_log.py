"""The lines of one run among those of functions that runs share."""

from harness.runs.log_tail import LogLine
from harness.runs.run_log import RunLog

ONE, OTHER = "11111111-1111-1111-1111-111111111111", "22222222-2222-2222-2222-222222222222"


def log_of(*lines):
    """A log of lines of a worker, each a stream and a text."""
    log = RunLog()
    for at, (stream, text) in enumerate(lines):
        log.add("worker", LogLine(1000 * at, stream, text))
    return log


def texts(log, *requests):
    """The texts of the lines of invocations."""
    return [line.text for line in log.lines(requests)]


def test_lines_belong_to_the_invocation_that_runs_in_their_environment():
    """Also what a function printed by itself, and what its environment printed before its first invocation."""
    log = log_of(
        ("a", "INIT_START"),
        ("a", f"START RequestId: {ONE} Version: $LATEST"),
        ("b", f"START RequestId: {OTHER} Version: $LATEST"),
        ("a", "a print"),
        ("b", "another print"),
        ("a", f"REPORT RequestId: {ONE}\tDuration: 1.00 ms"),
        ("a", f"START RequestId: {OTHER} Version: $LATEST"),
        ("a", "of the next one"),
    )

    assert ["INIT_START", "a print"] == texts(log, ONE)[0:3:2]
    assert 4 == len(texts(log, ONE))
    assert "of the next one" in texts(log, OTHER)
    assert "another print" in texts(log, OTHER)
    assert {ONE} == {line.request_id for line in log.lines([ONE])}


def test_a_line_without_a_start_is_found_by_the_request_that_it_names():
    """The log's beginning may be later than the invocation's."""
    log = log_of(("a", f"END RequestId: {ONE}"), ("b", f'{{"request_id": "{OTHER}", "run_id": "r1"}}'), ("c", "lost"))

    assert [f"END RequestId: {ONE}"] == texts(log, ONE)
    assert {OTHER} == log.requests_of("r1")


def test_a_run_has_the_invocations_whose_lines_name_it():
    """A line that only looks like JSON names none."""
    log = log_of(
        ("a", f"START RequestId: {ONE} Version: $LATEST"),
        ("a", "{broken"),
        ("a", '{"run_id": "r1", "event": "started"}'),
        ("b", f"START RequestId: {OTHER} Version: $LATEST"),
        ("b", '{"run_id": "r10"}'),
        ("b", '{"run_id": "r1"}'),
    )

    assert {ONE} == log.requests_of("r1")

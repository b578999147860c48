"""Which lines of a log `harness logs` prints."""

import json
from datetime import UTC, datetime, timedelta

import pytest
from click.testing import CliRunner

from harness.cli.logs import _time
from harness.cli.main import cli
from harness.errors import HarnessError
from harness.history.folder import KeptFolder
from harness.runs.function_logs import run_lines
from harness.runs.log_selection import RankSelection, parse_since
from harness.runs.log_tail import LogLine

NOW = datetime(2026, 11, 30, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    ("text", "ago"),
    [
        ("10", timedelta(minutes=10)),
        ("0", timedelta(0)),
        ("90s", timedelta(seconds=90)),
        ("1.5h", timedelta(minutes=90)),
        ("1w", timedelta(days=7)),
        ("2026-11-30T11:00:00Z", timedelta(hours=1)),
        ("2026-11-30T11:00:00.500", timedelta(seconds=3599.5)),
        ("2026-11-30T12:00:00+01:00", timedelta(hours=1)),
    ],
)
def test_a_span_or_a_time_is_a_beginning(text, ago):
    """A number is minutes, as ever."""
    assert NOW - ago == parse_since(text, NOW)


@pytest.mark.parametrize("text", ["", "-5", "5y", "yesterday", "99999999d", "1e400s", "1960-01-01T00:00:00Z"])
def test_other_words_are_refused_by_the_flag(text):
    """In click's words, with what would be right."""
    answer = CliRunner().invoke(cli, ["logs", f"--since={text}"])

    assert 2 == answer.exit_code
    assert "give a time span such as 90s" in answer.output


def test_a_pattern_that_is_none_is_refused():
    """With the reason of Python's `re`."""
    answer = CliRunner().invoke(cli, ["logs", "--filter", "("])

    assert 2 == answer.exit_code
    assert "no regular expression" in answer.output


def lines(stream, *messages):
    """Lines of one environment."""
    return [LogLine(at, stream, message) for at, message in enumerate(messages)]


def worker(stream, rank, request):
    """The lines of one invocation of a worker."""
    return lines(
        stream,
        f"START RequestId: {request} Version: $LATEST",
        "a line before the rank is known",
        json.dumps({"event": "started", "rank": rank, "run_id": "r"}),
        "a line of a library",
        f"REPORT RequestId: {request}",
    )


def test_an_invocation_belongs_to_the_rank_that_it_names():
    """All of its lines are selected, those before the rank was known too; an environment may serve several ranks."""
    zero, one, next_zero = worker("a", 0, "x"), worker("b", 1, "y"), worker("b", 0, "z")
    interleaved = [line for pair in zip(zero, one, strict=True) for line in pair] + next_zero

    assert zero + next_zero == list(RankSelection([0]).select(interleaved))
    assert one == list(RankSelection([1, 7]).select(interleaved))


def test_lines_without_a_rank_belong_to_nobody():
    """An invocation of another function, what precedes the first START, and JSON that names no number."""
    other = lines("a", '{"rank": 0}', "START RequestId: x Version: 1", '{"rank": "0"}', '{"rank": true}', "{", "END")

    assert [] == list(RankSelection([0, 1]).select(other))


def test_a_selection_goes_on_where_it_was():
    """Lines arrive in several polls."""
    selection, invocation = RankSelection([3]), worker("a", 3, "x")

    assert [] == list(selection.select(invocation[:2]))
    assert invocation == list(selection.select(invocation[2:]))


@pytest.mark.parametrize(
    ("names", "ranks", "words"),
    [
        ((), (7,), "run a-run has no line of rank 7\nits log has lines of ranks 0"),
        (("hello",), (), "run a-run has no line of function hello\nits log has lines of linear_ec_2"),
    ],
)
def test_a_rank_or_a_function_that_a_run_has_not_is_refused(tmp_path, names, ranks, words):
    """Nothing printed would look like a silent rank."""
    texts = ["START RequestId: w Version: $LATEST", '{"event":"started","run_id":"a-run","rank":0}']
    lines = [{"at": 1e9, "function": "linear_ec_2", "request_id": "w", "text": text} for text in texts]
    folder = tmp_path / "a-run"
    folder.mkdir()
    (folder / "log.jsonl").write_text("\n".join(map(json.dumps, lines)))

    with pytest.raises(HarnessError) as raised:
        list(run_lines(KeptFolder(folder), names, ranks, None))

    assert words == str(raised.value)


def test_a_line_at_a_time_of_no_calendar_is_printed_all_the_same():
    """A damaged log must not end in an error."""
    assert ["1e+13", "2001-09-09T01:46:40.000Z"] == [_time(at) for at in (10**16, 10**12)]

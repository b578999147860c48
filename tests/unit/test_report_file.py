"""A report is one file: what it contains, and what it says to the browser."""

import re
from dataclasses import replace
from pathlib import Path

import msgspec
import pytest

from harness.errors import HarnessError
from harness.insight.view import (
    Attempt,
    Epoch,
    InvocationView,
    Mark,
    Rank,
    Rounds,
    RunView,
    Share,
    Straggler,
)
from harness.page import assets, report_file
from harness.page.report_file import MOST_BYTES, report_html
from tests.support.sample_runs import HOSTILE, Sample, sample_log, sample_view

TYPES = Path(__file__).parents[2] / "web" / "src" / "shared" / "types.d.ts"
FILES = {"page.js": "start();", "page.css": "main {}", "LICENSES.txt": "MIT & <others>"}


@pytest.fixture
def built(tmp_path, monkeypatch):
    """The page as a build leaves it, but small."""
    for name, text in FILES.items():
        (tmp_path / name).write_text(text)
    monkeypatch.setattr(assets, "STATIC", tmp_path)


def data_of(text):
    """What a report's script finds in it."""
    return msgspec.json.decode(re.findall(r'id="report-data">(.*?)</script>', text, re.DOTALL)[0])


@pytest.mark.usefixtures("built")
def test_a_report_holds_its_views_and_logs():
    """A report has everything of a view, and the lines of its log."""
    view = sample_view(Sample())
    log = sample_log(view)
    data = data_of(report_html([view], [log]))

    assert msgspec.convert(data["views"], list[RunView]) == [view]
    assert data["logs"] == [log]
    assert data["licences"] == FILES["LICENSES.txt"]


@pytest.mark.usefixtures("built")
def test_no_string_of_a_run_ends_the_data():
    """Names and lines that try to be HTML stay strings."""
    view = sample_view(Sample(hostile=True))
    text = report_html([view], [[{"at": 0.0, "text": HOSTILE}]])

    assert len(re.findall("</script>", text)) == 2
    assert "<img" not in text
    assert "\u2028" not in text
    assert data_of(text)["views"][0]["job"]["model"] == HOSTILE


@pytest.mark.usefixtures("built")
def test_a_report_may_ask_nobody():
    """The report's policy refuses every request, and all scripts and styles but its own."""
    text = report_html([sample_view(Sample())])
    policy = re.findall(r'Content-Security-Policy" content="([^"]+)"', text)[0]

    assert policy.startswith("default-src 'none'; style-src 'sha256-")
    assert "unsafe" not in policy


@pytest.mark.usefixtures("built")
def test_the_middle_of_a_long_log_is_left_out():
    """A report of a log of 20 MB is small, has its first and last lines, and says what is missing."""
    line = {"at": 0.0, "function": "f", "request_id": "r", "rank": 0, "run_id": "a"}
    log = [{**line, "text": f"{number} {'x' * 1000}"} for number in range(20_000)]
    text = report_html([sample_view(Sample())], [log])
    lines = [one["text"] for one in data_of(text)["logs"][0]]
    notes = [one for one in lines if "left out" in one]

    assert len(text) < MOST_BYTES / 2
    assert (lines[0][:2], lines[-1][:5]) == ("0 ", "19999")
    assert notes == [f"... {20_000 - len(lines) + 1:,} lines are left out of this report ..."]


@pytest.mark.usefixtures("built")
def test_two_runs_of_64_ranks_fit_a_report():
    """Two runs of 64 ranks and 10,000 rounds, thinned as views are, stay below the limit."""
    sample = Sample(n_ranks=64, n_rounds=10_000, n_buckets=100, n_epochs=100)

    assert len(report_html([sample_view(sample), sample_view(replace(sample, seed=1))])) < MOST_BYTES


@pytest.mark.usefixtures("built")
def test_a_view_that_is_too_large_is_thinned(monkeypatch):
    """Rounds are drawn as fewer bars where a report would be too large; their sums stay."""
    monkeypatch.setattr(report_file, "MOST_BYTES", 300_000)
    view = sample_view(Sample(n_ranks=8, n_buckets=400))
    text = report_html([view])
    thinned = msgspec.convert(data_of(text)["views"][0], RunView)

    assert len(text.encode()) < 300_000
    for rank, other in zip(view.ranks, thinned.ranks, strict=True):
        before, after = rank.attempts[0].buckets, other.attempts[0].buckets
        assert len(after) < len(before)
        assert (after[0].start, after[-1].end) == (before[0].start, before[-1].end)
        assert sum(one.rounds for one in after) == sum(one.rounds for one in before)
        assert sum(one.wait_s for one in after) == pytest.approx(sum(one.wait_s for one in before))


def test_a_page_that_was_not_built_is_named(tmp_path, monkeypatch):
    """Without the build, a report is an error that says how to build."""
    monkeypatch.setattr(assets, "STATIC", tmp_path)
    with pytest.raises(HarnessError, match="the page is not built") as caught:
        report_html([sample_view(Sample())])
    assert "page" in caught.value.remedy


@pytest.mark.parametrize(
    "kind",
    [Attempt, Epoch, InvocationView, Mark, Rank, Rounds, RunView, Share, Straggler],
    ids=lambda kind: kind.__name__,
)
def test_the_page_knows_the_fields_of_a_view(kind):
    """The page's types have the fields of the records, by the same names."""
    body = re.findall(rf"export interface {kind.__name__} {{(.*?)\n}}", TYPES.read_text(), re.DOTALL)[0]

    assert set(re.findall(r"^  (\w+)\??:", body, re.MULTILINE)) == set(kind.__struct_fields__)

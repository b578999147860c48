"""`harness why`, `harness report` and the comparison of two runs, as a user sees them, on recorded runs."""

import json
import shutil
from pathlib import Path

import msgspec
import pytest
from click.testing import CliRunner, Result

from harness.cli.main import cli
from harness.history.folder import KeptFolder
from harness.insight.comparison import RunComparison, compare
from harness.insight.folder import read_view
from harness.insight.why import lines_of, why

RECORDED = Path(__file__).parents[1] / "fixtures_runs"


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a project that keeps the recorded runs."""
    shutil.copytree(RECORDED, tmp_path / ".harness" / "runs")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def call(*arguments: str) -> Result:
    """Return what a command printed; `NO_COLOR` as in a pipe."""
    return CliRunner().invoke(cli, list(arguments), env={"NO_COLOR": "1"}, catch_exceptions=True)


def recorded_comparison() -> RunComparison:
    """Return two recorded runs side by side, which differ in their learning rate and in their faults."""
    a, b = (read_view(KeptFolder(RECORDED / name)) for name in ("sample-slow-rank", "sample-killed-rank"))
    return compare(a, b)


@pytest.mark.usefixtures("project")
def test_why_names_the_straggler_in_ten_lines() -> None:
    """The headline, the largest shares, the slow rank, and the fault that slowed it."""
    lines = call("why", "sample-slow-rank").stdout.splitlines()
    assert lines[0].startswith("sample-slow-rank succeeded in 4.36 s, 4 workers, 108 rounds")
    assert len(lines) <= 10
    words = [line.split()[0] for line in lines[1:]]
    assert words == ["start", "wait", "store", "load", "exchange", "rest", "straggler", "helps"]
    assert "rank 2 was waited for in rounds 1 to 106" in lines[7]
    assert "rank 2 was disturbed on purpose (freeze rank=2 factor=4.0)" in lines[8]


def test_the_lines_add_up_to_the_run() -> None:
    """Small shares are added up in one line, so that no second is lost."""
    view = read_view(KeptFolder(RECORDED / "sample-killed-rank"))
    figures = [line.figure for line in lines_of(why(view)) if line.label not in {"straggler", "helps most"}]
    assert sum(float(figure.split()[0]) for figure in figures) == pytest.approx(view.seconds, abs=0.03)


def test_why_names_zones_where_they_differ() -> None:
    """The headline names the zones of the workers; the straggler's is named if others were in another one."""
    view = read_view(KeptFolder(RECORDED / "sample-slow-rank"))

    def told(*zones: str) -> tuple[str, str]:
        ranks = [msgspec.structs.replace(one, zone=zone) for one, zone in zip(view.ranks, zones, strict=True)]
        answer = why(msgspec.structs.replace(view, ranks=ranks))
        return answer.headline, next(line.text for line in lines_of(answer) if line.label == "straggler")

    near, far = "use1-az1", "use1-az2"
    for zones, workers, straggler in (
        (
            [near, near, far, near],
            "4 workers in use1-az1 and use1-az2,",
            "rank 2, in use1-az2, was waited for",
        ),
        ([near] * 4, "4 workers in use1-az1,", "rank 2 was waited for in rounds"),
        ([""] * 4, "4 workers,", "rank 2 was waited for in rounds"),
    ):
        headline, text = told(*zones)
        assert workers in headline
        assert text.startswith(straggler)


@pytest.mark.usefixtures("project")
def test_why_prints_json() -> None:
    """All shares, with the straggler as a record."""
    answer = json.loads(call("why", "sample-frozen", "--json").stdout)
    assert answer["run_id"] == "sample-frozen-rank"
    assert answer["straggler"]["rank"] == 1
    assert sum(share["seconds"] for share in answer["shares"]) == pytest.approx(answer["seconds"])


@pytest.mark.usefixtures("project")
@pytest.mark.parametrize("verb", ["why", "report"])
def test_an_unknown_run_is_told_with_near_matches(verb: str) -> None:
    """A typing error is answered by the run that was meant."""
    result = call(verb, "sample-slwo-rank")
    assert result.exit_code != 0
    assert "there is no run sample-slwo-rank" in str(result.exception)
    assert "did you mean sample-slow-rank" in str(result.exception)


def test_two_runs_are_compared_by_what_differs() -> None:
    """The learning rate differs and is listed, the number of workers does not and is not; times have their ratio."""
    lines = {(line.section, line.key): line for line in recorded_comparison().lines}
    lr = lines["job", "lr"]
    assert (lr.a, lr.b) == (0.1, 0.3)
    assert ("job", "n_workers") not in lines
    assert ("job", "run_id") not in lines
    assert lines["times", "seconds"].change == "1.67x"
    assert (lines["times", "deaths"].a, lines["times", "deaths"].b) == (0, 1)
    assert lines["results", "loss"].change.startswith("-0.00")


@pytest.mark.usefixtures("project")
def test_a_report_of_a_format_is_written_without_html(tmp_path: Path) -> None:
    """`--csv` alone writes tables, and says where."""
    result = call("report", "sample-slow-rank", "--csv", "tables")
    assert result.exit_code == 0, result.output
    assert (tmp_path / "tables" / "sample-slow-rank" / "ranks.csv").is_file()
    assert not list(tmp_path.glob("*.html"))


@pytest.mark.usefixtures("project")
def test_a_format_of_two_runs_is_refused() -> None:
    """A trace holds one run."""
    result = call("report", "sample-slow-rank", "sample-killed-rank", "--trace", "both.pftrace")
    assert "a format holds one run" in str(result.exception)


@pytest.mark.usefixtures("project")
def test_runs_are_compared_on_the_terminal() -> None:
    """`harness runs --compare` prints a table, `--json` a record; other flags of the list are refused beside it."""
    shown = call("runs", "--compare", "sample-slow-rank", "sample-killed-rank")
    assert shown.exit_code == 0, shown.output
    rows = [line.split() for line in shown.stdout.splitlines()]
    assert rows[0] == ["sample-slow-rank", "sample-killed-rank", "change"]
    assert ["lr", "0.1", "0.3"] in rows
    assert ["seconds", "4.357", "7.268", "1.67x"] in rows
    record = json.loads(call("runs", "--compare", "sample-slow-rank", "sample-killed-rank", "--json").stdout)
    assert (record["a"], record["b"]) == ("sample-slow-rank", "sample-killed-rank")
    refused = call("runs", "--compare", "sample-slow-rank", "sample-killed-rank", "--limit", "3")
    assert "--limit selects what a list shows" in str(refused.exception) + refused.output

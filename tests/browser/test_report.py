"""A report in a browser: one file, opened without a server."""

import re
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
from click.testing import CliRunner
from playwright.sync_api import expect

from harness.cli.main import cli
from harness.insight.view import RunView
from harness.page.report_file import report_html
from tests.support.browser import NARROW, WIDE, serious_findings, wider_than_window
from tests.support.sample_runs import HOSTILE, Sample, sample_log, sample_view

BROKEN = Sample(straggler=1, killed=2)
OTHER = Sample(run_id="20261201-111500-d4e5f6", seed=7, n_epochs=25)


@pytest.fixture(scope="module")
def reports(tmp_path_factory):
    """Writes a report of some samples, and returns its address."""
    folder = tmp_path_factory.mktemp("reports")

    def write(*samples):
        views = [sample_view(sample) for sample in samples]
        path = folder / f"{abs(hash(samples))}.html"
        path.write_text(report_html(views, [sample_log(view) for view in views]), encoding="utf-8")
        return path.as_uri()

    return write


def test_a_report_names_the_straggler_and_shows_the_death(browser, reports):
    """The headline says who was waited for and how long; the death and the retry are among the events."""
    page = browser.open(reports(BROKEN))

    expect(page.locator(".headline")).to_contain_text("The others waited 3.20 s for rank 1")
    events = page.get_by_role("region", name="What happened", exact=True).last.inner_text()
    assert "rank 2 died: Runtime.ExitError" in events
    expect(page.locator("details.ranks")).to_contain_text("died")
    assert page.locator("canvas[role=application]").count() == 1


def test_the_log_is_filtered_by_rank_and_by_text(browser, reports):
    """Of all lines those of a rank stay, and of these those that contain a text."""
    page = browser.open(reports(BROKEN))
    lines = page.locator(".run-log li")
    expect(lines.nth(40)).to_be_attached()
    page.get_by_label("Lines of").select_option("2")
    expect(lines.filter(has_not_text="rank 2")).to_have_count(0)
    assert {row.split("\n")[1] for row in lines.all_inner_texts()} == {"rank 2"}
    page.get_by_label("Lines that contain").fill("DIED")
    expect(lines).to_have_count(1)
    expect(lines).to_contain_text("died")


def test_the_timeline_is_read_with_the_keyboard(browser, reports):
    """Arrows go from bar to bar and from rank to rank, M to the marks; each is announced in words."""
    page = browser.open(reports(BROKEN))
    said = page.locator("#announcer")
    page.locator("canvas[role=application]").focus()
    page.keyboard.press("ArrowRight")
    expect(said).to_contain_text(re.compile("Cold start(: imports)?, rank 0"))
    for _ in range(3):
        page.keyboard.press("ArrowRight")
    expect(said).to_contain_text("Rounds 1 to 3, rank 0")
    page.keyboard.press("ArrowDown")
    expect(said).to_contain_text("rank 1")
    page.keyboard.press("m")
    expect(said).to_contain_text("Fault. slow rank=1")
    whole = page.get_by_role("button", name="Show the whole run")
    expect(whole).to_be_disabled()
    page.keyboard.press("+")
    expect(whole).to_be_enabled()
    page.keyboard.press("0")
    expect(whole).to_be_disabled()


def test_the_timeline_is_zoomed_with_the_mouse(browser, reports):
    """Dragging over a span shows it, and a bar at the pointer says its figures."""
    page = browser.open(reports(BROKEN))
    canvas = page.locator("canvas[role=application]")
    canvas.hover(position={"x": 500, "y": 50})  # which waits until the page's layout rests
    box = canvas.bounding_box()
    expect(page.locator(".run-timeline .plot-tip")).to_contain_text("rank 0")
    page.mouse.down()
    page.mouse.move(box["x"] + 600, box["y"] + 50, steps=3)
    page.mouse.up()
    expect(page.get_by_role("button", name="Show the whole run")).to_be_enabled()


def test_curves_have_a_logarithmic_scale_and_other_metrics(browser, reports):
    """The metric of the curves is chosen; the plot's description says which and how it ended."""
    page = browser.open(reports(BROKEN))
    page.get_by_role("button", name="Log scale").click()
    expect(page.get_by_role("button", name="Log scale")).to_have_attribute("aria-pressed", "true")
    page.get_by_label("Metric of the curves").select_option("accuracy")
    expect(page.get_by_role("img", name="accuracy by epoch: from")).to_have_count(1)


def test_two_runs_stand_side_by_side_with_what_differs(browser, reports):
    """A report of two runs begins with both: keys of the jobs that differ, figures with their change."""
    page = browser.open(reports(BROKEN, OTHER))
    keys = page.get_by_role("region", name="What differs in the jobs", exact=True).last

    expect(keys.locator("tbody tr")).to_have_count(4)
    assert keys.locator("tbody tr").all_inner_texts() == [
        "faults\tslow rank=1; kill rank=2,round=200\t\u2013",
        "lr\t0.1\t0.17",
        "n_epochs\t20\t25",
        "seed\t0\t7",
    ]
    assert "better" in page.get_by_role("region", name="Figures of both runs").inner_text()
    page.get_by_role("link", name=OTHER.run_id).first.click()
    expect(page.locator("h1")).to_have_text(f"Run {OTHER.run_id}")


def test_a_view_without_records_says_what_it_lacks(browser, tmp_path):
    """A failed run of which little is known shows its cause and its gaps, and says where nothing is known."""
    view = RunView(
        run_id="lost", status="failed", cause="rank 1 is missing", started_at=0.0, seconds=3.0, gaps=["there is no log"]
    )
    (tmp_path / "lost.html").write_text(report_html([view]), encoding="utf-8")
    page = browser.open((tmp_path / "lost.html").as_uri())

    expect(page.get_by_text("It failed: rank 1 is missing")).to_be_visible()
    expect(page.get_by_text("there is no log")).to_be_visible()
    expect(page.get_by_text("No rank has begun.")).to_be_visible()


def test_hostile_strings_are_text(browser, reports):
    """A model's name, a mark and a warning that try to be scripts are shown, and do not run."""
    page = browser.open(reports(replace(BROKEN, hostile=True)))

    assert HOSTILE.split("\u2028")[0] in page.locator(".headline").inner_text()
    assert page.evaluate("globalThis.hostile") is None
    assert page.locator("main img").count() == 0


@pytest.mark.parametrize(
    ("size", "theme"),
    [
        pytest.param(NARROW, "dark", id="narrow-dark"),
        pytest.param(NARROW, "light", id="narrow-light", marks=pytest.mark.slow),
        pytest.param(WIDE, "dark", id="wide-dark", marks=pytest.mark.slow),
        pytest.param(WIDE, "light", id="wide-light", marks=pytest.mark.slow),
    ],
)
def test_a_report_is_accessible_and_fits_its_window(browser, reports, size, theme):
    """In both themes and at both widths, axe-core finds nothing serious, and nobody scrolls sideways."""
    page = browser.open(reports(BROKEN, replace(OTHER, run_id="r" * 80)), size=size, theme=theme)
    assert serious_findings(page) == []
    assert wider_than_window(page) == 0
    page.goto(reports(BROKEN))
    assert serious_findings(page) == []
    assert wider_than_window(page) == 0


@pytest.mark.slow
def test_64_ranks_are_drawn(browser, reports):
    """A run of 64 ranks and 10,000 rounds is on the screen, and a bar of its last rank says its figures."""
    page = browser.open(reports(Sample(n_ranks=64, n_rounds=10_000, n_buckets=200, straggler=17)))
    canvas = page.locator("canvas[role=application]")
    canvas.hover(position={"x": 700, "y": canvas.bounding_box()["height"] - 8})

    expect(page.locator(".run-timeline .plot-tip")).to_contain_text("rank 63")


def test_the_command_writes_a_report_of_kept_runs(browser, tmp_path, monkeypatch):
    """`harness report` of recorded runs: the frozen rank is in the headline, its log is there, and two runs differ."""
    shutil.copytree(Path(__file__).parents[1] / "fixtures_runs", tmp_path / ".harness" / "runs")
    monkeypatch.chdir(tmp_path)
    one = CliRunner().invoke(cli, ["report", "sample-frozen-rank"])
    both = CliRunner().invoke(cli, ["report", "sample-slow-rank", "sample-killed-rank", "-o", "both.html"])
    assert (one.stdout, both.stdout) == ("wrote report-sample-frozen-rank.html\n", "wrote both.html\n")

    page = browser.open((tmp_path / "report-sample-frozen-rank.html").as_uri())
    expect(page.locator(".headline")).to_contain_text("rank 1")
    expect(page.locator(".run-log li").nth(10)).to_be_attached()
    page = browser.open((tmp_path / "both.html").as_uri())
    assert {"sample-slow-rank", "sample-killed-rank"} <= set(page.locator("body").inner_text().split())

"""`harness forecast --workers auto`: the best setting, and how sure it is."""

from dataclasses import replace

import click
import pytest
from click.testing import CliRunner

from harness.cli.forecast import Numbers
from harness.cli.forecast_options import as_assumed
from harness.cli.main import cli
from harness.errors import HarnessError
from harness.report.choice import SURE, Limit, choose
from harness.report.forecast import sample_run
from harness.report.plot import frontier
from tests.support.forecasts import ASSUMED, RUN, forecasts

# With so few rows in a round, no more than 8 workers are tried, which takes a fraction of the time.
SMALL = replace(RUN, round_rows=8)


def test_the_cheapest_within_a_deadline_has_few_workers():
    """One worker fewer misses it, and all that keep to it cost more."""
    choice = choose(RUN, [1769], ASSUMED, Limit(deadline_s=12.0))
    fewer = sample_run(RUN, choice.best.workers - 2, 1769, ASSUMED)

    assert choice.best.seconds < 12.0
    assert choice.share >= SURE
    assert (fewer.seconds <= 12.0).mean() < SURE
    within = [one for one in choice.tried if one.seconds_p90 <= 12.0]
    assert choice.best.usd == min(one.usd for one in within)


def test_the_quickest_within_a_budget_uses_it():
    """It costs no more in nine of ten samples; what is quicker costs more."""
    limit = Limit(budget_usd=0.004)
    choice = choose(RUN, [1769], ASSUMED, limit)

    assert choice.best.usd_p90 <= 0.004
    assert [one for one in choice.tried if one.seconds < choice.best.seconds and one.usd_p90 <= 0.004] == []
    assert choice.share >= SURE


@pytest.mark.parametrize(
    ("limit", "words"),
    [
        (Limit(deadline_s=0.2), ["no number of workers ends within 0.2 s", "the quickest:", "0% of its samples"]),
        (Limit(budget_usd=1e-9), ["no number of workers costs at most 1e-09 USD", "the cheapest: ", " USD ("]),
    ],
)
def test_a_limit_that_nobody_meets_is_an_error_with_the_best_there_is(limit, words):
    """The best setting, its time and its cost are told."""
    with pytest.raises(HarnessError) as error:
        choose(SMALL, [1769], ASSUMED, limit)

    assert all(word in str(error.value) for word in words)


def test_memory_that_does_not_suffice_is_not_chosen():
    """The smaller memory size is cheaper, where the rows fit into it."""
    run = replace(SMALL, max_rss_mb=2000.0)

    assert 3008 == choose(run, [1769, 3008], ASSUMED, Limit(deadline_s=60.0)).best.memory_mb
    assert 1769 == choose(SMALL, [1769, 3008], ASSUMED, Limit(deadline_s=60.0)).best.memory_mb


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--workers", "auto"], ["needs one of --deadline and --budget"]),
        (["--workers", "auto", "--deadline", "60s", "--budget", "1"], ["needs one of"]),
        (["--deadline", "60s"], ["need --workers auto"]),
        (["--workers", "auto", "--deadline", "60"], ["--deadline", "'60'", "90s, 15m or 2h"]),
        (["--workers", "auto", "--deadline", "-5s"], ["'-5s'", "above 0"]),
        (["--workers", "auto", "--budget", "0"], ["--budget", "x>0"]),
        (["--workers", "auto", "--budget", "nan"], ["--budget", "nan", "x>0"]),
        (["--workers", "auto", "--budget", "inf"], ["--budget", "inf", "x>0"]),
        (["--imports", "nan"], ["--imports", "nan", "0<=x<=1000000"]),
        (["--imports", "inf"], ["--imports", "inf", "0<=x<=1000000"]),
        (["--lambda-price", "1e308"], ["--lambda-price", "1e+308", "0<=x<=1000000"]),
        (["--store-latency", "1e300"], ["--store-latency", "from 1e-9 to 1e9"]),
        (["--workers", "many"], ["'many'", "or auto"]),
    ],
)
def test_limits_are_checked_before_anything_is_read(arguments, words):
    """Each message names the flag and what is right."""
    answer = CliRunner().invoke(cli, ["forecast", "a-run", *arguments])

    assert 2 == answer.exit_code
    assert all(word in answer.output for word in words), answer.output


def test_a_number_of_workers_counts_once():
    """A list with repetitions is a list of settings, and each has one line."""
    assert [4, 2] == Numbers(1, 1000).convert("4,2,4,2", None, None)


def test_the_size_of_an_image_needs_an_image():
    """Functions from zips do not become slower by it, and the flag would change nothing."""
    flags = {"package": None, "imports_s": None, "image_mb": 120.0}

    with pytest.raises(click.UsageError, match="--package image"):
        as_assumed(RUN, flags)
    assert as_assumed(RUN, {**flags, "package": "image"}).image


def test_the_frontier_has_what_nothing_beats():
    """From the quickest and dearest to the slowest and cheapest."""
    found = frontier(forecasts((1, 4, 16, 64)))

    assert [one.seconds for one in found] == sorted(one.seconds for one in found)
    assert [one.usd for one in found] == sorted((one.usd for one in found), reverse=True)
    assert all(
        any(best.seconds <= one.seconds and best.usd <= one.usd for best in found) for one in forecasts((1, 4, 16, 64))
    )

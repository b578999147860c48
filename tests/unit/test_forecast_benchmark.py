"""The benchmark of forecasts: its dilated presets, its jobs, and its verdict."""

import pytest

from benchmarks.dilation import write_dilated
from benchmarks.forecast import JOBS, ForecastJob, Outcome, verdict
from harness.presets.distribution import ByCount
from harness.presets.preset import load_preset
from training.exchange.collectives.registry import REGISTRY


def test_a_dilated_preset_is_slower_in_everything(tmp_path):
    """Ten times the latency, a tenth of the bandwidth, the same sizes, starts and S3 by a factor of their own."""
    ours, slow = load_preset(), load_preset(str(write_dilated(tmp_path, "slow", 10, 4, function_burst=2.0)))

    assert 10 * ours.typical("store_latency") == pytest.approx(slow.typical("store_latency"))
    assert ours.typical("function_bandwidth") / 10 == pytest.approx(slow.typical("function_bandwidth"))
    assert 2.0 == slow.typical("function_burst")
    assert 4 * ours.value("s3_latency").quantile(0.99) == pytest.approx(slow.value("s3_latency").quantile(0.99))
    fan_out, slow_fan_out = ours.value("fan_out"), slow.value("fan_out")
    assert isinstance(fan_out, ByCount)
    assert [4 * seconds for seconds in fan_out.values] == pytest.approx(slow_fan_out.values)


def test_the_jobs_cover_what_they_claim():
    """12 jobs from 2 to 32 workers, from 29 floats to 4 MB, with all collectives, in one zone and in two."""
    assert 12 == len(JOBS)
    assert {2, 32} == {min(job.workers for job in JOBS), max(job.workers for job in JOBS)}
    assert {"29 floats", "4 MB"} <= {job.part for job in JOBS}
    assert set(REGISTRY) == {job.collective for job in JOBS}
    assert {1, 2} == {job.zones for job in JOBS}


@pytest.mark.parametrize("job", JOBS)
def test_a_run_with_few_workers_has_the_same_rounds_and_rows(job):
    """The global batch of the measured run is that of the forecast one."""
    few, many = (dict(zip(flags[::2], flags[1::2], strict=True)) for flags in map(job.flags, (2, job.workers)))

    assert few["--data"] == many["--data"]
    assert 2 * int(few["--batch-size"]) == job.workers * int(many["--batch-size"])


@pytest.mark.parametrize(("seconds", "reached"), [((10.0, 10.5, 10.9), True), ((10.0, 10.1, 12.6), False)])
def test_the_verdict_counts_the_median_and_the_worst_error(seconds, reached):
    """One forecast that is more than a fifth off misses the goal, however good the others are."""
    forecast = {"seconds": 10.0, "round_ms": 5.0}
    job = ForecastJob(2, "29 floats", "reduce", 1)
    outcomes = [Outcome(number, job, forecast, [5.0], [of]) for number, of in enumerate(seconds, 1)]

    assert reached == verdict(outcomes)[1]

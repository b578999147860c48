"""From samples to a preset's file: the figures, what was not seen, and which calibration is the newest."""

from datetime import UTC, datetime, timedelta

import msgspec
import numpy as np
import pytest

from harness.calibrate.figures import figures_of
from harness.calibrate.measuring import CalibrationSamples
from harness.calibrate.plan import CalibrationPlan, expected_usd
from harness.calibrate.preset_file import newest_calibration, preset_of, save_calibration
from harness.calibrate.probe_function import ProbeAnswer, Probed, probe_failed
from harness.presets.distribution import ByCount, distribution
from harness.presets.preset import load_preset
from harness.presets.prices import load_prices
from harness.settings import load_settings

BASE = load_preset()
PLAN = CalibrationPlan(n_starts=5, rounds=2, bursts=1)
NOON = datetime(2026, 12, 1, 12, 0, tzinfo=UTC)
RNG = np.random.default_rng(0)


def probed(took_s=1.0, *, cold=None, **fields):
    """An invocation whose handler took 0.5 s."""
    return Probed(ProbeAnswer(environment="e", memory_mb=1769, cold=cold, seconds=0.5, **fields), took_s)


def cold(start_s):
    """A cold start: 0.02 s of the call's way, then the start, then imports, then the handler."""
    return probed(0.02 + start_s + 0.4 + 0.1 + 0.5, cold={"interpreter": 0.03, "imports": 0.4, "s3_client": 0.1})


def samples():
    """Samples of a deployment in two zones."""
    near, far = distribution({"p50": 0.6, "p99": 0.9}), distribution({"p50": 1.7, "p99": 2.1})
    s3, starts = distribution({"p50": 30.0, "p99": 90.0}), distribution({"p50": 150.0, "p99": 180.0})
    return CalibrationSamples(
        single=[cold(each) for each in starts.sample(RNG, 10) / 1e3],
        bursts=[[cold(each + 0.2) for each in starts.sample(RNG, 5) / 1e3]],
        warm=[probed(0.52) for _ in range(5)],
        cache=[
            probed(round_trips_s=(value.sample(RNG, 500) / 1e3).tolist(), zone=zone)
            for value, zone in ((near, "use1-az1"), (far, "use1-az2"))
        ],
        s3=[probed(reads_s=(s3.sample(RNG, 200) / 1e3).tolist(), writes_s=[0.04] * 200)],
        from_cache=probed(bin_s=0.005, bytes=[1_000_000] * 60 + [100_000] * 1000),
        from_s3=probed(bin_s=0.005, bytes=[500_000] * 100 + [100_000] * 1000),
        to_s3=probed(writes_s=[0.14] * 4, object_bytes=8_000_000),
        processors=[
            Probed(msgspec.structs.replace(probed(gflops=rate, rounds_per_s=100 * rate).answer, memory_mb=memory), 1.0)
            for memory, rate in ((1024, 20.0), (1769, 35.0))
        ],
        local_rounds_per_s=7000.0,
    )


@pytest.fixture
def found():
    """What those samples show."""
    return figures_of(samples(), PLAN, BASE, is_image=True, cache_zone="use1-az1")


def test_each_figure_comes_from_its_samples(found):
    """Latencies by zone, starts without imports and ways, bandwidths, and the processor beside this machine's."""
    typical = {name: one.value.typical for name, one in found.figures.items() if not isinstance(one.value, ByCount)}

    expected = {
        "cold_start_image": 150.0,
        "store_latency": 0.6,
        "store_latency_other_zone": 1.7,
        "s3_latency": 30.0,
        "s3_write_latency": 40.0,
        "s3_bandwidth": 100.0,
        "s3_write_bandwidth": 80.0,
        "function_burst": 60.0,
        "function_burst_bandwidth": 200.0,
        "function_bandwidth": 20.0,
        "function_gflops": 20.0,
        "cpu_factor": 2.0,
    }
    assert expected == pytest.approx({name: typical[name] for name in expected}, rel=0.1)
    assert 0.0 == typical["cold_start_image_mb"]
    assert {1024: 20.0, 1769: 35.0} == found.gflops
    assert ("use1-az1", "use1-az2") == found.zones


def test_a_fan_out_goes_on_as_in_the_base(found):
    """Only up to the number that started is it measured; beyond, the base's points follow where they ascend."""
    table = found.figures["fan_out"].value

    assert 5 == table.counts[1]
    assert sorted(table.values) == list(table.values)
    assert 1000 == table.counts[-1]
    assert BASE.value("fan_out").at(1000) == table.at(1000)
    assert BASE.name in found.figures["fan_out"].doubt


def test_what_was_not_seen_is_named_and_not_written():
    """No other zone, no end of a burst, no limit: each with the reason."""
    one_zone = samples()
    one_zone.cache = one_zone.cache[:1]
    one_zone.from_cache = one_zone.from_s3 = probed(bin_s=0.005, bytes=[500_000] * 1000)

    found = figures_of(one_zone, PLAN, BASE, is_image=False, cache_zone="use1-az1")

    unseen = {"store_latency_other_zone", "function_burst", "function_bandwidth", "s3_reads", "s3_writes"}
    assert unseen <= found.unseen.keys()
    assert not found.unseen.keys() & found.figures.keys()
    assert "cold_start_zip" in found.figures
    assert "cold_start_image" not in found.figures


def test_functions_that_do_not_know_their_zone_are_in_the_caches():
    """On a deployment whose runtime has no metadata endpoint, all trips are of the one zone."""
    blind = samples()
    blind.cache = [probed(round_trips_s=[0.001] * 50)]

    found = figures_of(blind, PLAN, BASE, is_image=True, cache_zone="use1-az1")

    assert 1.0 == pytest.approx(found.figures["store_latency"].value.typical)


def test_the_preset_is_read_back_with_source_place_and_doubt(found, tmp_path):
    """`load_preset` takes it, with all figures that were not measured from the base."""
    path = tmp_path / "mine.toml"
    path.write_text(preset_of(found.figures, kind="aws", stack="mine", region="eu-central-1", at=NOON))

    preset = load_preset(str(path))

    figure = preset.figures["store_latency"]
    assert "harness calibrate, 500 samples" == figure.source
    assert "2026-12-01 12:00 UTC, eu-central-1, stack mine" == figure.measured
    assert "by chance" in figure.doubt
    assert found.figures["store_latency"].value == figure.value
    assert BASE.figures["vpc_bandwidth"] == preset.figures["vpc_bandwidth"]


def test_the_newest_calibration_of_a_deployment_is_remembered(found, tmp_path):
    """Not that of another deployment or target; and for a run, the newest before it."""
    settings = load_settings(tmp_path)

    def save(kind, stack, at):
        text = preset_of(found.figures, kind=kind, stack=stack, region="us-east-1", at=at)
        return save_calibration(settings, text, kind=kind, stack=stack, at=at)

    assert newest_calibration(settings, "aws", "mine") is None
    first, second = (save("aws", "mine", NOON + timedelta(hours=hours)) for hours in (0, 3))
    save("rehearsal", "mine", NOON + timedelta(days=1))
    save("aws", "mine-too", NOON + timedelta(days=1))

    assert second == newest_calibration(settings, "aws", "mine")
    assert first == newest_calibration(settings, "aws", "mine", before=NOON + timedelta(hours=1))
    assert newest_calibration(settings, "aws", "mine", before=NOON) is None


def test_a_worker_that_is_older_than_the_probe_is_named():
    """It takes the event for a job; any other failure is told with its own words."""
    old = probe_failed("cache", b'{"errorType": "InputError", "errorMessage": "unknown job field `probe`; known: x"}')
    away = probe_failed("cache", b'{"errorType": "ChannelError", "errorMessage": "Memcached is not reachable\\nx"}')
    killed = probe_failed("cache", b"no JSON")

    assert "older than this command" in str(old)
    assert "harness images build" in str(old)
    assert "ChannelError" in str(away)
    assert "Memcached is not reachable" in str(away)
    assert "no JSON" in str(killed)


def test_a_calibration_is_expected_to_cost_about_a_cent():
    """At the default sizes; looking for S3's limits costs about ten times that, and the numbers grow with the plan."""
    prices, limits = load_prices(), (8300.0, 4100.0)
    usual = expected_usd(CalibrationPlan(), 1769, prices, limits)

    assert 0.005 < usual < 0.02
    assert 5 * usual < expected_usd(CalibrationPlan(limits=True), 1769, prices, limits) < 20 * usual
    assert usual < expected_usd(CalibrationPlan(n_starts=20), 1769, prices, limits)

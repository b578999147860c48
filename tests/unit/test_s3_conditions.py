"""The time of requests to an emulated S3, by a virtual clock."""

import pytest

from harness.network.conditions import NetworkOfFunctions
from harness.network.request_limit import S3Request
from harness.network.s3_conditions import S3Conditions
from harness.presets.distribution import Constant
from harness.presets.emulated_network import EmulatedNetwork
from harness.presets.preset import load_preset
from harness.presets.zones import CACHE_ZONE

MB = 1_000_000
CHUNK = 65_536
READ, WRITE = S3Request("read", "data"), S3Request("write", "data")


def s3(**figures):
    """Return the networks of functions with these figures in place of the default preset's, and their S3."""
    preset = load_preset()
    changed = {name: Constant(value) for name, value in figures.items()}
    values = {name: figure.value for name, figure in preset.figures.items()} | changed
    functions = NetworkOfFunctions(EmulatedNetwork(preset=preset.name, figures=values))
    return functions, S3Conditions(functions)


def function(functions, name="f", now=0.0):
    """Return the network of a function in the cache's zone."""
    return functions.of_environment(name, CACHE_ZONE, now)


def download(trip, size):
    """Return when each chunk of an answer's body has passed."""
    chunks = [CHUNK] * (size // CHUNK) + ([size % CHUNK] if size % CHUNK else [])
    return [trip.download(chunk) for chunk in chunks]


def test_a_read_takes_its_draw_and_its_bytes_time():
    """20 MB at 100 MB/s come 0.2 s after the first byte, whose time is the draw."""
    functions, conditions = s3(s3_latency=27.0, s3_bandwidth=100.0)

    trip = conditions.begin(function(functions), READ, 5.0)

    assert trip.answer_at == pytest.approx(5.027)
    assert download(trip, 20 * MB)[-1] == pytest.approx(5.227, abs=1e-3)


def test_reads_of_one_function_share_its_bandwidth_and_those_of_two_do_not():
    """Two reads at once take twice as long from one function, and as long as one from two functions."""
    functions, conditions = s3(s3_latency=10.0, s3_bandwidth=100.0)
    trips = [conditions.begin(function(functions, name), READ, 0.0) for name in ("f", "f", "g")]

    ends = [0.0] * 3
    for _ in range(153):
        ends = [trip.download(CHUNK) for trip in trips]

    size_s = 153 * CHUNK / (100 * MB)
    assert ends == pytest.approx([0.01 + 2 * size_s, 0.01 + 2 * size_s, 0.01 + size_s], abs=2e-3)


def test_after_its_burst_a_functions_own_network_is_the_limit():
    """With a bucket of 10 MB, the rest of a read comes at the base bandwidth, not at S3's."""
    functions, conditions = s3(
        s3_latency=10.0, s3_bandwidth=100.0, function_burst=10.0, function_bandwidth=20.0, function_pulse=0.0
    )

    trip = conditions.begin(function(functions), READ, 0.0)

    # The bucket is full until the read fills it less than it drains it: 10 MB + 20 MB/s x t = 100 MB/s x t.
    burst_s = 10 / (100 - 20)
    assert download(trip, 100 * MB)[-1] == pytest.approx(0.01 + burst_s + (100 - 100 * burst_s) / 20, rel=0.05)


def test_what_a_function_reads_from_s3_delays_what_it_reads_from_its_cache():
    """Both take from one bucket: the cache's bytes find it empty."""
    functions, conditions = s3(s3_bandwidth=100.0, function_burst=5.0, function_bandwidth=10.0, function_pulse=0.0)
    network = function(functions)

    end = download(conditions.begin(network, READ, 0.0), 20 * MB)[-1]

    assert network.received.pass_bytes(1 * MB, end) - end == pytest.approx(0.1, rel=0.05)


def test_a_write_takes_its_bytes_time_and_then_its_draw():
    """9 MB at 90 MB/s are there after 0.1 s, and are answered after the draw, however soon the machine had them."""
    functions, conditions = s3(s3_write_latency=40.0, s3_write_bandwidth=90.0)

    trip = conditions.begin(function(functions), WRITE, 1.0)
    for number in range(9):
        trip.upload(1 * MB, 1.0 + number / 1000)

    assert trip.answer_at == pytest.approx(1.14, abs=2e-3)


def test_a_function_that_sends_slowly_is_not_slowed_again():
    """S3 has a body when its last byte comes; only the draw follows."""
    functions, conditions = s3(s3_write_latency=40.0, s3_write_bandwidth=90.0)

    trip = conditions.begin(function(functions), WRITE, 0.0)
    for number in range(9):
        passed = trip.upload(1 * MB, 1.0 * number)
        assert passed <= max(0.2, 1.0 * number)

    assert trip.answer_at == pytest.approx(8.04)


def test_a_slow_machine_catches_up():
    """Bytes that S3 had late here pass at once until they are where they would be on AWS."""
    functions, conditions = s3(s3_latency=20.0, s3_bandwidth=100.0)

    trip = conditions.begin(function(functions), READ, 0.0)

    # The time of a chunk does not depend on when the proxy has it.
    assert trip.download(10 * MB) == pytest.approx(0.12, abs=0.01)
    assert trip.download(10 * MB) == pytest.approx(0.22, abs=0.01)


def test_draws_of_reads_and_writes_are_counted_with_what_was_delivered():
    """The record has both, by kind and zone, without the time of a body."""
    functions, conditions = s3(s3_latency=27.0, s3_write_latency=40.0, s3_write_bandwidth=10.0)
    network = function(functions)

    read = conditions.begin(network, READ, 0.0)
    conditions.count(read, 0.028)
    write = conditions.begin(network, WRITE, 0.0)
    write.upload(10 * MB, 0.001)
    conditions.count(write, write.answer_at + 0.002)

    assert [
        ("s3_latency", CACHE_ZONE, 27.0, 28.0),
        ("s3_write_latency", CACHE_ZONE, 40.0, 42.0),
    ] == [(one.kind, one.zone, one.drawn_ms["p50"], one.delivered_ms["p50"]) for one in functions.tally.figures()]


def test_the_presets_rates_are_the_limits_of_a_prefix():
    """Reads beyond `s3_reads` are refused while writes pass up to `s3_writes`."""
    _, conditions = s3(s3_reads=2, s3_writes=3)

    assert [True, True, False] == [conditions.admits(READ, 0.0) for _ in range(3)]
    assert [True, True, True, False] == [conditions.admits(WRITE, 0.0) for _ in range(4)]
    # A list of buckets is of no prefix.
    assert all(conditions.admits(S3Request("read", ""), 0.0) for _ in range(10))

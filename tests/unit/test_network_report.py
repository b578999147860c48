"""What a run says of its emulated network: in what this machine is slower than what it emulates."""

from harness.network.conditions.tally import TripFigures
from harness.network.hop import OwnHop
from harness.network.report import NetworkReport, Wanted
from harness.runs.emulated_network import afterwards, beforehand


def report(trip_ms=0.05, bandwidth=2000.0):
    """A network's report from a machine with these figures."""
    return NetworkReport(
        preset="aws-2026",
        seed=0,
        zones=1,
        cache_zone="use1-az1",
        wanted=Wanted(trip_ms=0.66, function_bandwidth=1200.0, node_bandwidth=630.0),
        own=OwnHop(trip_ms, 0.03, bandwidth),
        trips=[],
    )


def trip(delivered, kind="store_latency"):
    """Trips of 0.66 ms that took so long."""
    return TripFigures(kind, "use1-az1", 100, {"p50": 0.66, "p99": 0.8}, {"p50": delivered, "p99": 2.0})


def test_a_quick_machine_is_told_nothing():
    """Where trips, bandwidth and cores are enough, there is no warning."""
    assert [] == beforehand(report(), n_workers=2, cores=2)
    assert [] == afterwards([trip(0.7)], faults=False)


def test_a_slow_hop_is_told_with_both_figures():
    """A machine whose own trip is longer than the median cannot emulate it."""
    (line,) = beforehand(report(trip_ms=0.9), n_workers=2, cores=2)

    assert "takes 0.90 ms on this machine by itself, more than the 0.66 ms" in line


def test_the_bandwidth_that_counts_is_what_the_workers_may_use_at_once():
    """One function's burst or the node's bandwidth, whichever is less."""
    (line,) = beforehand(report(bandwidth=400), n_workers=2, cores=2)

    assert "carries about 400 MB/s to the cache, less than the 630 MB/s" in line


def test_workers_that_share_cores_are_told():
    """More workers than cores compute slower than functions would."""
    (line,) = beforehand(report(), n_workers=32, cores=2)

    assert "32 workers share 2 cores" in line


def test_trips_that_took_longer_than_drawn_are_told():
    """Only those to the cache, by more than a tenth."""
    (line,) = afterwards([trip(0.8), trip(0.9, "s3_latency")], faults=False)

    assert "took 0.80 ms where 0.66 ms were drawn (use1-az1, p50)" in line


def test_delays_of_faults_are_not_put_down_to_the_machine_alone():
    """A run that delays the cache by itself is not told that its machine is slow."""
    (alone,), (with_faults,) = (afterwards([trip(5.7)], faults=faults) for faults in (False, True))

    assert "faults" not in alone
    assert "or the run's faults delayed them" in with_faults

"""The probe's event: what the worker's handler takes for one, and what it refuses."""

import itertools

import pytest

from training.errors import InputError
from training.probe.event import decode_probe, is_probe
from training.probe.processor import matrix_gflops, training_rounds
from training.probe.progress import BIN_S, TransferProgress

PROBE = {"probe": "cache", "run_id": "calibrate-1", "bucket": "my-bucket", "host": "cache", "port": 11211}


def test_an_event_with_the_key_probe_is_one():
    """A job has no such key."""
    assert is_probe(PROBE)
    assert not is_probe({"data_bucket": "my-bucket", "rank": 0})
    assert not is_probe(["probe"])


@pytest.mark.parametrize(
    ("change", "word"),
    [
        ({"probe": "shell"}, "probe"),
        ({"sampels": 5}, "sampels"),
        ({"samples": 0}, "samples"),
        ({"samples": 10**6}, "samples"),
        ({"seconds": 900.0}, "seconds"),
        ({"seconds": "long"}, "seconds"),
        ({"object_bytes": 1 << 40}, "object_bytes"),
        ({"connections": 1000}, "connections"),
        ({"run_id": "../../data"}, "run_id"),
        ({"bucket": "Not a bucket"}, "bucket"),
        ({"host": "a b"}, "host"),
        ({"port": 0}, "port"),
        ({"probe": "receive_cache", "object_bytes": 1 << 20}, "object_bytes"),
    ],
)
def test_a_wrong_event_is_refused_by_the_name_of_its_key(change, word):
    """Also one that would take long, or be expensive."""
    with pytest.raises(InputError, match=word):
        decode_probe({**PROBE, **change})


def test_a_key_that_is_missing_is_named():
    """Without a bucket there is nothing to measure."""
    with pytest.raises(InputError, match="bucket"):
        decode_probe({"probe": "s3", "run_id": "calibrate-1"})


def test_progress_counts_bytes_in_the_bin_of_their_time():
    """What arrives after the end is left out."""
    clock = iter([0.0, 0.1 * BIN_S, 1.5 * BIN_S, 1.6 * BIN_S, 100.0])
    progress = TransferProgress(4 * BIN_S, now=lambda: next(clock))
    for size in (1, 20, 300, 4000):
        progress.add(size)

    assert [1, 320, 0, 0] == progress.bins()


@pytest.mark.parametrize("rate", [matrix_gflops, training_rounds])
def test_a_processor_of_half_the_speed_has_half_the_figure(rate):
    """The rate is that of the clock, over the whole time: a function's share of a processor comes in slices."""

    def measured(slice_s):
        times = itertools.count()
        return rate(8 * slice_s, now=lambda: slice_s * next(times))

    assert 2.0 == pytest.approx(measured(0.01) / measured(0.02))

"""A worker's timings: rounds in arrays of limited size, waits, bytes and memory."""

import json
import time

import msgspec
import numpy as np
import pytest

from tests.support.ranks import exchange_of, in_virtual_time
from training.exchange.channel.memory import MemoryChannel
from training.exchange.counting import BytesMoved, CountingChannel
from training.exchange.waits import NOBODY, RoundWait, Waits
from training.run import telemetry as module
from training.run.telemetry import Telemetry
from training.run.timings import MOST_ENTRIES, Intervals, RoundTimings


def columns(timings):
    """The record as a reader sees it."""
    return json.loads(msgspec.json.encode(timings.record()))


def test_a_wait_counts_for_the_rank_that_ended_the_longest_one():
    """Waits of a round add up; the next round begins with none."""
    waits = Waits()
    for seconds, rank in ((0.1, 2), (0.3, 1), (0.2, 0)):
        waits.add(seconds, rank)

    assert waits.waited == (pytest.approx(0.6), 1)
    waits.begin_round()
    assert waits.waited == (0.0, NOBODY)


def test_rounds_are_recorded_with_start_wait_and_whom_they_waited_for():
    """One entry per round, in ms."""
    timings = RoundTimings()
    timings.add(7, 100.0, 0.010, RoundWait(0.004, 2))
    timings.add(8, 110.5, 0.012, RoundWait())

    assert columns(timings) == {
        "first_round": 7,
        "rounds_per_entry": 1,
        "rounds": 2,
        "round_at_ms": [100.0, 110.5],
        "round_ms": [10.0, 12.0],
        "wait_ms": [4.0, 0.0],
        "waited_for": [2, NOBODY],
    }
    assert (timings.compute_s, timings.wait_s) == (pytest.approx(0.018), pytest.approx(0.004))


def test_a_long_run_keeps_its_sums_in_few_entries():
    """Neighbours are merged: means stay true, and the longer wait of a pair says for whom."""
    timings = RoundTimings(most_entries=4)
    for number in range(1, 12):
        timings.add(number, 10.0 * number, number / 1e3, RoundWait(number / 1e4, number))

    record = columns(timings)

    assert record["rounds_per_entry"] == 4
    assert record["round_at_ms"] == [10.0, 50.0, 90.0]
    assert record["round_ms"] == [2.5, 6.5, 10.0]
    assert record["waited_for"] == [4, 8, 11]
    assert timings.compute_s + timings.wait_s == pytest.approx(sum(range(1, 12)) / 1e3)


def test_a_round_done_again_counts_from_its_first_start():
    """A rank that falls back keeps one entry per round, and the lost time is in the first of them."""
    timings = RoundTimings()
    for number, at_ms in ((5, 0.0), (6, 10.0), (7, 20.0), (6, 100.0), (7, 110.0)):
        timings.add(number, at_ms, 0.010, RoundWait())

    assert columns(timings)["first_round"] == 5
    assert columns(timings)["round_at_ms"] == [0.0, 10.0, 110.0]
    assert columns(timings)["round_ms"] == [10.0, 100.0, 10.0]


def test_a_round_that_was_skipped_took_no_time():
    """A rank that rejoins further on keeps the numbers of its rounds."""
    timings = RoundTimings()
    timings.add(1, 0.0, 0.010, RoundWait())
    timings.add(4, 50.0, 0.010, RoundWait(0.001, 1))

    assert columns(timings)["round_ms"] == [10.0, 0.0, 0.0, 10.0]
    assert columns(timings)["waited_for"] == [NOBODY, NOBODY, NOBODY, 1]
    assert timings.round_ms() == [10.0, 10.0]


def test_a_million_rounds_fit_a_record():
    """Below the limit of a record, whatever the number of rounds."""
    timings = RoundTimings(most_entries=1 << 10)
    for number in range(1, 5_000):
        timings.add(number, 1.234567 * number, 0.001234567, RoundWait(0.0001234567, 3))
    record = timings.record()

    per_entry = len(msgspec.json.encode(record)) / len(json.loads(msgspec.json.encode(record))["round_ms"])

    # Starts have up to three digits more in a long run.
    assert (per_entry + 4) * MOST_ENTRIES < 16 << 20


def test_the_longest_intervals_are_kept():
    """A run of many evaluations leaves out the short ones, and counts them."""
    intervals = Intervals(most=4)
    for number in range(6):
        intervals.add("evaluate", 10.0 * number, 10.0 * number + number)

    assert [start for _, start, _ in intervals.record()] == [20.0, 30.0, 40.0, 50.0]
    assert intervals.left_out == 2


def test_bytes_of_values_are_counted():
    """Whatever is stored and read, without keys."""
    traffic = BytesMoved()
    channel = CountingChannel(MemoryChannel(), traffic)
    channel.put_many({"a": b"123", "b": (b"12", b"34")})
    channel.round_trip({"c": b"1"}, ["a", "b", "absent"])
    channel.get_many(["c"])

    assert traffic == BytesMoved(sent=8, received=8)


@pytest.mark.parametrize(
    ("mode", "size", "waited_for"),
    [
        ("all_gather", 2, [2, 2, NOBODY]),
        ("all_gather", 20_000, [2, 2, NOBODY]),  # received in place
        ("reduce", 2, [2, 0, 0]),  # those behind rank 0 wait for its sum
        ("async", 2, [2, 2, NOBODY]),
    ],
)
def test_a_rank_waits_for_the_one_that_comes_last(mode, size, waited_for):
    """The waits of a round's all-reduces are counted, and name the rank; those of an evaluation are in no round."""
    computes_s, channel = (0.0, 0.1, 0.5), MemoryChannel()

    def train(rank, clock):
        exchange = exchange_of(channel, rank, 3, mode, clock=clock, max_staleness=0)
        exchange.start()
        exchange.begin_round(1)
        clock.sleep(computes_s[rank])
        exchange.all_reduce_update(np.ones(size, np.float32), 1)
        waited = exchange.waits.waited
        clock.sleep(1.0 * (rank == 0))
        exchange.all_reduce(np.ones(1), 1)
        exchange.begin_round(2)
        return waited, exchange.waits.waited

    found = in_virtual_time(3, train)

    assert [waited.rank for waited, _ in found] == waited_for
    for rank in (0, 1):
        assert found[rank][0].seconds == pytest.approx(computes_s[2] - computes_s[rank], abs=0.02)
    assert found[2][0].seconds < 0.02
    assert [later for _, later in found] == [RoundWait()] * 3


def test_a_progress_line_has_the_figures_since_the_last_one(capsys, monkeypatch):
    """Compute and wait, the rank that was waited for longest, memory, and bytes."""
    monkeypatch.setattr(module, "PROGRESS_INTERVAL_S", 0.0)
    telemetry = Telemetry("run", 0, 1, "request")
    telemetry.moved.sent, telemetry.moved.received = 100, 300
    started = time.perf_counter()
    telemetry.round_done(5, 10, 0.5, 8, started - 0.1, RoundWait(0.04, 2))
    telemetry.moved.sent += 7
    telemetry.round_done(6, 10, 0.4, 8, started - 0.1, RoundWait())

    first, second = map(json.loads, capsys.readouterr().out.splitlines())

    assert (first["first_round"], first["waited_for"], first["wait_s"]) == (5, 2, 0.04)
    assert first["compute_s"] == pytest.approx(first["round_p50_ms"] / 1e3 - 0.04, abs=1e-5)
    assert (first["sent_bytes"], first["received_bytes"]) == (100, 300)
    assert first["rss_mb"] > 1
    assert (second["first_round"], second["waited_for"], second["sent_bytes"]) == (6, NOBODY, 7)


def test_the_stored_record_has_every_list_of_the_contract():
    """Arrays of the same length; phases with start and end; memory; bytes."""
    stored = {}

    class Folder:
        def write_json(self, name, record):
            stored[name] = json.loads(msgspec.json.encode(record))

    telemetry = Telemetry("run", 3, 2, "request", {"imports": 0.1})
    with telemetry.interval("load"):
        pass
    telemetry.round_done(1, 1, 0.5, 8, time.perf_counter(), RoundWait())
    telemetry.all_reduce_s = [0.001, 0.002]
    telemetry.store(Folder())

    record = stored["telemetry/3.2.json"]
    lists = [record[name] for name in ("round_at_ms", "round_ms", "wait_ms", "waited_for")]
    assert record["version"] == 2
    assert [len(one) for one in lists] == [1, 1, 1, 1]
    assert record["all_reduce_ms"] == [1.0, 2.0]
    assert [phase for phase, start, end in record["intervals"] if start <= end] == ["load", "store"]
    assert record["memory"][-1][1] > 1
    assert record["cold_start"] == {"imports": 0.1}
    assert (record["sent_bytes"], record["received_bytes"]) == (0, 0)

"""When faults are due, and how a put is recognised on the wire."""

import random

import numpy as np
import pytest

from harness.faults import Chaos, Plan, parse_fault
from harness.faults.injections import Injections, ObservedPut
from harness.network.wire import ReplyCounter, read_put, read_store, run_of, wants_reply
from training.exchange.frame import Frame, pack


def injections(*faults, n_workers=3, chaos=None):
    """Return the injections of a run with these faults."""
    return Injections(Plan(tuple(map(parse_fault, faults)), chaos), n_workers)


def put(rank, round_number, step=0, attempt=1, chunk=""):
    """Return a put of a rank."""
    return ObservedPut(rank, round_number, step, f"run/{round_number}/{step}/{rank}{chunk}", attempt)


def actions(due):
    """Return the faults that are due, as text."""
    return [fault.action for fault in due]


def test_a_fault_is_injected_at_its_address_and_once():
    """Another rank, round, step or attempt passes, and so does a repetition of the same put."""
    run = injections("kill rank=1 round=5 step=1 attempt=2")

    for other in (put(0, 5, 1, 2), put(1, 4, 1, 2), put(1, 5, 0, 2), put(1, 5, 1, 1)):
        assert [] == run.at_put(other)
    assert ["kill"] == actions(run.at_put(put(1, 5, 1, 2)))
    assert [] == run.at_put(put(1, 5, 1, 2))
    event = run.events[0]
    assert (1, 1, 5, 1, 2) == (event.times, event.rank, event.round, event.step, event.attempt)


def test_a_piece_without_header_is_of_the_attempt_that_was_seen_last():
    """Only a frame's first piece contains its attempt."""
    run = injections("corrupt rank=1 attempt=2")
    run.at_put(put(1, 5, attempt=1))

    assert [] == run.at_put(ObservedPut(1, 5, 0, "run/5/0/1/1"))
    run.at_put(put(0, 5, attempt=2))
    assert [] == run.at_put(ObservedPut(1, 5, 0, "run/5/0/1/1"))


def test_all_frames_of_a_round_are_evicted_each_once():
    """Republished frames stay."""
    run = injections("evict round=2")

    assert [["evict"]] * 3 == [actions(run.at_put(put(rank, 2))) for rank in range(3)]
    assert [[]] * 3 == [actions(run.at_put(put(rank, 2))) for rank in range(3)]
    assert 3 == run.events[0].times


def test_between_chunks_waits_for_the_second():
    """A rank is killed after it has put the first part of a frame."""
    run = injections("kill rank=0 round=2 when=between-chunks")

    assert [] == run.at_put(put(0, 2, chunk="/1"))
    assert [] == run.at_put(put(0, 2, chunk="/1"))
    assert ["kill"] == actions(run.at_put(put(0, 2, chunk="/2")))


def test_one_put_brings_about_the_death_of_all():
    """`rank=all` applies to every rank of the run."""
    run = injections("kill rank=all round=1")
    seen = put(2, 1)

    (fault,) = run.at_put(seen)

    assert [0, 1, 2] == run.target_ranks(fault, seen)


def test_n_limits_and_delays_go_on():
    """`n` limits how often a fault is injected; a delay without `n` has no limit."""
    run = injections("refuse rank=0 n=2", "delay ms=1", "delay rank=1 ms=1")

    assert [["refuse"], ["refuse"], []] == [actions(run.at_put(put(0, r))) for r in (1, 2, 3)]
    assert [["delay"]] * 5 == [actions(run.at_put(put(1, r))) for r in range(5)]
    assert [["delay"]] * 5 == [actions(run.at_command()) for _ in range(5)]


def test_delays_vary_by_their_jitter_and_no_more():
    """The same dice draw the same delays; without jitter all are alike."""
    fault = parse_fault("delay ms=20 jitter_ms=15")

    drawn = [[fault.draw_delay_s(dice) for _ in range(100)] for dice in (random.Random(1), random.Random(1))]

    assert drawn[0] == drawn[1]
    assert 0.005 <= min(drawn[0]) < 0.01
    assert 0.03 < max(drawn[0]) <= 0.035
    assert 0.02 == parse_fault("delay ms=20").draw_delay_s(random.Random(1))


def test_s3_faults_of_a_rank_are_of_its_requests_alone():
    """A request of nobody, or of another rank, meets none of them."""
    run = injections("cut s3 rank=1 s=5", "delay s3 ms=5 rank=2")

    assert run.ranks_at_s3
    assert [[], []] == [actions(run.at_request("GET", "/a", rank=rank)) for rank in (None, 0)]
    assert [["cut"], []] == [actions(run.at_request("GET", "/a", rank=1)) for _ in range(2)]
    assert [["delay"]] * 2 == [actions(run.at_request("GET", "/a", rank=2)) for _ in range(2)]
    assert (1, 1) == (run.events[0].times, run.events[0].rank)
    assert not injections("cut s3 s=5", "kill rank=1").ranks_at_s3


def test_s3_faults_go_by_key_method_and_round():
    """A store is refused and a read is not; a round starts a fault, a pattern limits it."""
    run = injections("refuse s3", "503 s3 n=2 key=data/*", "delay s3 ms=5 round=3")

    assert ["refuse"] == actions(run.at_request("PUT", "/runs/x"))
    assert [["503"], ["503"], []] == [actions(run.at_request("GET", "/data/0_2")) for _ in range(3)]
    run.at_put(put(0, 3))
    assert ["delay"] == actions(run.at_request("GET", "/other"))


def test_chaos_depends_on_seed_and_place_alone():
    """Two runs whose puts arrive in different orders meet the same faults; another seed draws others."""
    places = [put(rank, number) for rank in range(3) for number in range(1, 60)]

    def drawn(order, seed):
        run = injections(chaos=Chaos(seed, 0.2))
        for seen in order:
            run.at_put(seen)
            run.at_put(seen)
        return sorted(event.fault for event in run.events)

    assert drawn(places, 7) == drawn(sorted(places, key=lambda seen: seen.round), 7)
    assert drawn(places, 7) != drawn(places, 8)
    assert 10 < len(drawn(places, 7)) < 60


def test_chaos_leaves_lambda_a_retry():
    """No rank is killed more often than Lambda retries."""
    run = injections(n_workers=1, chaos=Chaos(1, 1.0))

    for number in range(200):
        run.at_put(put(0, number))

    assert 2 == [event.action for event in run.events].count("kill")


@pytest.mark.parametrize(
    ("key", "place"),
    [
        ("r-1/17/0/2", (2, 17, 0)),
        ("tmp/r-1/17/1/2", (2, 17, 1)),
        ("r-1/17/0/2/5", (2, 17, 0)),
        ("r-1/17/0/2/5/1", (2, 17, 0)),
        ("r-1/back.1/17/0/2", (2, 17, 0)),
        ("tmp/r-1/back.10/17/1/2/5/1", (2, 17, 1)),
        ("r-1/back", None),
        ("r-1/abort", None),
        ("r-1/lease/2", None),
        ("r-1/17/0", None),
    ],
)
def test_a_key_tells_the_place(key, place):
    """With and without a prefix, slices and pieces, after all ranks went back; other keys have no place."""
    run_id = run_of(key, {"r-1", "17"})
    seen = read_put(key, "r-1", b"")

    assert "r-1" == run_id
    assert place == (seen and (seen.rank, seen.round, seen.step))


def test_a_frame_tells_its_attempt():
    """The attempt is read from the position at which the training library writes it."""
    frame = b"".join(pack(Frame("r-1", 2, 3, 17, 0, 10, np.zeros(4, np.float32))))

    assert 3 == read_put("r-1/17/0/2", "r-1", frame[:24]).attempt


def test_stores_are_told_from_other_commands():
    """A head contains the key, the length and whether a reply is expected."""
    assert ("k", 12, False) == read_store(b"set k 0 60 12\r\n")
    assert ("k", 3, True) == read_store(b"cas k 0 60 3 77 noreply\r\n")
    assert read_store(b"get set\r\n") is None
    assert read_store(b"set k 0 60 x\r\n") is None
    assert wants_reply(b"get noreply\r\n")
    assert not wants_reply(b"delete k noreply\r\n")
    assert not wants_reply(b"quit\r\n")


def test_replies_are_counted_however_they_are_cut():
    """Data that looks like a reply is not counted, and the count does not depend on the chunks."""
    stream = b"STORED\r\nVALUE k 0 5\r\nEND\r\n\r\nVALUE l 0 0 7\r\n\r\nEND\r\n"
    stream += b"STAT a 1\r\nSTAT b 2\r\nEND\r\n12\r\nERROR\r\n"

    for size in range(1, len(stream) + 1):
        counter = ReplyCounter()
        assert 5 == sum(counter.feed(stream[at : at + size]) for at in range(0, len(stream), size))

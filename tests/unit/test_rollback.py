"""How all ranks go back: the marker, who follows it, and what is kept apart; over one in-memory channel."""

import pytest

from training.errors import ChannelError, ImpossibleValue, StateLost
from training.exchange.channel.memory import MemoryChannel
from training.exchange.keys import Place, RunKeys
from training.exchange.mailbox import Mailbox
from training.exchange.packing import pack_state
from training.exchange.recovery.rejoin import Rejoin
from training.exchange.recovery.rollback import MOST_GENERATIONS, STORE_AGAIN_S, Generation, Rollback


class Said(list[tuple[str, dict[str, object]]]):
    """What watchers are told."""

    def __call__(self, event, **values):
        """Note it."""
        self.append((event, values))


def rank_of(channel, rank=0, attempt=1):
    """One rank of three: its mailbox, its rollback, and what that said."""
    mailbox = Mailbox(channel, run_id="run", rank=rank, world_size=3, attempt=attempt)
    said = Said()
    return mailbox, Rollback(mailbox, said), said


def test_who_has_lost_its_state_goes_first_and_the_others_follow():
    """Both use the second generation's keys, and say who it was."""
    channel = MemoryChannel()
    first, rollback, _ = rank_of(channel, rank=2)
    second, following, said = rank_of(channel)

    with pytest.raises(Rejoin) as caught:
        rollback.begin(7)
    assert caught.value.snapshot is None
    with pytest.raises(Rejoin):
        following.follow(channel.get_many(["run/back"]), 7, 0.0)

    assert ["run/back.1/0/0/2", "run/back.1/0/0/2"] == [box.keys.frame(Place(0, 0), 2) for box in (first, second)]
    why = "rank 2 has lost its private state"
    assert [("rolled_back", {"round": 7, "generation": 1, "lost_by": 2, "note": why})] == said
    following.follow(channel.get_many(["run/back"]), 7, 0.0)


def test_what_belongs_to_the_whole_run_keeps_its_place():
    """A rank of any generation sees the abort marker, the end, the newest generation and leases; the rest is apart."""
    keys = RunKeys("run", "parts", "merged", 3)

    shared = (keys.abort, keys.done, keys.back, keys.lease(1))
    assert ("parts/run/abort", "parts/run/over", "parts/run/back", "parts/run/lease/1") == shared
    apart = [
        keys.frame(Place(0, 1), 2, joins_at=40),
        keys.frame(Place(7, 1, merged=True), 2),
        keys.clock(1),
        keys.position(1),
        keys.snapshot(1, "t", 2),
        keys.private(1, 7),
    ]
    assert [
        "parts/run/back.3/0@40/1/2",
        "merged/run/back.3/7/1/2",
        "parts/run/back.3/clock/1",
        "parts/run/back.3/position/1",
        "parts/run/back.3/snapshot/1/t.2",
        "parts/run/back.3/private/1/7",
    ] == apart


def test_a_rank_that_goes_back_leaves_nothing_behind():
    """Its frames would fill the cache, and its position would show a rank that is no longer there."""
    channel = MemoryChannel()
    mailbox, rollback, _ = rank_of(channel)
    frames = {"run/6/0/0": b"x", "run/7/0/0": b"y"}
    mailbox.held.add(7, frames)
    channel.put_many({**frames, "run/position/0": b"here", "run/7/0/1": b"another rank's"})

    with pytest.raises(Rejoin):
        rollback.begin(7)

    assert {"run/7/0/1", "run/back"} == set(channel.all_keys())


@pytest.mark.parametrize("lost", [None, pack_state(Generation(1, 2)), pack_state(Generation(1, 2))[:-1] + b"?"])
def test_a_marker_that_is_lost_old_or_damaged_is_stored_again(lost):
    """By who waits in a later generation, now and then rather than with every poll."""
    channel = MemoryChannel()
    _, rollback, _ = rank_of(channel, attempt=2)
    channel.put_many({"run/back": pack_state(Generation(2, 1))})
    rollback.find()
    found = {} if lost is None else {"run/back": lost}

    for now, stored in ((5.0, True), (5.0 + STORE_AGAIN_S / 2, False), (5.0 + STORE_AGAIN_S, True)):
        channel.delete_many(["run/back"])
        rollback.follow(found, 7, now)
        assert stored == ("run/back" in channel.all_keys())


def test_a_cache_that_refuses_the_marker_ends_nothing():
    """The rank goes back all the same, and stores it while it waits for the others."""

    class Full(MemoryChannel):
        full = True

        def put_many(self, values):
            if self.full:
                raise ChannelError("out of memory storing object")
            super().put_many(values)

    channel = Full()
    _, rollback, _ = rank_of(channel)
    with pytest.raises(Rejoin):
        rollback.begin(7)
    channel.full = False

    rollback.follow({}, 0, 1.0)

    assert ["run/back"] == list(channel.all_keys())


def test_another_try_enters_the_generation_that_it_finds():
    """A first one has nothing to find, and asks nothing."""
    channel = MemoryChannel()
    channel.put_many({"run/back": pack_state(Generation(2, 1))})
    (fresh, first, _), (late, second, said) = rank_of(channel), rank_of(channel, attempt=2)

    first.find()
    second.find()

    assert (0, 2) == (fresh.keys.generation, late.keys.generation)
    assert [] == said


@pytest.mark.parametrize(
    ("forged", "named"),
    [
        (Generation(0, 1), "generation is 0, allowed are 1 to 10"),
        (Generation(MOST_GENERATIONS + 1, 1), "generation is 11"),
        (Generation(1, 3), "rank is 3, allowed are 0 to 2"),
        (Generation(1, -1), "rank is -1"),
    ],
)
def test_impossible_markers_are_refused(forged, named):
    """They name the key."""
    _, rollback, _ = rank_of(MemoryChannel())

    with pytest.raises(ImpossibleValue, match=f"run/back: {named}"):
        rollback.follow({"run/back": pack_state(forged)}, 7, 0.0)


def test_ranks_do_not_go_back_for_ever():
    """After so many times it is an error that says where to look."""
    _, rollback, _ = rank_of(MemoryChannel())
    for _ in range(MOST_GENERATIONS):
        with pytest.raises(Rejoin):
            rollback.begin(7)

    with pytest.raises(StateLost, match=r"rank 0 before round 7 is lost.*10 times already.*too little memory"):
        rollback.begin(7)

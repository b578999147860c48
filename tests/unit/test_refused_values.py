"""Values in the cache that no rank can have written: refused at once, with the key and whose they claim to be."""

import time

import msgspec
import numpy as np
import pytest

from tests.support.ranks import exchange_of
from training.errors import FrameError, ImpossibleValue, RunAborted
from training.exchange.channel.memory import MemoryChannel
from training.exchange.frame import Flag, Frame, pack, unpack
from training.exchange.keys import Place, RunKeys
from training.exchange.mailbox import Mailbox
from training.exchange.recovery.lease import MOST_ATTEMPTS, MOST_HEARTBEATS, MOST_LINKS, Holder, Lease
from training.exchange.recovery.patient_wait import PatientPolicy
from training.exchange.recovery.recovery import Recovery
from training.exchange.recovery.rules import Phase, Position, pack_position, read_position
from training.exchange.run_signals import LONGEST_ABORT_BYTES, RoundClocks, abort_run, poll

PLACE = {"run_id": "run", "rank": 3, "round_number": 7, "step": 1}
LEASE = "run/lease/1"


def unpacked(flags):
    """A frame with these flags, and a right checksum, as it is received."""
    header, body = pack(Frame("run", 3, 2, 7, 1, 40, np.ones(4, np.float32), flags))
    return unpack(header, body, **PLACE, dtype=np.dtype(np.float32))


@pytest.mark.parametrize("flags", [4, 8, 64, 0x80, 0xFF])
def test_unknown_flags_of_a_frame_are_refused(flags):
    """Rank, attempt and round are named, and what was found."""
    with pytest.raises(FrameError, match=rf"rank 3, round 7, step 1, attempt 2: flags are {flags:#04x}"):
        unpacked(flags)


@pytest.mark.parametrize("flags", range(4))
def test_all_known_flags_pass(flags):
    """Alone and together."""
    assert flags == unpacked(flags).flags
    assert flags <= int(Flag.CHECKPOINT | Flag.STOP)


def test_a_frame_with_unknown_flags_ends_the_wait_at_once():
    """Nobody puts it again, so waiting for the deadline would be in vain."""
    channel = MemoryChannel()
    mailbox = Mailbox(channel, run_id="run", rank=0, world_size=2)
    recovery = Recovery(mailbox, token="0.1")
    recovery.begin_round(1, None, Phase.TRAINING, 20.0)
    forged = b"".join(pack(Frame("run", 1, 1, 1, 0, 1, np.ones(2, np.float32), 16)))
    channel.put_many({"run/1/0/1": forged})
    started = time.monotonic()

    with pytest.raises(FrameError, match="flags are 0x10"):
        mailbox.collect(Place(1, 0), [1], np.dtype(np.float32), PatientPolicy(recovery), timeout_s=20.0)

    assert time.monotonic() - started < 15


@pytest.mark.parametrize(
    ("holder", "named"),
    [
        (Holder("t", link=0), "link is 0"),
        (Holder("t", link=MOST_LINKS + 1), "link is"),
        (Holder("t", attempt=-1), "attempt is -1"),
        (Holder("t", attempt=MOST_ATTEMPTS + 1), "attempt is"),
        (Holder("t", tries=5), "tries is 5, allowed are 1 to 1"),
        (Holder("t", heartbeat=-1), "heartbeat is -1"),
        (Holder("t", heartbeat=MOST_HEARTBEATS + 1), "heartbeat is"),
        (Holder("t" * 65), "token has 65"),
        (["t", "soon"], "no lease"),
        (["t", 1, 1, 1, 0, 7], "no lease"),
    ],
)
def test_impossible_leases_are_refused(holder, named):
    """By who comes to take it, and by who holds it."""
    channel = MemoryChannel()
    forged = msgspec.msgpack.encode(holder)
    channel.put_many({LEASE: forged})

    with pytest.raises(ImpossibleValue, match=named) as caught:
        Lease(lambda: channel, LEASE, 1).acquire(1)
    assert LEASE in str(caught.value)

    channel.delete_many([LEASE])
    held = Lease(lambda: channel, LEASE, 1)
    assert held.acquire(1)
    channel.put_many({LEASE: forged})
    held.keep()
    with pytest.raises(ImpossibleValue, match=named):
        check_until_refused(held)
    held.leave()


def check_until_refused(lease, within_s=5.0):
    """Checks a lease, as a worker does before every round, until its thread has met what is there."""
    deadline = time.monotonic() + within_s
    while time.monotonic() < deadline:
        lease.check()
        time.sleep(0.01)


def position(**fields):
    """Where rank 1 of 3 waits."""
    return Position(**{"rank": 1, "token": "a", "round": 5, **fields})


def received(value):
    """It, as the others read it in a job of ten rounds."""
    return read_position(value, "run/position/1", rank=1, world_size=3, last_round=11)


@pytest.mark.parametrize(
    ("fields", "named"),
    [
        ({"rank": 2}, "rank is 2, allowed are 1 to 1"),
        ({"round": -3}, "round is -3"),
        ({"round": 12}, "round is 12, allowed are 0 to 11"),
        ({"holds_from": 12}, "holds_from is 12"),
        ({"began_at": -1}, "began_at is -1"),
        ({"step": -1}, "step is -1"),
        ({"heartbeat": -1}, "heartbeat is -1"),
        ({"attempt": 0}, "attempt is 0"),
        ({"asks": 3}, "asks is 3"),
        ({"missing": (0, 9)}, "missing, its largest is 9"),
        ({"token": ""}, "token, its length is 0"),
        ({"round": "soon"}, "no position"),
    ],
)
def test_impossible_positions_are_refused(fields, named):
    """Each field has bounds, and the error names the claimed writer."""
    with pytest.raises(ImpossibleValue, match=named) as caught:
        received(pack_position(position(**fields)))

    assert caught.value.key == "run/position/1"


def test_a_damaged_position_is_none_and_waits_for_the_next_heartbeat():
    """Whichever byte changed: the checksum tells damage from what was written so."""
    value = pack_position(position())
    assert received(value) == position()
    for at in range(len(value)):
        assert received(value[:at] + bytes([value[at] ^ 0x55]) + value[at + 1 :]) is None
    assert received(b"") is None


def test_a_forged_position_ends_a_long_wait():
    """The run does not wait for a rank of an impossible round until its deadline."""
    channel = MemoryChannel()
    exchange = exchange_of(channel, 0, 2, "all_gather", recovery={"token": "0.1"})
    exchange.start()
    exchange.expect_rounds(10)
    exchange.begin_round(3)
    channel.put_many({"run/position/1": pack_position(Position(1, "x", round=1_000_000))})
    started = time.monotonic()

    with pytest.raises(ImpossibleValue, match="written as rank 1, attempt 1: round is 1000000, allowed are 0 to 11"):
        exchange.all_reduce(np.ones(2, np.float32), 1)

    assert time.monotonic() - started < 15


@pytest.mark.parametrize("cause", [b"\xff\xfe no text", b"x" * (LONGEST_ABORT_BYTES + 1)])
def test_impossible_abort_texts_are_refused(cause):
    """They end the wait, as any abort does, and the key is named."""
    channel = MemoryChannel()
    channel.put_many({"run/abort": cause})

    with pytest.raises(ImpossibleValue, match="run/abort: the cause"):
        poll(channel, "run/abort", [])


def test_an_abort_text_is_cut_between_characters():
    """A long cause of ours is still a text."""
    channel = MemoryChannel()
    abort_run(channel, "run", "é" * LONGEST_ABORT_BYTES)

    with pytest.raises(RunAborted, match="ééé"):
        poll(channel, "run/abort", [])


@pytest.mark.parametrize("clock", [b"-1", b"soon", b"", b"99999999999", "٣".encode()])
def test_impossible_clocks_are_refused(clock):
    """In `async` a rank's newest round is a number."""
    clocks = RoundClocks(RunKeys("run"), 0, [1])

    with pytest.raises(ImpossibleValue, match="run/clock/1"):
        clocks.read({"run/clock/1": clock})


def test_the_errors_survive_pickling():
    """Lambda's runtime and thread pools hand them on."""
    error = ImpossibleValue("key", "what", "rank 1")

    assert str(error) == "key, written as rank 1: what; no rank of this run can have written it"
    assert str(error.__reduce__()[0](*error.__reduce__()[1])) == str(error)

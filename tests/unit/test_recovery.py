"""Recovery on the wire: what ranks do when frames are lost, damaged or refused; threads over one in-memory channel."""

import threading
import time
import zlib

import numpy as np
import pytest

from tests.support.ranks import exchange_of, in_virtual_time, on_all_ranks
from training.errors import ChannelError, FrameError, RanksMissing
from training.exchange.channel.memory import MemoryChannel
from training.exchange.collectives.registry import EXACT
from training.exchange.frame import Encoding, Flag, Frame, pack
from training.exchange.keys import Place
from training.exchange.mailbox import Mailbox
from training.exchange.recovery.patient_wait import PatientPolicy
from training.exchange.recovery.recovery import Recovery

MODES = sorted(EXACT)


def patient(channel, rank, world_size, mode, *, timeout_s=20.0, **options):
    """One rank's exchange with recovery."""
    recovery = {"token": f"{rank}.1"}
    exchange = exchange_of(channel, rank, world_size, mode, timeout_s=timeout_s, recovery=recovery, **options)
    exchange.start()
    return exchange


def is_frame(key):
    """Whether a key is a frame's, not one with which ranks find one another."""
    return key.split("/")[1].isdigit()


class Forgetful(MemoryChannel):
    """Loses every value once: what is put first is gone, what is put again stays."""

    def __init__(self):
        super().__init__()
        self.lost = set()

    def put_many(self, values):
        """Puts what was lost before."""
        kept = {key: value for key, value in values.items() if key in self.lost or not is_frame(key)}
        self.lost |= values.keys()
        super().put_many(kept)


class Changing(MemoryChannel):
    """Changes one byte of every value once."""

    def __init__(self, at):
        super().__init__()
        self._at, self.changed = at, set()

    def put_many(self, values):
        """Puts values, changed the first time."""
        for key, value in values.items():
            changed = bytearray(value)
            if key not in self.changed and is_frame(key):
                self.changed.add(key)
                changed[self._at] ^= 0xFF
            super().put_many({key: bytes(changed)})


def three_rounds(channel, mode):
    """What three ranks get in three rounds."""

    def rank_main(rank, clock):
        exchange = patient(channel, rank, 3, mode, clock=clock)
        totals = []
        for number in (1, 2, 3):
            exchange.begin_round(number)
            totals.append(exchange.all_reduce(np.float32([rank, number, 0.1]), 1).values.tolist())
        exchange.finish(3, None)
        return totals

    return in_virtual_time(3, rank_main)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("channel", [Forgetful, lambda: Changing(0), lambda: Changing(36), lambda: Changing(-1)])
def test_frames_that_are_lost_or_damaged_are_put_again(mode, channel):
    """Every frame is lost, or has a wrong magic, length or payload, the first time: the sums are the right ones."""
    assert three_rounds(MemoryChannel(), mode) == three_rounds(channel(), mode)


def test_a_store_that_is_refused_is_tried_again():
    """Out of memory for a moment costs a moment."""

    class Full(MemoryChannel):
        refusals = 5

        def put_many(self, values):
            self.refusals -= 1
            if self.refusals > 0:
                raise ChannelError("out of memory storing object")
            super().put_many(values)

    assert three_rounds(MemoryChannel(), "reduce") == three_rounds(Full(), "reduce")


def test_a_channel_that_stays_away_is_one_error_with_its_time():
    """The channel's own words, and how long it was tried; not the ranks that it keeps away."""

    class Away(MemoryChannel):
        def get_many(self, keys):  # noqa: ARG002
            raise ChannelError("Memcached at h:1: connection refused")

    exchange = patient(Away(), 0, 2, "reduce", timeout_s=0.6)

    with pytest.raises(ChannelError, match=r"h:1: connection refused \(tried for 0\.6 s\)"):
        exchange.all_reduce(np.zeros(2, np.float32), 1)


def test_a_frame_of_another_protocol_version_is_refused_at_once():
    """It is sound, and no sender of this run will ever put another: no wait, but an error with the field."""
    buffer = bytearray(b"".join(pack(Frame("run", 1, 1, 0, 0, 1, np.zeros(2, np.float32)))))
    buffer[4] = 9
    body = zlib.crc32(buffer[48:], zlib.crc32(buffer[:44]))
    buffer[44:48] = body.to_bytes(4, "little")
    channel = MemoryChannel()
    channel.put_many({"run/0/0/1": bytes(buffer)})

    with pytest.raises(FrameError, match="protocol version is 9, expected 1"):
        patient(channel, 0, 2, "all_gather").all_reduce(np.zeros(2, np.float32), 1)


def test_a_rank_that_never_comes_is_named():
    """Recovery does not wait longer than the plain layer for a rank of which nothing is heard."""
    started = time.monotonic()

    with pytest.raises(RanksMissing, match=r"nothing from rank 1, 2 within 0\.5 s"):
        patient(MemoryChannel(), 0, 3, "reduce", timeout_s=0.5).all_reduce(np.zeros(2, np.float32), 1)

    assert time.monotonic() - started < 10


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("asking", [0, 1, 2])
def test_what_one_rank_asks_all_ranks_see_in_the_same_round(mode, asking):
    """A flag of any rank reaches all, in its round and in no other."""
    channel = MemoryChannel()

    class Seen:
        def __init__(self):
            self.saved = []

        def newest(self):
            return 0

        def save(self, round_number, _shared, _private):
            self.saved.append(round_number)

    def rank_main(rank):
        seen = Seen()
        exchange = exchange_of(
            channel,
            rank,
            3,
            mode,
            checkpoints=seen,
            signals=lambda: Flag.CHECKPOINT if rank == asking and exchange.round == 2 else 0,
        )
        for number in (1, 2, 3):
            exchange.begin_round(number)
            exchange.all_reduce_update(np.float32([1, 2, 3]), 1)
            exchange.end_round({"round": number})
        return seen.saved

    assert [[2]] * 3 == on_all_ranks(3, rank_main)


def test_what_a_rank_alone_has_lies_before_its_frame():
    """In a trip of its own, the state first: whoever finds the frame finds the state, whatever store is refused."""
    trips = []

    class Recording(MemoryChannel):
        def put_many(self, values):
            trips.append(list(values))
            super().put_many(values)

    mailbox = Mailbox(Recording(), run_id="run", rank=1, world_size=2)
    recovery = Recovery(mailbox, token="1.1")

    recovery.private.store(5, b"own")
    PatientPolicy(recovery).store(mailbox.outgoing(Place(5, 0), np.zeros(2, np.float32), 1, 0, Encoding.FLOAT32))

    assert [["run/private/1/5"], ["run/5/0/1"]] == trips


def test_who_finishes_stays_for_those_who_do_not():
    """A rank whose last frames are lost still gets them: nobody leaves before all have them."""
    channel = MemoryChannel()
    late = threading.Event()

    def rank_main(rank):
        exchange = patient(channel, rank, 2, "all_gather")
        exchange.begin_round(1)
        if rank == 1:
            late.wait(10)
        total = exchange.all_reduce(np.float32([rank + 1]), 1)
        exchange.finish(1, None)
        return total.values.tolist()

    def lose_everything():
        while not any(key.startswith("run/1/") for key in channel.all_keys()):
            time.sleep(0.001)
        channel.delete_many(channel.all_keys())
        late.set()

    thief = threading.Thread(target=lose_everything)
    thief.start()
    answers = on_all_ranks(2, rank_main)
    thief.join()

    assert [[3.0], [3.0]] == answers

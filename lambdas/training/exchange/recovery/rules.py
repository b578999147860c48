"""The rules of recovery as one pure function: where ranks wait, and what follows from it.

A rank writes its position only while a wait is long, and again with every heartbeat, so a position whose heartbeat
moves belongs to a rank that waits now. `decide` gets the positions of this rank and of the others, and nothing else.

    rule                                                               why it ends the wait
    a rank asked for this rank's state, and this rank trains:          it resumes before this rank's round
      hand it over
    this rank is new and others train: take a snapshot of the one      whatever a slower one still needs of this rank
      that is furthest behind (the lowest rank on a tie)                 is computed again from there, byte for byte
    another rank is behind the round at which this try began: take     the same; nobody else has this rank's frames
      its snapshot
    others have released frames that this rank needs: take a           another try of this rank has been that far: it
      snapshot of the one furthest behind of those                       was frozen, or two ran for a while
    another rank misses this rank's frames, which it holds:            the cache lost them
      republish them
    otherwise: wait

Going back is always safe: what is computed again has the same bits.
"""

import struct
from collections.abc import Set as AbstractSet
from enum import IntEnum, unique
from typing import NamedTuple

import msgspec

from training.checksum import crc32
from training.errors import ImpossibleValue
from training.exchange.frame import MOST_COUNT

NOBODY = -1
LONGEST_TOKEN = 64
_CRC = struct.Struct("<I")


@unique
class Phase(IntEnum):
    """How far a rank is."""

    NEW = 0  # in round 0: it has no state from which others could resume
    TRAINING = 1
    FINISHED = 2  # its results are stored; it stays for the ranks that are not done


class Position(msgspec.Struct, frozen=True, array_like=True):
    """Where one rank waits.

    Attributes:
        rank: The rank.
        token: Names this try of the rank; no other has the same.
        attempt: Which try it is, from 1.
        heartbeat: Grows while the rank waits.
        phase: How far it is.
        round: The round that it waits in.
        step: The step within the round.
        holds_from: The first round whose frames it can republish.
        began_at: The first round that this try has computed since it came in, or came back.
        missing: The ranks whose frames it waits for.
        asks: The rank whose state it asks for; `NOBODY` when it asks for none.
        question: Numbers what it asks.
    """

    rank: int
    token: str
    attempt: int = 1
    heartbeat: int = 0
    phase: Phase = Phase.TRAINING
    round: int = 0
    step: int = 0
    holds_from: int = 0
    began_at: int = 0
    missing: tuple[int, ...] = ()
    asks: int = NOBODY
    question: int = 0


class KeepPolling(NamedTuple):
    """There is nothing to do but to poll again."""


class Publish(NamedTuple):
    """Write this rank's position."""

    position: Position


class Republish(NamedTuple):
    """Store the held frames again, for these ranks."""

    ranks: tuple[int, ...]


class HandOver(NamedTuple):
    """Write this rank's state for the rank that asked."""

    to: Position


class TakeSnapshot(NamedTuple):
    """Resume from the state of another rank."""

    donor: int


Action = KeepPolling | Republish | HandOver | TakeSnapshot


def decide(
    own: Position,
    others: list[Position],
    *,
    answered: AbstractSet[tuple[str, int]] = frozenset(),
    settled: bool = True,
) -> Action:
    """Return what this rank does now.

    Args:
        own: Where this rank waits.
        others: Where the others wait, of those that do.
        answered: Questions (token, number) that this rank has answered before.
        settled: Whether every rank that might be further behind has had the time to say so.
    """
    for other in others:
        asked = other.asks == own.rank and (other.token, other.question) not in answered
        if asked and own.phase != Phase.NEW:
            return HandOver(other)
    trainers = [other for other in others if other.phase != Phase.NEW]
    # A rank that is left behind resumes from one of these; nobody goes back for it.
    in_time = [other for other in trainers if not _left_behind(other, [own, *trainers])]
    behind = min(in_time, key=lambda other: (other.round, other.rank), default=None)
    if behind is not None:
        joins = own.phase == Phase.NEW or _left_behind(own, in_time)
        if joins or behind.round < own.began_at:
            return TakeSnapshot(behind.rank) if settled else KeepPolling()
    in_need = tuple(other.rank for other in others if own.rank in other.missing and own.holds_from <= other.round)
    return Republish(in_need) if in_need else KeepPolling()


def pack_position(position: Position) -> bytes:
    """Return a position's bytes, with their checksum in front."""
    body = msgspec.msgpack.encode(position)
    return _CRC.pack(crc32(body)) + body


def read_position(value: bytes, key: str, *, rank: int, world_size: int, last_round: int) -> Position | None:
    """Return the position in a value; None when the value was damaged, as the next heartbeat replaces it.

    Args:
        value: What the channel holds.
        key: Where.
        rank: The rank whose position belongs there.
        world_size: How many ranks there are.
        last_round: The last round that any rank can be in.

    Raises:
        ImpossibleValue: It is whole, and no rank of this run can have written it.
    """
    if len(value) <= _CRC.size or _CRC.unpack_from(value)[0] != crc32(value[_CRC.size :]):
        return None
    try:
        position = msgspec.msgpack.decode(value[_CRC.size :], type=Position)
    except msgspec.MsgspecError as error:
        raise ImpossibleValue(key, f"it is no position ({error})") from error
    bounds = {
        "rank": (position.rank, rank, rank),
        "attempt": (position.attempt, 1, MOST_COUNT),
        "heartbeat": (position.heartbeat, 0, MOST_COUNT),
        "question": (position.question, 0, MOST_COUNT),
        "round": (position.round, 0, last_round),
        "step": (position.step, 0, MOST_COUNT),
        "holds_from": (position.holds_from, 0, last_round),
        "began_at": (position.began_at, 0, last_round),
        "asks": (position.asks, NOBODY, world_size - 1),
        "missing": (min(position.missing, default=0), 0, world_size - 1),
        "missing, its largest": (max(position.missing, default=0), 0, world_size - 1),
        "token, its length": (len(position.token), 1, LONGEST_TOKEN),
    }
    for name, (count, least, most) in bounds.items():
        if not least <= count <= most:
            writer = f"rank {position.rank}, attempt {position.attempt}"
            raise ImpossibleValue(key, f"{name} is {count}, allowed are {least} to {most}", writer)
    return position


def _left_behind(position: Position, trainers: list[Position]) -> bool:
    """Return whether others have released frames of a rank's round, so that all ranks were past it."""
    return any(other.began_at <= position.round < other.holds_from for other in trainers if other.phase != Phase.NEW)

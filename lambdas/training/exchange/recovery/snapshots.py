"""Snapshots: the state that one rank hands to another, which resumes from it."""

from typing import Any

import msgspec
from numpy.typing import NDArray

from training.errors import ImpossibleValue
from training.exchange.keys import piece_key
from training.exchange.packing import state_length, unpack_state


class Agreed(msgspec.Struct, frozen=True):
    """A total of round 0 that all ranks know."""

    values: NDArray[Any]
    samples: int


class Snapshot(msgspec.Struct, frozen=True):
    """What a rank needs to resume in another's place.

    Attributes:
        run_id: The run.
        round: The round before which the state was taken.
        agreed: The totals of round 0 by name.
        state: The algorithm's state, packed.
        earlier: The state before the previous round; empty unless ranks have private states.
            A rank that died in that round has stored no private state after it.
        finished: Whether training is over with this state.
    """

    run_id: str
    round: int
    agreed: dict[str, Agreed]
    state: bytes
    earlier: bytes
    finished: bool


def snapshot_keys(key: str, first_piece: bytes, limit: int) -> list[str]:
    """Return the keys of a snapshot's pieces.

    Args:
        key: The first one's.
        first_piece: Its value.
        limit: The largest value that the channel stores.
    """
    return [piece_key(key, index) for index in range(max(1, -(-state_length(first_piece) // limit)))]


def read_snapshot(body: bytes, key: str, *, run_id: str, last_round: int, asking: int, donor: int) -> Snapshot:
    """Return the snapshot in a value.

    Args:
        body: The value.
        key: Where it was.
        run_id: The run.
        last_round: The last round that the job can have.
        asking: The rank that asked for it.
        donor: The rank that was asked.

    Raises:
        DamagedFrame: It is cut short or changed.
        ImpossibleValue: It is whole, and no rank of this run can have written it.
    """
    snapshot = unpack_state(Snapshot, body, f"snapshot for rank {asking}")
    writer = f"rank {donor}"
    if snapshot.run_id != run_id:
        raise ImpossibleValue(key, f"it is of run {snapshot.run_id[:60]!r}", writer)
    if not 1 <= snapshot.round <= last_round + 1:
        raise ImpossibleValue(key, f"round is {snapshot.round}, allowed are 1 to {last_round + 1}", writer)
    return snapshot

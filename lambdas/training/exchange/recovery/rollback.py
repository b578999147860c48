"""Going back: all ranks return to the newest checkpoint, because one has lost what it alone had.

A rank's private state (ADMM's dual, the filter's residual) is in the cache and with that rank. If both are gone,
nobody can compute its frames again; but a checkpoint has every rank's private state, and at the start it is known.

    <run_id>/back   the newest generation of the run; absent in the first one, 0

    rank 2   died ... | new: takes 0's state, and its own is gone | back = 1 | 0@40 | round 41
    rank 0   waits for 2 .......................................... | finds 1 | 0@40 | round 41
    rank 1   waits for 2 .......................................... | finds 1 | 0@40 | round 41

A generation joins as new ranks do: all meet in round 0 under the name of the checkpoint that they see.
It has keys of its own, below `<run_id>/back.<generation>/`, and so begins with an empty channel, whatever earlier
generations have left there. A frame of round 42 that a rank finds was computed after it went back: the rule that
nobody needs the frames of two rounds ago holds again. Lease, abort marker and the end belong to all generations.

The cache may lose the marker, too: ranks of a later generation store it again whenever they wait long.
A rank whose try begins late enters the newest generation that it finds; all others find it in their next long wait,
as nobody gets past a round without all ranks.
"""

import logging
from collections.abc import Mapping
from typing import NoReturn

import msgspec

from training.errors import ChannelError, DamagedFrame, ImpossibleValue, StateLost
from training.exchange.mailbox import Mailbox
from training.exchange.notes import Note
from training.exchange.packing import pack_state, unpack_state
from training.exchange.recovery.rejoin import Rejoin

logger = logging.getLogger(__name__)

# Each takes a death and a loss of the cache. A cache that loses states again and again is too small, or is being
# emptied by somebody; the run would never end.
MOST_GENERATIONS = 10
STORE_AGAIN_S = 0.25


class Generation(msgspec.Struct, frozen=True, array_like=True):
    """What the marker holds.

    Attributes:
        number: How often all ranks have gone back.
        rank: The rank that had lost its private state.
    """

    number: int
    rank: int


class Rollback:
    """In which generation of its run a rank is.

    Args:
        mailbox: The rank's mailbox, whose keys are those of its generation.
        note: Told when this rank goes back.
    """

    def __init__(self, mailbox: Mailbox, note: Note) -> None:
        self._mailbox, self._note = mailbox, note
        self._present = Generation(0, mailbox.rank)
        self._next_store = 0.0

    def find(self) -> None:
        """Enter the newest generation that there is, before this rank joins: only another try can have seen it begin.

        Raises:
            ImpossibleValue: No rank of this run can have written the marker.
        """
        if self._mailbox.attempt == 1:
            return
        key = self._mailbox.keys.back
        try:
            newest = self._read(self._mailbox.channel.get_many([key]))
        except ChannelError as error:
            logger.debug("found in the next long wait: %s", error)
            return
        if newest is not None and newest.number > self._present.number:
            self._enter(newest)

    def begin(self, round_number: int) -> NoReturn:
        """Send all ranks back, as this one's private state before a round is lost.

        Raises:
            Rejoin: This rank goes first.
            StateLost: It has happened too often.
        """
        if self._present.number == MOST_GENERATIONS:
            raise StateLost(
                f"the private state of rank {self._mailbox.rank} before round {round_number} is lost: the rank died, "
                f"and the cache no longer has it; all ranks have gone back {MOST_GENERATIONS} times already. "
                "Does Memcached have too little memory, or is it restarted again and again?"
            )
        newest = Generation(self._present.number + 1, self._mailbox.rank)
        self._store(newest)
        self._go_back(newest, round_number)

    def follow(self, found: Mapping[str, bytes], round_number: int, now: float) -> None:
        """Go where the marker says; store it again if the cache has lost it, or holds an older one.

        Args:
            found: What the last poll of a long wait found.
            round_number: The round of that wait.
            now: The clock.

        Raises:
            Rejoin: All ranks go back.
            ImpossibleValue: No rank of this run can have written the marker.
        """
        newest = self._read(found)
        number = 0 if newest is None else newest.number
        if newest is not None and number > self._present.number:
            self._go_back(newest, round_number)
        if number < self._present.number and now >= self._next_store:
            self._next_store = now + STORE_AGAIN_S
            self._store(self._present)

    def _go_back(self, newest: Generation, round_number: int) -> NoReturn:
        self._enter(newest)
        why = f"rank {newest.rank} has lost its private state"
        self._note("rolled_back", round=round_number, generation=newest.number, lost_by=newest.rank, note=why)
        raise Rejoin(None)

    def _enter(self, newest: Generation) -> None:
        self._present = newest
        self._mailbox.enter_generation(newest.number)

    def _store(self, newest: Generation) -> None:
        """Store the marker; if that fails, the next long wait does it."""
        try:
            self._mailbox.channel.put_many({self._mailbox.keys.back: pack_state(newest)})
        except ChannelError as error:
            logger.warning("not stored: %s", error)

    def _read(self, found: Mapping[str, bytes]) -> Generation | None:
        """Return what the marker says; None when it is absent or damaged, as it is then stored again."""
        key = self._mailbox.keys.back
        if (value := found.get(key)) is None:
            return None
        try:
            newest = unpack_state(Generation, value, key)
        except DamagedFrame as error:
            logger.warning("ignored: %s", error)
            return None
        for name, count, least, most in (
            ("generation", newest.number, 1, MOST_GENERATIONS),
            ("rank", newest.rank, 0, self._mailbox.world_size - 1),
        ):
            if not least <= count <= most:
                raise ImpossibleValue(key, f"{name} is {count}, allowed are {least} to {most}")
        return newest

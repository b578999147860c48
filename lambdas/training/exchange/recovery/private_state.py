"""What a rank alone has before a round (ADMM's dual), stored so that its next try can resume with it."""

from collections import Counter
from typing import TypeVar

import msgspec

from training.errors import DamagedFrame
from training.exchange.channel.retrying import RetryingChannel
from training.exchange.keys import piece_key, pieces_of
from training.exchange.mailbox import Mailbox
from training.exchange.packing import state_length, unpack_state
from training.exchange.recovery.rollback import Rollback
from training.exchange.recovery.snapshots import Snapshot

AnyState = TypeVar("AnyState")

# Once is usual after a death, twice may be.
MOST_FALL_BACKS = 3


class PrivateState:
    """One rank's private state in the channel.

    Args:
        mailbox: This rank's mailbox.
        channel: Where the state is stored.
        rollback: Sends all ranks back once the state is lost.
    """

    def __init__(self, mailbox: Mailbox, channel: RetryingChannel, rollback: Rollback) -> None:
        self._mailbox, self._channel, self._rollback = mailbox, channel, rollback
        self._fall_backs: Counter[tuple[int, int]] = Counter()

    def store(self, round_number: int, state: bytes) -> None:
        """Store this rank's private state in a separate request, so that it is durable before any frame of the round.

        A refused store stops neither those behind it in the same request nor those on other nodes.

        Raises:
            ChannelError: The channel is not reachable or refused it.
        """
        pieces = pieces_of(self._key(round_number), state, self._mailbox.channel.max_value_bytes)
        self._mailbox.held.add(round_number, pieces)
        self._channel.put_many(pieces)

    def read(self, round_number: int) -> bytes | None:
        """Return what this rank's earlier try alone had before a round; None when it is not whole in the channel.

        Raises:
            ChannelError: The channel is not reachable.
        """
        key, limit = self._key(round_number), self._mailbox.channel.max_value_bytes
        first = self._channel.get_many([key]).get(key, b"")
        keys = [piece_key(key, index) for index in range(1, -(-state_length(first) // limit))]
        rest = self._channel.get_many(keys) if keys else {}
        return b"".join([first, *rest.values()]) if first and len(rest) == len(keys) else None

    def resume(self, kind: type[AnyState], round_number: int) -> AnyState:
        """Return what this rank's earlier try alone had before a round.

        Raises:
            Rejoin: It is lost, and all ranks go back.
            StateLost: It is lost, and they have gone back too often.
            ChannelError: The channel is not reachable.
        """
        try:
            return unpack_state(kind, self.read(round_number) or b"", "the private state")
        except DamagedFrame:
            self._rollback.begin(round_number)

    def fitting(self, snapshot: Snapshot) -> Snapshot:
        """Return the state from which this rank can compute all its frames again with what it alone had before it.

        That is the snapshot's state or, if the rank died before it had stored a private state, the one before.

        Raises:
            Rejoin: There is none, and all ranks go back.
            StateLost: There is none, and they have gone back too often.
            ChannelError: The channel is not reachable.
        """
        number = snapshot.round
        if not snapshot.earlier or number <= 1 or self.read(number) is not None:
            return snapshot
        fall_backs = (self._mailbox.keys.generation, number)
        self._fall_backs[fall_backs] += 1
        if self._fall_backs[fall_backs] >= MOST_FALL_BACKS:
            # A peer has released the round before, so this rank had stored its state, and the cache has lost it.
            self._rollback.begin(number)
        return msgspec.structs.replace(snapshot, round=number - 1, state=snapshot.earlier, finished=False)

    def _key(self, round_number: int) -> str:
        return self._mailbox.keys.private(self._mailbox.rank, round_number)

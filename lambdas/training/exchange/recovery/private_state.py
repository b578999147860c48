"""What a rank alone has before a round (ADMM's dual), stored so that its next try can resume with it."""

from training.exchange.channel.retrying import RetryingChannel
from training.exchange.keys import piece_key, pieces_of
from training.exchange.mailbox import Mailbox
from training.exchange.packing import state_length


class PrivateState:
    """One rank's private state in the channel.

    Args:
        mailbox: This rank's mailbox.
        channel: Where the state is stored.
    """

    def __init__(self, mailbox: Mailbox, channel: RetryingChannel) -> None:
        self._mailbox, self._channel = mailbox, channel

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

    def _key(self, round_number: int) -> str:
        return self._mailbox.keys.private(self._mailbox.rank, round_number)

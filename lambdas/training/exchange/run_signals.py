"""What ranks tell one another beside their frames: that the run is given up, and how far each one is in `async`."""

from collections.abc import Mapping, Sequence
from typing import Any

from training.errors import ImpossibleValue, RunAborted
from training.exchange.channel.base import Channel, ReceiveBuffer, Value
from training.exchange.frame import MOST_COUNT
from training.exchange.keys import ABORT, RunKeys, key_of

LONGEST_ABORT_BYTES = 4096


def abort_run(channel: Channel, run_id: str, cause: str, part_prefix: str = "") -> None:
    """End a run for all its ranks, from within or from outside.

    Raises:
        ChannelError: The channel is not reachable.
    """
    limit = min(LONGEST_ABORT_BYTES, channel.max_value_bytes)
    # Cutting through a character would leave invalid UTF-8.
    text = cause.encode(errors="replace")[:limit].decode(errors="ignore")
    channel.put_many({key_of(run_id, ABORT, part_prefix): text.encode()})


def poll(
    channel: Channel, abort_key: str, keys: Sequence[str], buffers: Mapping[str, ReceiveBuffer] | None = None
) -> dict[str, Any]:
    """Return the values that are there of some keys, unless the run was given up.

    Args:
        channel: Where they are.
        abort_key: Where the abort marker would be.
        keys: What to read.
        buffers: Where values are received without a copy; see `Channel.round_trip`.

    Raises:
        RunAborted: A rank gave the run up.
        ImpossibleValue: No rank can have written the abort marker.
        ChannelError: The channel is not reachable.
    """
    found: dict[str, Any] = channel.round_trip({}, [*keys, abort_key], buffers)
    if abort_key in found:
        raise RunAborted(_read_abort(abort_key, found[abort_key]))
    return found


class RoundClocks:
    """The newest round of every rank, which only `async` publishes.

    Args:
        keys: The run's keys.
        rank: This rank.
        others: The other ranks.
    """

    def __init__(self, keys: RunKeys, rank: int, others: Sequence[int]) -> None:
        self._own_key = keys.clock(rank)
        self._others = {keys.clock(other): other for other in others}

    @property
    def keys(self) -> list[str]:
        """Where the other ranks' clocks are."""
        return list(self._others)

    def own(self, round_number: int) -> dict[str, Value]:
        """Return what says that this rank's frame of a round is there, ready to be stored."""
        return {self._own_key: str(round_number).encode()}

    def read(self, found: Mapping[str, bytes]) -> dict[int, int]:
        """Return the newest round of every other rank from what was found; 0 for those that have published none.

        Raises:
            ImpossibleValue: A clock is not a round's number.
        """
        return {rank: _read_clock(key, found.get(key, b"0")) for key, rank in self._others.items()}


def _read_abort(key: str, value: bytes) -> str:
    if len(value) > LONGEST_ABORT_BYTES:
        raise ImpossibleValue(key, f"the cause has {len(value)} bytes, allowed are {LONGEST_ABORT_BYTES}")
    try:
        return value.decode()
    except UnicodeDecodeError as error:
        raise ImpossibleValue(key, f"the cause {value[:40]!r} is no UTF-8") from error


def _read_clock(key: str, value: bytes) -> int:
    if not (value.isdigit() and int(value) <= MOST_COUNT):
        raise ImpossibleValue(key, f"{value[:40]!r} is no round")
    return int(value)

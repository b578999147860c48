"""What ranks tell one another beside their frames: that the run is given up."""

from training.errors import ImpossibleValue
from training.exchange.channel.base import Channel
from training.exchange.keys import ABORT, key_of

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


def read_abort(key: str, value: bytes) -> str:
    """Return the cause in an abort marker.

    Raises:
        ImpossibleValue: No rank can have written it.
    """
    if len(value) > LONGEST_ABORT_BYTES:
        raise ImpossibleValue(key, f"the cause has {len(value)} bytes, allowed are {LONGEST_ABORT_BYTES}")
    try:
        return value.decode()
    except UnicodeDecodeError as error:
        raise ImpossibleValue(key, f"the cause {value[:40]!r} is no UTF-8") from error

"""The keys of a run in the channel. Whoever watches the wire reads them, so they never change.

    [<prefix>/]<run_id>/<round>/<step>/<rank>[/<chunk>]    a frame; round 0 of a start from a checkpoint is `0@<round>`
    <run_id>/abort                                         ends the run for all ranks that wait
    <run_id>/over                                          is there once all ranks have stored their results
    <run_id>/clock/<rank>                                  a rank's newest round in `async`
    <run_id>/lease/<rank>                                  which try holds the rank
    <run_id>/position/<rank>                               where a rank waits
    <run_id>/snapshot/<rank>/<token>.<question>            a state that this rank has asked for
    <run_id>/private/<rank>/<round>                        what a rank alone had before a round

A chunk is a slice that is meant for one rank (`/<slice>`), a piece of a frame larger than the channel's limit
(`/<piece>`; the first one is under the plain key), or a piece of a slice (`/<slice>/<piece>`).
"""

from typing import NamedTuple

from training.exchange.channel.base import Value, cut, size_of

ABORT, DONE = "abort", "over"


class Place(NamedTuple):
    """Where in a run frames belong.

    Attributes:
        round: The round.
        step: The step within it.
        merged: Whether the frames hold merged values rather than the ranks' own parts.
    """

    round: int
    step: int
    merged: bool = False


def key_of(run_id: str, name: str, part_prefix: str = "") -> str:
    """Return the key of something that is not a frame: `abort`, `lease/<rank>`, `position/<rank>`."""
    return f"{folder(part_prefix)}{run_id}/{name}"


def folder(prefix: str) -> str:
    """Return a prefix as keys begin with it; an empty one is left out."""
    return f"{prefix}/" if prefix else ""


def piece_key(key: str, index: int) -> str:
    """Return the key of a piece; the first one is under the plain key."""
    return f"{key}/{index}" if index else key


def pieces_of(key: str, value: Value, limit: int) -> dict[str, Value]:
    """Return the pieces in which a value is stored, by key."""
    if size_of(value) <= limit:
        return {key: value}
    return {piece_key(key, index): piece for index, piece in enumerate(cut(value, limit))}

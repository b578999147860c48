"""The keys of a run in the channel. Whoever watches the wire reads them, so they never change.

    [<prefix>/]<run_id>/<round>/<step>/<rank>[/<chunk>]    a frame; round 0 of a start from a checkpoint is `0@<round>`
    <run_id>/abort                                         ends the run for all ranks that wait
    <run_id>/over                                          is there once all ranks have stored their results
    <run_id>/clock/<rank>                                  a rank's newest round in `async`
    <run_id>/lease/<rank>                                  which try holds the rank
    <run_id>/position/<rank>                               where a rank waits
    <run_id>/snapshot/<rank>/<token>.<question>            a state that this rank has asked for
    <run_id>/private/<rank>/<round>                        what a rank alone had before a round
    <run_id>/back                                          how often all ranks have gone back: the newest generation

Below `<run_id>/back.<generation>/` instead of `<run_id>/` is what ranks write after they have gone back, except for
lease, `abort`, `over` and `back`.

A chunk is a slice that is meant for one rank (`/<slice>`), a piece of a frame larger than the channel's limit
(`/<piece>`; the first one is under the plain key), or a piece of a slice (`/<slice>/<piece>`).
"""

from typing import NamedTuple

from training.exchange.channel.base import Value, cut, size_of

ABORT, DONE, BACK = "abort", "over", "back"


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


class RunKeys:
    """The keys of one run.

    Args:
        run_id: The run.
        part_prefix: Prefix of the keys of the ranks' own parts and of all that is not a frame; may be empty.
        merged_prefix: Prefix of the keys of merged parts; may be empty.
        generation: How often all ranks have gone back.

    Attributes:
        run_id: The run.
        generation: How often all ranks have gone back.
        abort: The key of the abort marker.
        done: The key of the sign that all ranks have stored their results.
        back: The key of the newest generation.
    """

    def __init__(self, run_id: str, part_prefix: str = "", merged_prefix: str = "", generation: int = 0) -> None:
        self.run_id, self.generation = run_id, generation
        self._prefixes = (part_prefix, merged_prefix)
        own = f"{BACK}.{generation}/" if generation else ""
        self._parts, self._merged = (key_of(run_id, own, prefix) for prefix in self._prefixes)
        self.abort, self.done, self.back = (key_of(run_id, name, part_prefix) for name in (ABORT, DONE, BACK))

    def of_generation(self, generation: int) -> "RunKeys":
        """Return the keys of another generation of the run."""
        return RunKeys(self.run_id, *self._prefixes, generation)

    def frame(self, place: Place, sender: int, receiver: int | None = None, joins_at: int = 0) -> str:
        """Return the key of a frame.

        Args:
            place: Where it belongs.
            sender: The rank that sends it.
            receiver: The rank that it is meant for alone; None for all.
            joins_at: The round of the checkpoint from which the ranks of round 0 resume.
        """
        round_name = f"0@{joins_at}" if place.round == 0 and joins_at else place.round
        key = f"{self._merged if place.merged else self._parts}{round_name}/{place.step}/{sender}"
        return key if receiver is None else f"{key}/{receiver}"

    def clock(self, rank: int) -> str:
        """Return the key of a rank's newest round."""
        return f"{self._parts}clock/{rank}"

    def position(self, rank: int) -> str:
        """Return the key of a rank's position."""
        return f"{self._parts}position/{rank}"

    def lease(self, rank: int) -> str:
        """Return the key of a rank's lease, the same in all generations."""
        return key_of(self.run_id, f"lease/{rank}", self._prefixes[0])

    def snapshot(self, rank: int, token: str, question: int) -> str:
        """Return the key of the snapshot that a try of a rank has asked for."""
        return f"{self._parts}snapshot/{rank}/{token}.{question}"

    def private(self, rank: int, round_number: int) -> str:
        """Return the key of what a rank alone had before a round."""
        return f"{self._parts}private/{rank}/{round_number}"


def key_of(run_id: str, name: str, part_prefix: str = "") -> str:
    """Return the key of something that is not a frame: `abort`, `lease/<rank>`, `position/<rank>`."""
    return f"{part_prefix}/{run_id}/{name}" if part_prefix else f"{run_id}/{name}"


def piece_key(key: str, index: int) -> str:
    """Return the key of a piece; the first one is under the plain key."""
    return f"{key}/{index}" if index else key


def pieces_of(key: str, value: Value, limit: int) -> dict[str, Value]:
    """Return the pieces in which a value is stored, by key."""
    if size_of(value) <= limit:
        return {key: value}
    return {piece_key(key, index): piece for index, piece in enumerate(cut(value, limit))}

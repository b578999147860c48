"""An attempt's rounds as arrays, from its stored timings or the progress lines of its log; thinned into buckets."""

from typing import NamedTuple

import numpy as np

from harness.insight.timings import Floats, Timings, Whole
from harness.insight.view import NOBODY, Bucket


class Entries(NamedTuple):
    """Rounds of one attempt, in their order: an entry is one round, or several that follow each other.

    Attributes:
        start: When each entry began, seconds, float64 [entries].
        end: When it ended, seconds, float64 [entries].
        first_round: Its first round, int64 [entries].
        rounds: How many it has, int64 [entries].
        busy_s: Seconds in rounds, float64 [entries].
        wait_s: Seconds of them in which the rank waited for others, float64 [entries].
        waited_for: The rank that it waited for longest, int64 [entries]; `NOBODY` if it did not wait.
        tells_waits: Whether the source tells waits; without it they are 0.
        tells_times: Whether the source tells when rounds began; without it they are drawn one behind the other.
        stored_s: Seconds in which it stored a checkpoint before its next round, float64 [entries]; None if unknown.
    """

    start: Floats
    end: Floats
    first_round: Whole
    rounds: Whole
    busy_s: Floats
    wait_s: Floats
    waited_for: Whole
    tells_waits: bool = True
    tells_times: bool = True
    stored_s: Floats | None = None


def entries_of_timings(timings: Timings, began_at: float) -> Entries:
    """Return the rounds of stored timings, without those that were skipped.

    Args:
        timings: The timings.
        began_at: When the handler began; what is returned has the same zero.
    """
    per_entry = timings.rounds_per_entry
    seconds = timings.round_s * per_entry
    tells_times = timings.starts_s is not None
    if timings.starts_s is not None:
        start = began_at + timings.starts_s
    else:
        before = max((end for _, _, end in timings.intervals), default=0.0)
        start = began_at + before + np.concatenate([[0.0], np.cumsum(seconds)[:-1]]) if len(seconds) else seconds
    wait_s = np.zeros(len(seconds)) if timings.wait_s is None else np.minimum(timings.wait_s * per_entry, seconds)
    done = seconds > 0
    return Entries(
        start[done],
        (start + seconds)[done],
        (timings.first_round + per_entry * np.arange(len(seconds)))[done],
        np.full(int(done.sum()), per_entry),
        seconds[done],
        wait_s[done],
        timings.waited_for[done],
        timings.wait_s is not None,
        tells_times,
        _stored_s(timings)[done],
    )


def _stored_s(timings: Timings) -> Floats:
    """Return the seconds of the checkpoints behind each entry; 0 where the times of rounds are unknown."""
    stored_s = np.zeros(len(timings.round_s))
    if timings.starts_s is None:
        return stored_s
    for start, end in ((start, end) for phase, start, end in timings.intervals if phase == "checkpoint"):
        at = int(np.searchsorted(timings.starts_s, start, side="right")) - 1
        if at >= 0:
            stored_s[at] += end - start
    return stored_s


def buckets_of(entries: Entries, most: int, window: tuple[float, float] | None = None) -> list[Bucket]:
    """Return an attempt's rounds in at most this many bars of about equal time.

    Args:
        entries: The rounds.
        most: The largest number of bars.
        window: Draw only what overlaps the time from the first to the second of these seconds; None for all.
    """
    if window is not None:
        low = int(np.searchsorted(entries.end, window[0], side="right"))
        high = int(np.searchsorted(entries.start, window[1], side="left"))
        entries = entries._replace(**{name: getattr(entries, name)[low:high] for name in Entries._fields[:7]})
    count = len(entries.start)
    if count == 0:
        return []
    first = np.arange(count) if count <= most else _first_of_groups(entries.start, most)
    last = np.append(first[1:], count) - 1
    busy_s, wait_s = np.add.reduceat(entries.busy_s, first), np.add.reduceat(entries.wait_s, first)
    columns = (
        np.round(entries.start[first], 6),
        np.round(entries.end[last], 6),
        entries.first_round[first],
        np.add.reduceat(entries.rounds, first),
        np.round(np.maximum(0.0, busy_s - wait_s), 6),
        np.round(wait_s, 6),
        _longest_peer(entries, first),
    )
    return [Bucket(*values) for values in zip(*(column.tolist() for column in columns), strict=True)]


def _first_of_groups(start: Floats, most: int) -> Whole:
    """Divide entries into at most this many groups by equal spans of time; return the first of each."""
    span = max(float(start[-1] - start[0]), 1e-9)
    group = np.clip(np.floor((start - start[0]) / span * most), 0, most - 1).astype(np.int64)
    group = np.maximum.accumulate(group)  # a clock may have been set back
    return np.flatnonzero(np.diff(group, prepend=-1))


def _longest_peer(entries: Entries, first: Whole) -> Whole:
    """Return for each group the rank that was waited for longest in it."""
    peers, which = np.unique(entries.waited_for, return_inverse=True)
    if len(peers) == 1:
        return np.full(len(first), peers[0])
    group = np.zeros(len(entries.start), np.int64)
    group[first[1:]] = 1
    cells = np.cumsum(group) * len(peers) + which
    # Whoever is waited for at all goes before nobody.
    weight = entries.wait_s + np.where(entries.waited_for == NOBODY, 0.0, 1e-12)
    sums = np.bincount(cells, weight, minlength=len(first) * len(peers)).reshape(len(first), len(peers))
    longest: Whole = peers[sums.argmax(axis=1)]
    return longest

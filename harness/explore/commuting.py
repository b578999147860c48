"""Overlaps that cannot differ: two calls that do not touch the same thing have the same effect in either order.

    hold 5, until 2    delivery 1: 1 2 3 4           5 6        | delivery 2:     1 2         3 4 5 6
    hold 5, until 3    delivery 1: 1 2 3 4             5 6      | delivery 2:     1 2 3         4 5 6

The two differ by the order of the second delivery's call 3 and the first one's calls 5 and 6. If it commutes with both,
as seen in the run of the first overlap, the second one need not be run. This is dynamic partial-order reduction
(Flanagan and Godefroid 2005, Dynamic Partial-Order Reduction for Model Checking Software) for two points.
"""

from collections.abc import Sequence

from harness.explore.records import CallRecord, Play
from harness.explore.schedule import Overlap

_READS = ("Get", "Head", "List", "Describe", "Query", "Scan", "BatchGet")
# Whoever is invoked may do anything, and what is received depends on what others have sent.
_TOUCHES_ALL = ("Invoke", "Receive")


def commute(one: CallRecord, other: CallRecord) -> bool:
    """Return whether two calls have the same effect in either order."""
    if any(call.operation.startswith(_TOUCHES_ALL) or not call.target for call in (one, other)):
        return False
    if one.service != other.service or (one.operation.startswith(_READS) and other.operation.startswith(_READS)):
        return True
    # A bucket's list contains its objects.
    return not (one.target.startswith(other.target) or other.target.startswith(one.target))


def like(play: Play, overlap: Overlap, others: Sequence[Overlap]) -> list[Overlap]:
    """Return those of other overlaps that have the same outcome as one that was played.

    Args:
        play: What was seen when it was played.
        overlap: The one that was played; until a call, not until the end.
        others: Overlaps with the same `hold`.
    """
    if not overlap.until or play.missed or any(call.attempt > 1 or not call.delivery for call in play.calls):
        return []
    rest = [call for call in play.calls if call.delivery == 1 and call.number >= overlap.hold]
    second = {call.number: call for call in play.calls if call.delivery == 2}
    # The last of the second delivery's calls that may as well come first.
    last = overlap.until
    while last + 1 in second and all(commute(second[last + 1], call) for call in rest):
        last += 1
    if last >= max(second, default=0):
        # Nothing is left of the second delivery: also those that wait for more, or for its end, are like this one.
        return [other for other in others if not other.until or other.until > overlap.until]
    return [other for other in others if overlap.until < other.until <= last]

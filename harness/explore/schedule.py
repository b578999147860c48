"""A schedule: what strikes an invocation, at which of its calls to AWS.

    schedule   1 case  =  strikes at calls of one attempt, a second delivery of the same event, or both
    delivery   1..     the event as Lambda delivers it; a second delivery has the same event and the same request id
    attempt    1..     Lambda's tries of one delivery
    call       1..     the calls of one attempt to AWS, in the order in which they arrive

A schedule is JSON on disk and has to mean the same wherever it is read, so it holds no times: only numbers of calls.
"""

from enum import StrEnum
from typing import Annotated, Literal

import msgspec

_Counted = Annotated[int, msgspec.Meta(ge=1)]


class Blow(StrEnum):
    """What happens at a call."""

    KILL_BEFORE = "kill-before"
    """The process ends; the call never arrives."""
    KILL_AFTER = "kill-after"
    """The call takes effect; the process ends before the answer."""
    ERROR = "error"
    """The service answers with an internal error, without effect, and so it does to all the SDK's retries."""
    THROTTLE = "throttle"
    """The service answers that there were too many requests, without effect, and so it does to the SDK's retries."""
    TIMEOUT = "timeout"
    """The call takes effect, but no answer comes, and none to the SDK's retries, which have no effect."""
    TIME_LIMIT = "time-limit"
    """The call takes effect, and the function's time limit ends the environment before the answer."""


class Strike(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A blow at a call.

    Attributes:
        delivery: Which delivery of the event, from 1.
        attempt: Which attempt of that delivery, from 1.
        call: Which call of that attempt, from 1.
        blow: What happens there.
    """

    delivery: _Counted
    attempt: _Counted
    call: _Counted
    blow: Blow


class Overlap(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How two deliveries overlap: each is held at one point, so that their calls have one order.

        delivery 1   1 .. hold-1 |                | hold .. end |
        delivery 2               | 1 .. until     |             | until+1 .. end
                                                                  (until = 0: all of delivery 2 comes first)

    A delivery that ends while the other is held releases it.

    Attributes:
        hold: Delivery 1 is held before this call.
        until: It goes on when delivery 2 has had the answer to this call; 0: when delivery 2 has ended.
            From then on delivery 2 is held before its next call, until delivery 1 has ended.
    """

    hold: _Counted
    until: Annotated[int, msgspec.Meta(ge=0)]


class Schedule(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """One case; the empty schedule is the undisturbed run.

    Attributes:
        strikes: Blows at calls; each hits once.
        second: Whether the event is delivered a second time: after the first delivery has ended, or at the same time.
        overlap: With `second="overlap"`, how the two overlap.
    """

    strikes: tuple[Strike, ...] = ()
    second: Literal["", "after", "overlap"] = ""
    overlap: Overlap | None = None

    def __post_init__(self) -> None:
        if (self.second == "overlap") != (self.overlap is not None):
            raise ValueError('`overlap` belongs to second="overlap", and to nothing else')

"""What a stage saw while it played a schedule: each call to AWS, each ending, each address past the proxy."""

from typing import Literal

import msgspec

from harness.explore.schedule import Blow

EndingKind = Literal["returned", "raised", "killed", "timed-out"]


class CallRecord(msgspec.Struct, kw_only=True):
    """One call to AWS; the SDK's own retries of a call are part of it.

    Attributes:
        delivery: Which delivery of the event made it, from 1; 0 for a function that the explored one invoked.
        attempt: Which attempt of its invocation made it, from 1.
        number: Which call of that attempt it is, from 1.
        function: The function that made it.
        service: The service's signing name: `s3`, `dynamodb`, `lambda`, ...
        operation: AWS's name of the operation, for example `PutItem`.
        target: What it is about, for people: `s3://bucket/key`, a table, a queue; empty if that is unknown.
        effect: Whether the service has carried it out.
        status: The status of the service's own answer; None if the call never reached the service.
        blow: What struck it; None if nothing did.
        at_s: When it arrived, seconds since the play began.
        request: A short text of its body.
        tries: How often the SDK sent it.
    """

    delivery: int
    attempt: int
    number: int
    function: str
    service: str
    operation: str
    target: str = ""
    effect: bool = False
    status: int | None = None
    blow: Blow | None = None
    at_s: float = 0.0
    request: str = ""
    tries: int = 1


class Ending(msgspec.Struct, frozen=True, kw_only=True):
    """How one attempt of a delivery ended.

    Attributes:
        delivery: Which delivery of the event, from 1.
        attempt: Which attempt of it, from 1.
        kind: How it ended.
        payload: The decoded answer; text that was cut if it is long.
        error: The error's type and message; empty if it returned.
    """

    delivery: int
    attempt: int
    kind: EndingKind
    payload: object = None
    error: str = ""


class Play(msgspec.Struct, kw_only=True):
    """One schedule, played to the end of every delivery, attempt and callee.

    Attributes:
        calls: The calls in the order in which they arrived.
        endings: How each attempt ended, in the order of deliveries and attempts.
        outside: The addresses, `host:port`, that functions connected to past the proxy.
        missed: What the schedule asked for and did not happen, in words: a strike at a call that never came, ...
        seconds: How long it took, the reset before it included.
    """

    calls: list[CallRecord] = []
    endings: list[Ending] = []
    outside: list[str] = []
    missed: list[str] = []
    seconds: float = 0.0

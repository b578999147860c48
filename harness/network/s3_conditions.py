"""S3 as functions see it: how long each request takes, how fast its bytes pass, and which requests are too many.

    function            proxy                              S3
    request   ------->  prefix above its rate? 503 SlowDown
    body      ------->  the function's bucket, then S3's bandwidth ------->
                        the draw begins: with the request (read), with the end of its body (write)
    answer    <-------  not before the draw has passed; S3's own time counts as part of it  <-------
    body      <-------  S3's bandwidth, then the function's bucket  <-------

Bytes pass by the clock of what is emulated: where this machine was slow, those that follow catch up.
"""

from dataclasses import dataclass, field

from harness.network.conditions import FunctionNetwork, NetworkOfFunctions
from harness.network.conditions.function_network import number_of
from harness.network.request_limit import Kind, RequestLimit, S3Request

LATENCY_OF: dict[Kind, str] = {"read": "s3_latency", "write": "s3_write_latency"}


class S3Conditions:
    """The emulated S3 of all functions.

    Args:
        functions: The functions' networks.
    """

    def __init__(self, functions: NetworkOfFunctions) -> None:
        self._tally = functions.tally
        reads, writes = (number_of(functions.network, name) for name in ("s3_reads", "s3_writes"))
        self._limit = RequestLimit(reads, writes)

    def admits(self, request: S3Request, now: float) -> bool:
        """Return whether a request's prefix, if it has one, has had fewer requests within a second than S3 serves."""
        return not request.prefix or self._limit.admits(request, now)

    def begin(self, function: FunctionNetwork, request: S3Request, now: float) -> "S3Trip":
        """Begin a request of a function, which arrived now.

        Args:
            function: The function's network.
            request: The request.
            now: The time, s.
        """
        latency = LATENCY_OF[request.kind]
        return S3Trip(self, function, request.kind, arrived=now, latency_s=function.draw_s(latency))

    def count(self, trip: "S3Trip", answered_at: float) -> None:
        """Record what was drawn for a request, and what its function saw."""
        delivered_s = answered_at - trip.received_at
        self._tally.add(LATENCY_OF[trip.kind], trip.function.zone, trip.latency_s, delivered_s)


@dataclass
class S3Trip:
    """One request and its answer. Its methods return the time at which something may pass; the proxy waits until then.

    Attributes:
        conditions: What it takes place in.
        function: The network of the function that sends it.
        kind: Whether it reads or writes.
        arrived: When it arrived, s.
        latency_s: How long S3 takes for it, as drawn.
        received_at: When S3 has all of it: its body's last byte has passed.
    """

    conditions: S3Conditions
    function: FunctionNetwork
    kind: Kind
    arrived: float
    latency_s: float
    received_at: float = field(init=False)

    def __post_init__(self) -> None:
        self.received_at = self.arrived

    def upload(self, count: int, now: float) -> float:
        """Pass bytes of the request's body; return when S3 has them.

        Args:
            count: How many.
            now: When the proxy has received them.
        """
        # By the emulated clock, the function has sent all of the body when it sends the request.
        passed_at = self.function.s3_writes.pass_bytes(count, self.function.sent.pass_bytes(count, self.arrived))
        # A function that takes its time to send has S3 wait.
        self.received_at = max(passed_at, now)
        return passed_at

    @property
    def answer_at(self) -> float:
        """When the first byte of the answer reaches the function, at the earliest."""
        return self.received_at + self.latency_s

    def download(self, count: int) -> float:
        """Pass bytes of the answer's body; return when the function has them."""
        passed_at = self.answer_at
        if self.kind == "read":
            passed_at = self.function.s3_reads.pass_bytes(count, passed_at)
        return self.function.received.pass_bytes(count, passed_at)

"""Calls of AWS's APIs that fail because a rehearsal wants them to: throttled, refused, signed with what has expired.

The control plane (moto) and the Lambda service (the gateway) take the same plans, each for the calls that it answers.
"""

import threading
from collections.abc import Callable
from typing import Annotated

import msgspec

EVERY = "*"


class CallFault(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Calls that fail.

    Attributes:
        error: AWS's code of the error, for example `Throttling` or `ExpiredToken`.
        service: The service as it signs, for example `cloudformation`; `*` for every one.
        action: The operation, for example `CreateChangeSet`; `*` for every one, and the only choice for S3.
        message: What the service says.
        status: HTTP status.
        times: How many calls fail; None for all.
    """

    error: Annotated[str, msgspec.Meta(pattern="^[A-Za-z0-9.]+$")]
    service: str = EVERY
    action: str = EVERY
    message: str = "as planned"
    status: Annotated[int, msgspec.Meta(ge=400, le=599)] = 400
    times: int | None = None


class CallFaults:
    """The faults in force, and how much of them is used up."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._faults: tuple[CallFault, ...] = ()
        self._used: list[int] = []

    def put(self, faults: tuple[CallFault, ...]) -> None:
        """Replaces all faults."""
        with self._lock:
            self._faults, self._used = faults, [0] * len(faults)

    def strike(self, service: str, action: Callable[[], str]) -> CallFault | None:
        """The fault that hits a call, which counts as one of its times; None when there is none.

        Args:
            service: The service that is called.
            action: Tells the operation; asked only when there are faults of some operation.
        """
        if not self._faults:
            return None
        with self._lock:
            for number, fault in enumerate(self._faults):
                used_up = fault.times is not None and self._used[number] >= fault.times
                if used_up or fault.service not in (EVERY, service) or fault.action not in (EVERY, action()):
                    continue
                self._used[number] += 1
                return fault
        return None

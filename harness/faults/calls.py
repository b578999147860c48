"""AWS API calls that a rehearsal makes fail: throttled, denied, or signed with expired credentials.

The control plane (moto) and the Lambda service (the gateway) accept the same plans, each for the calls it serves.
"""

import threading
from collections.abc import Callable
from typing import Annotated

import msgspec

EVERY = "*"


class CallFault(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Calls that fail.

    Attributes:
        error: AWS's error code, for example `Throttling` or `ExpiredToken`.
        service: The service's signing name, for example `cloudformation`; `*` matches every service.
        action: The operation, for example `CreateChangeSet`; `*` matches every operation, the only choice for S3.
        message: The message of the service's error.
        status: The HTTP status.
        times: How many calls fail; None for all of them.
    """

    error: Annotated[str, msgspec.Meta(pattern="^[A-Za-z0-9.]+$")]
    service: str = EVERY
    action: str = EVERY
    message: str = "as planned"
    status: Annotated[int, msgspec.Meta(ge=400, le=599)] = 400
    times: int | None = None


class CallFaults:
    """The active faults, and how often each has been used."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._faults: tuple[CallFault, ...] = ()
        self._used: list[int] = []

    def put(self, faults: tuple[CallFault, ...]) -> None:
        """Replace all faults."""
        with self._lock:
            self._faults, self._used = faults, [0] * len(faults)

    def take(self, service: str, action: Callable[[], str]) -> CallFault | None:
        """Return the first fault that applies to a call, counting one use of it; None if none applies.

        Args:
            service: The service that is called.
            action: Returns the operation; called only if a fault is limited to one operation.
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

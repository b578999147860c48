"""Faults of one function, whatever its events hold: for tests, where no run with ranks and rounds is needed."""

from typing import Annotated, Literal

import msgspec

from harness.errors import HarnessError
from harness.faults.plan import Count, How, Seconds

FunctionAction = Literal["kill", "throttle", "duplicate", "cold-start"]

# The keys that each action takes beside `function` and `n`.
_KEYS: dict[str, tuple[str, ...]] = {
    "kill": ("attempt", "how", "delay_s"),
    "throttle": (),
    "duplicate": ("delay_s",),
    "cold-start": ("attempt", "delay_s", "lost"),
}


class FunctionFault(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, forbid_unknown_fields=True):
    """One fault.

    Attributes:
        action: `kill` ends the handler's process, `throttle` refuses an invocation with 429, `duplicate` delivers an
            event twice, `cold-start` delays or loses the start of an environment.
        function: The function's name.
        n: How often the fault is injected.
        attempt: The attempt of an event that it applies to, from 1; None for any.
        how: How the end of a killed function appears to Lambda.
        delay_s: Seconds after the handler's start, before the second delivery, or before the environment's start.
        lost: Whether the environment never starts.
    """

    action: FunctionAction
    function: Annotated[str, msgspec.Meta(pattern=r"^[a-zA-Z0-9-_]{1,64}$")]
    n: Count = 1
    attempt: Count | None = None
    how: How = "sigkill"
    delay_s: Seconds = 0.0
    lost: bool = False


class InjectedFault(msgspec.Struct):
    """A fault with how often it was injected so far."""

    fault: FunctionFault
    times: int = 0


def check_function_fault(fault: FunctionFault) -> None:
    """Check that a fault has no key that its action does not take.

    Raises:
        HarnessError: It has one.
    """
    takes = ("action", "function", "n", *_KEYS[fault.action])
    for key in msgspec.to_builtins(fault):
        if key not in takes:
            raise HarnessError(
                f"the fault {fault.action} does not take {key}", remedy=f"it takes {', '.join(takes[1:])}"
            )


class FunctionFaults:
    """The faults of all functions."""

    def __init__(self) -> None:
        self.injected: list[InjectedFault] = []

    def add(self, fault: FunctionFault) -> None:
        """Add a fault; it is injected at the first matches."""
        self.injected.append(InjectedFault(fault))

    def clear(self) -> None:
        """Remove all faults."""
        self.injected.clear()

    def take(self, action: FunctionAction, function: str, attempt: int | None = None) -> FunctionFault | None:
        """Return the first fault that is due, counting one injection of it; None if none is."""
        for entry in self.injected:
            fault = entry.fault
            if (
                (fault.action, fault.function) == (action, function)
                and entry.times < fault.n
                and fault.attempt in (None, attempt)
            ):
                entry.times += 1
                return fault
        return None

"""Faults that a test injects from outside: environments that die, throttled events, calls to AWS that fail."""

from typing import TYPE_CHECKING, Any

import msgspec

from harness.errors import HarnessError
from harness.faults.calls import CallFault
from harness.faults.functions import FunctionFault, InjectedFault, check_function_fault
from harness.faults.plan import How

if TYPE_CHECKING:
    from harness.pytest_plugin.control import Control


class LambdaFaults:
    """The faults of one test; the reset after it removes them.

    Args:
        control: Passes them on.
    """

    def __init__(self, control: "Control") -> None:
        self._control = control
        self._calls: list[CallFault] = []

    @property
    def injected(self) -> list[InjectedFault]:
        """Return the faults of functions, each with how often it was injected so far."""
        return msgspec.json.decode(self._control.call("GET", "function-faults"), type=list[InjectedFault])

    def kill(
        self, function: object, *, attempt: int | None = None, how: How = "sigkill", after_s: float = 0.0, n: int = 1
    ) -> None:
        """Kill the function's process in the middle of an invocation.

        Args:
            function: The function, by its name or as `deploy` returned it.
            attempt: The attempt of an event, from 1; None for any.
            how: How it looks to Lambda: `sigkill`, `oom` (out of memory) or `exit`.
            after_s: Seconds after the invocation's start.
            n: How many invocations.
        """
        self._add("kill", function, attempt=attempt, how=how, delay_s=after_s, n=n)

    def throttle(self, function: object, *, n: int = 1) -> None:
        """Refuse the next n invocations with `TooManyRequestsException`; events are tried again.

        Args:
            function: The function, by its name or as `deploy` returned it.
            n: How many.
        """
        self._add("throttle", function, n=n)

    def duplicate(self, function: object, *, delay_s: float = 0.0, n: int = 1) -> None:
        """Deliver the next n events twice, as Lambda may at any time.

        Args:
            function: The function, by its name or as `deploy` returned it.
            delay_s: Seconds between the deliveries.
            n: How many.
        """
        self._add("duplicate", function, delay_s=delay_s, n=n)

    def cold_start(
        self, function: object, *, delay_s: float = 0.0, lost: bool = False, attempt: int | None = None, n: int = 1
    ) -> None:
        """Delay the start of an environment, or lose it.

        Args:
            function: The function, by its name or as `deploy` returned it.
            delay_s: Seconds.
            lost: Whether it never starts; the invocation then fails.
            attempt: The attempt of an event, from 1; None for any.
            n: How often.
        """
        self._add("cold-start", function, delay_s=delay_s, lost=lost, attempt=attempt, n=n)

    def fail_calls(
        self,
        service: str,
        action: str = "*",
        *,
        error: str,
        message: str = "as planned",
        status: int = 400,
        times: int | None = None,
    ) -> None:
        """Let calls to a service fail, those of functions and those of the test.

        Args:
            service: The service's signing name: `s3`, `sqs`, `dynamodb`, `lambda` (except Invoke), ...
            action: The operation, for example `SendMessage`; for S3, only all of them.
            error: AWS's error code, for example `ThrottlingException`.
            message: The error's message.
            status: The HTTP status.
            times: How many calls; None for all of them.
        """
        values: dict[str, Any] = {"error": error, "service": service, "action": action, "message": message}
        try:
            fault = msgspec.convert({**values, "status": status, "times": times}, CallFault)
        except msgspec.ValidationError as error_:
            raise HarnessError(f"fail_calls(): {error_}", remedy="correct that value") from error_
        self._calls.append(fault)
        if service in ("lambda", "*"):
            self._control.call("PUT", "calls", [one for one in self._calls if one.service in ("lambda", "*")])
        if service != "lambda":
            self._control.set_aws_faults({"calls": [one for one in self._calls if one.service != "lambda"]})

    def forget(self) -> None:
        """Begin anew with a service that has no faults."""
        self._calls.clear()

    def _add(self, action: str, function: object, **values: object) -> None:
        given = {key: value for key, value in values.items() if value is not None}
        try:
            fault = msgspec.convert(
                {"action": action, "function": str(getattr(function, "name", function)), **given}, FunctionFault
            )
        except msgspec.ValidationError as error:
            raise HarnessError(f"{action.replace('-', '_')}(): {error}", remedy="correct that value") from error
        check_function_fault(fault)
        self._control.call("POST", "function-faults", fault)

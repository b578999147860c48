"""The outcome of an invocation: the function's answer, or an error in AWS's words."""

import json
from dataclasses import dataclass

from harness.gateway.logs.report_lines import Status
from harness.gateway.payloads import error_object

TIMED_OUT, OUT_OF_MEMORY, EXITED = "Sandbox.Timedout", "Runtime.OutOfMemory", "Runtime.ExitError"


@dataclass(frozen=True, slots=True)
class Answer:
    """The outcome of one invocation.

    Attributes:
        payload: The function's answer, or the error in AWS's words.
        error: AWS's `X-Amz-Function-Error`: `Unhandled`, or None on success.
        usable: Whether the environment can take another invocation.
    """

    payload: bytes
    error: str | None = None
    usable: bool = True

    @property
    def error_type(self) -> str:
        """Return the type of the error; empty if there is none."""
        if self.error is None:
            return ""
        return str((error_object(self.payload) or {}).get("errorType", self.error))

    @property
    def status(self) -> Status:
        """Return how the platform reports the invocation; that of a handler that raised an exception has succeeded."""
        if self.usable:
            return "success"
        return "timeout" if self.error_type == TIMED_OUT else "error"


# Stands for an error that RIE answered without a body.
SILENT = Answer(b"", "Unhandled", usable=False)
# Stands for an invocation that has not ended within its time.
LATE = Answer(b"", "Unhandled", usable=False)


def failure(error_type: str, message: str) -> Answer:
    """Return the answer for an invocation that ended its environment."""
    body = json.dumps({"errorType": error_type, "errorMessage": message}).encode()
    return Answer(body, "Unhandled", usable=False)


def sandbox_failure(message: str) -> Answer:
    """Return the answer for an invocation that failed through no fault of the function."""
    return failure("Sandbox.Failure", message)

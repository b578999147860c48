"""The outcome of an invocation."""

import base64
import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from harness.gateway.payloads import error_object

if TYPE_CHECKING:
    from mypy_boto3_lambda.type_defs import InvocationResponseTypeDef


class FunctionFailed(AssertionError):
    """The function failed, and the test had asked for its payload."""


@dataclass(frozen=True)
class FunctionError:
    """The error of a function.

    Attributes:
        kind: `Unhandled`, as in `X-Amz-Function-Error`.
        type: `errorType`: the exception's class, `Sandbox.Timedout`, `Runtime.ImportModuleError`, ...
        message: `errorMessage`.
        stack_trace: `stackTrace`; empty if the function did not raise.
    """

    kind: str
    type: str
    message: str
    stack_trace: tuple[str, ...] = ()

    def __str__(self) -> str:
        return "\n".join([*(line.rstrip("\n") for line in self.stack_trace), f"{self.type}: {self.message}"])


@dataclass(frozen=True)
class LambdaResult:
    """The answer to an invocation.

    Attributes:
        request_id: AWS's id of the request.
        status: The HTTP status: 200, for an event 202.
        raw: The answer's bytes; empty for an event.
        error: Why the function failed; None if it succeeded, and for an event, which has not run yet.
        log: The last 4 KB of the invocation's log; empty for an event.
        version: The version that ran.
    """

    request_id: str
    status: int
    raw: bytes
    error: FunctionError | None = None
    log: str = field(default="", repr=False)
    version: str = ""

    @property
    def payload(self) -> Any:  # noqa: ANN401 - any JSON
        """Return the decoded answer; None for an event.

        Raises:
            FunctionFailed: The function failed.
        """
        __tracebackhide__ = True
        if self.error is not None:
            raise FunctionFailed(f"the function failed\n{self.error}\n\n{self.log}")
        return json.loads(self.raw) if self.raw else None


def result_of(answer: "InvocationResponseTypeDef") -> LambdaResult:
    """Return boto3's answer as a result."""
    raw = answer["Payload"].read()
    kind = answer.get("FunctionError")
    return LambdaResult(
        request_id=answer["ResponseMetadata"]["RequestId"],
        status=answer["StatusCode"],
        raw=raw,
        error=_error(kind, raw) if kind else None,
        log=base64.b64decode(answer.get("LogResult", "")).decode(errors="replace"),
        version=answer.get("ExecutedVersion", ""),
    )


def _error(kind: str, raw: bytes) -> FunctionError:
    body = error_object(raw) or {}
    trace = body.get("stackTrace")
    return FunctionError(
        kind,
        str(body.get("errorType", "")),
        str(body.get("errorMessage", "")),
        tuple(map(str, trace)) if isinstance(trace, list) else (),
    )

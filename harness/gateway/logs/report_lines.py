"""Lambda's own lines in a function's log, as text or as JSON events: INIT_START, START, END, REPORT.

    text    INIT_START, START, END and REPORT; INIT_REPORT only if the initialisation failed
    JSON    platform.initStart, platform.start, platform.report; with SystemLogLevel DEBUG also the others

https://docs.aws.amazon.com/lambda/latest/dg/lambda-runtime-environment.html (the lines)
https://docs.aws.amazon.com/lambda/latest/dg/telemetry-schema-reference.html (the events)
https://docs.aws.amazon.com/lambda/latest/dg/monitoring-cloudwatchlogs-log-level.html (their levels)
"""

import math
from datetime import UTC, datetime
from typing import Any, Literal

import msgspec

from harness.gateway.logs.config import SystemLevel
from harness.gateway.names import function_arn
from harness.gateway.records import Function
from harness.gateway.runtime.bootstrap import NO_LINE_END
from harness.gateway.runtime_versions import runtime_version, runtime_version_arn

Phase = Literal["init", "invoke"]
Status = Literal["success", "error", "timeout"]
ON_DEMAND = "on-demand"


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """The figures of one invocation.

    Attributes:
        duration_ms: How long it took, without the initialisation of a cold start.
        init_ms: How long the initialisation of a cold start took; None if there was none.
        memory_mb: The function's memory size.
        used_mb: The most memory that the environment has used.
        status: `success` also if the handler raised; otherwise the platform ended the invocation.
        error_type: The platform's error; empty unless the status is `error`.
    """

    duration_ms: float
    init_ms: float | None
    memory_mb: int
    used_mb: int
    status: Status = "success"
    error_type: str = ""

    @property
    def billed_ms(self) -> int:
        """Return the duration that AWS bills, which includes the initialisation since August 2025.

        https://aws.amazon.com/blogs/compute/aws-lambda-standardizes-billing-for-init-phase/
        """
        return math.ceil(round(self.duration_ms + (self.init_ms or 0.0), 2))


class SystemLines:
    """Words Lambda's own lines of one environment; each method returns whole lines, or nothing.

    Args:
        function: The function that the environment runs.
        stream: Name of its log stream.
        initialization: How it was initialised, in AWS's words.
    """

    def __init__(self, function: Function, stream: str, initialization: str = ON_DEMAND) -> None:
        self._function = function
        self._stream = stream
        self._initialization = initialization

    def init_start(self) -> str:
        """Return the line of a cold start."""
        version, arn = self._runtime()
        if not self._function.logging.is_json:
            return f"INIT_START Runtime Version: {version}\tRuntime Version ARN: {arn}\n" if version else ""
        runtime = {"runtimeVersion": version, "runtimeVersionArn": arn} if version else {}
        record = {
            "initializationType": self._initialization,
            "phase": "init",
            **runtime,
            "functionName": self._function.name,
            "functionVersion": self._function.version,
            "instanceId": self._stream,
            "instanceMaxMemory": self._function.memory_mb * 2**20,
        }
        return self._event("platform.initStart", record, "INFO" if version else "DEBUG")

    def init_end(self, phase: Phase, milliseconds: float, status: Status, error_type: str = "") -> str:
        """Return the lines of an initialisation that has ended."""
        error = {"errorType": error_type} if error_type else {}
        always = self._initialization != ON_DEMAND
        if not self._function.logging.is_json:
            if status == "success" and not always:
                return ""
            named = f"\tError Type: {error_type}" if error_type else ""
            ended = "" if status == "success" else f"\tStatus: {status}{named}"
            return f"INIT_REPORT Init Duration: {milliseconds:.2f} ms\tPhase: {phase}{ended}\n"
        done = {"initializationType": self._initialization, "phase": phase, "status": status, **error}
        level: SystemLevel = "DEBUG" if status == "success" else "WARN"
        report = {**done, "metrics": {"durationMs": round(milliseconds, 3)}}
        return self._event("platform.initRuntimeDone", done, level) + self._event(
            "platform.initReport", report, "INFO" if status == "success" and always else level
        )

    def start(self, request_id: str) -> str:
        """Return the line of an invocation that begins."""
        if not self._function.logging.is_json:
            return f"START RequestId: {request_id} Version: {self._function.version}\n"
        record = {
            "requestId": request_id,
            "functionArn": function_arn(self._function.name),
            "version": self._function.version,
        }
        return self._event("platform.start", record, "INFO")

    def end(self, request_id: str, report: Report, produced_bytes: int) -> str:
        """Return the lines of an invocation that has ended.

        Args:
            request_id: Its request id.
            report: Its figures.
            produced_bytes: The size of the function's answer.
        """
        if not self._function.logging.is_json:
            return f"END RequestId: {request_id}\n{_report_line(request_id, report)}"
        error = {"errorType": report.error_type} if report.error_type else {}
        done = {
            "requestId": request_id,
            "status": report.status,
            **error,
            "metrics": {"durationMs": round(report.duration_ms, 3), "producedBytes": produced_bytes},
        }
        failed = report.status != "success"
        metrics: dict[str, Any] = {
            "durationMs": round(report.duration_ms, 3),
            "billedDurationMs": report.billed_ms,
            "memorySizeMB": report.memory_mb,
            "maxMemoryUsedMB": report.used_mb,
        }
        if report.init_ms is not None:
            metrics["initDurationMs"] = round(report.init_ms, 3)
        record = {"requestId": request_id, "metrics": metrics, "status": report.status, **error}
        return self._event("platform.runtimeDone", done, "WARN" if failed else "DEBUG") + self._event(
            "platform.report", record, "WARN" if failed else "INFO"
        )

    def _runtime(self) -> tuple[str, str]:
        """Return the runtime's version and its ARN; both are empty for an image, which brings its own."""
        runtime = self._function.runtime
        if not runtime or self._function.image is not None:
            return "", ""
        return runtime_version(runtime), runtime_version_arn(runtime)

    def _event(self, kind: str, record: dict[str, Any], level: SystemLevel) -> str:
        if not self._function.logging.logs_system(level):
            return ""
        event = {"time": f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%S.%f}"[:-3] + "Z", "type": kind, "record": record}
        return msgspec.json.encode(event).decode() + NO_LINE_END + "\n"


def _report_line(request_id: str, report: Report) -> str:
    init = "" if report.init_ms is None else f"Init Duration: {report.init_ms:.2f} ms\t"
    status = "" if report.status == "success" else f"Status: {report.status}"
    if report.error_type:
        status += f"\tError Type: {report.error_type}"
    return (
        f"REPORT RequestId: {request_id}\tDuration: {report.duration_ms:.2f} ms\tBilled Duration: {report.billed_ms} ms"
        f"\tMemory Size: {report.memory_mb} MB\tMax Memory Used: {report.used_mb} MB\t{init}{status}\n"
    )

"""The short-lived function of a calibration: made from the worker's image, invoked, and removed whatever happens."""

import base64
import queue
import re
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import msgspec
from botocore.exceptions import BotoCoreError, ClientError

from harness.aws.errors import aws_errors, code_of_error
from harness.aws.function_deployer import create_or_update
from harness.calibrate.place import CalibrationPlace
from harness.deploy.calibration_function import CALIBRATION_FUNCTION
from harness.deploy.stack import Log
from harness.errors import HarnessError
from harness.runs.log_lines import read_report
from harness.system.probes import wait_until
from training.errors import TrainingError
from training.probe.probing import FOLDER, RELEASED
from training.run.results import RunFolder

# A cold start of a large image on a busy machine.
STARTED_WITHIN_S = 100.0
_ANSWERED_WITHIN_S = 200.0
# After an interruption, for environments that were starting.
_SETTLED_WITHIN_S = 15.0


class ProbeAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """What a probe returns; each kind of probe fills its own fields. See `training.probe.probing`."""

    environment: str
    memory_mb: int
    cold: dict[str, float] | None
    seconds: float
    zone: str = ""
    round_trips_s: list[float] = []
    writes_s: list[float] = []
    reads_s: list[float] = []
    object_bytes: int = 0
    bin_s: float = 0.0
    bytes: list[int] = []
    answered: list[int] = []
    refused: list[int] = []
    gflops: float = 0.0
    rounds_per_s: float = 0.0


@dataclass(frozen=True)
class Probed:
    """An invocation of the probe.

    Attributes:
        answer: What it returned.
        took_s: From the call to its answer.
    """

    answer: ProbeAnswer
    took_s: float

    @property
    def before_s(self) -> float:
        """The time that was neither the handler's nor its module's: the call's way, and the start of an environment."""
        phases = self.answer.cold or {}
        return self.took_s - self.answer.seconds - sum(phases.get(name, 0.0) for name in ("imports", "s3_client"))


@dataclass
class ProbeFunction:
    """The function, while it exists.

    Attributes:
        place: Where it is.
        name: The calibration, in the names of its objects and keys.
        log: Called with the progress.
        gb_s: What was billed so far.
        invocations: How many there were.
    """

    place: CalibrationPlace
    name: str
    log: Log
    gb_s: float = 0.0
    invocations: int = 0
    _generation: int = 0
    _under_way: int = 0
    _changed: threading.Condition = field(default_factory=threading.Condition)

    def renew(self, memory_mb: int = 0) -> None:
        """Give the function a memory size (by default the worker's), and leave it without environments."""
        self._generation += 1
        create_or_update(self.place.managing, self.place.desired(memory_mb or self.place.memory_mb, self._generation))

    def invoke(self, probe: str, **fields: Any) -> Probed:  # noqa: ANN401 - fields of `training.probe.event.Probe`
        """Invoke the probe once, and wait for its answer.

        Raises:
            HarnessError: It could not be invoked, or it failed.
        """
        event = {
            "probe": probe,
            "run_id": self._run_id,
            "bucket": self.place.bucket,
            "host": self.place.host,
            "port": self.place.port,
            **fields,
        }
        body, began = msgspec.json.encode(event), time.perf_counter()
        self._count(1)
        try:
            with aws_errors(f"invoking {CALIBRATION_FUNCTION}"):
                reply: Any = self.place.invoking.invoke(FunctionName=CALIBRATION_FUNCTION, Payload=body, LogType="Tail")
                payload = reply["Payload"].read()
        except HarnessError as error:
            raise _with_remedy(error) from error
        finally:
            self._count(-1)
        took_s = time.perf_counter() - began
        self._bill(reply)
        if "FunctionError" in reply:
            raise probe_failed(probe, payload)
        return Probed(msgspec.json.decode(payload, type=ProbeAnswer), took_s)

    def at_once(self, probe: str, count: int, **fields: Any) -> list[Probed]:  # noqa: ANN401 - as above
        """Invoke the probe so many times at once."""
        calls = _Calls()
        for _ in range(count):
            calls.add(lambda: self.invoke(probe, **fields))
        return calls.results()

    def starts(self, count: int, *, one_by_one: bool) -> list[Probed]:
        """Start so many environments; each one is held until the last one has started.

        The very first environment of a generation is started before them and not returned: it waits for what Lambda
        does once for a new configuration.

        Args:
            count: How many.
            one_by_one: Whether the next one is only invoked when the one before has begun.

        Raises:
            HarnessError: One of them has not begun in time.
        """
        self._open_connections(count + 1)
        calls, folder = _Calls(), RunFolder(self.place.s3, self.place.bucket, self._run_id)

        def begun(mark: int) -> bool:
            return calls.failed or folder.read(f"{FOLDER}started/{mark}") is not None

        def wait_for(mark: int) -> None:
            if not wait_until(lambda: begun(mark), STARTED_WITHIN_S):
                raise HarnessError(
                    f"start {mark} of {count} has not begun within {STARTED_WITHIN_S:g} s",
                    f"function {CALIBRATION_FUNCTION}",
                    "look into its subnets and its role, or ask for fewer starts: --n-starts",
                )

        with aws_errors("the starts"):
            for mark in range(count + 1):
                calls.add(partial(self.invoke, "start", mark=mark, seconds=STARTED_WITHIN_S))
                if one_by_one or mark == 0:
                    wait_for(mark)
            for mark in range(count + 1):
                wait_for(mark)
            folder.write(RELEASED, b"")
        found = calls.results()[1:]
        warm = [one for one in found if one.answer.cold is None]
        if warm:
            raise HarnessError(
                f"{len(warm)} of {count} starts found a warm environment",
                f"function {CALIBRATION_FUNCTION}",
                "another command changes or invokes it: run the calibration again when that has ended",
            )
        return found

    def settle(self) -> None:
        """Let environments that are held go, and wait for a while until no invocation is under way.

        What is still starting would store its mark after the objects were removed.
        """
        if self._under_way:
            RunFolder(self.place.s3, self.place.bucket, self._run_id).write(RELEASED, b"")
        with self._changed:
            self._changed.wait_for(lambda: not self._under_way, _SETTLED_WITHIN_S)

    def _count(self, more: int) -> None:
        with self._changed:
            self._under_way += more
            self._changed.notify_all()

    @property
    def _run_id(self) -> str:
        return f"{self.name}-{self._generation}"

    def _open_connections(self, count: int) -> None:
        """Have a connection for each call that follows: opening one takes several trips to the region."""
        calls = _Calls()
        for _ in range(count):
            calls.add(lambda: self.place.invoking.invoke(FunctionName=CALIBRATION_FUNCTION, InvocationType="DryRun"))
        with aws_errors(f"invoking {CALIBRATION_FUNCTION}"):
            calls.results()

    def _bill(self, reply: Any) -> None:  # noqa: ANN401 - boto3's answer
        text = base64.b64decode(reply.get("LogResult", "")).decode(errors="replace")
        reports = [report for line in text.splitlines() if (report := read_report(line)) is not None]
        with self._changed:
            self.invocations += 1
            self.gb_s += sum(report.billed_ms / 1e3 * report.memory_mb / 1024 for report in reports)


class _Calls:
    """Calls in threads that nobody waits for once this command ends: an invocation may take minutes."""

    def __init__(self) -> None:
        self._done: queue.SimpleQueue[tuple[int, Any, Exception | None]] = queue.SimpleQueue()
        self._count = 0
        self.failed = False

    def add(self, call: Callable[[], Any]) -> None:
        """Begin a call."""
        number, self._count = self._count, self._count + 1

        def work() -> None:
            try:
                self._done.put((number, call(), None))
            except Exception as error:  # noqa: BLE001 - `results` raises it
                self.failed = True
                self._done.put((number, None, error))

        threading.Thread(target=work, name=f"call-{number}", daemon=True).start()

    def results(self) -> list[Any]:
        """Wait for all calls, and return what they returned, in their order.

        Raises:
            Exception: What one of them raised.
            HarnessError: They take too long.
        """
        found: dict[int, Any] = {}
        deadline = time.monotonic() + _ANSWERED_WITHIN_S
        while len(found) < self._count:
            try:
                number, result, error = self._done.get(timeout=max(0.0, deadline - time.monotonic()))
            except queue.Empty as late:
                missing = self._count - len(found)
                raise HarnessError(f"{missing} invocations have not ended within {_ANSWERED_WITHIN_S:g} s") from late
            if error is not None:
                raise error
            found[number] = result
        return [found[number] for number in range(self._count)]


def _with_remedy(error: HarnessError) -> HarnessError:
    cause = error.__cause__
    if isinstance(cause, ClientError) and code_of_error(cause) == "TooManyRequestsException":
        return HarnessError(
            "the account's concurrency is used up",
            str(cause)[:400],
            "calibrate when no other function runs, or with fewer starts: --n-starts",
        )
    return error


def probe_failed(probe: str, payload: bytes) -> HarnessError:
    """Return the error of a probe that failed.

    Args:
        probe: What was measured.
        payload: The function's answer: the error as Lambda's runtime describes it.
    """
    try:
        problem = msgspec.json.decode(payload, type=dict[str, Any])
    except msgspec.DecodeError:
        problem = {}
    words = str(problem.get("errorMessage", payload[:200].decode(errors="replace"))).splitlines() or [""]
    if re.search(r"unknown job field `(probe|bucket)`", words[0]):
        return HarnessError(
            "the deployed worker is older than this command, and has no probe",
            words[0],
            "build, verify and deploy its image again: harness images build, harness images verify, harness deploy",
        )
    return HarnessError(f"the probe `{probe}` failed: {problem.get('errorType', 'error')}", words[0])


@contextmanager
def probe_function(place: CalibrationPlace, name: str, log: Log) -> Iterator[ProbeFunction]:
    """Make the function for the duration of the block; remove it, its log and all objects afterwards.

    Args:
        place: Where.
        name: The calibration.
        log: Called with the progress.

    Raises:
        HarnessError: Lambda or S3 refuses.
    """
    function = ProbeFunction(place, name, log)
    try:
        yield function
    except BaseException as error:
        with suppress(TrainingError):  # S3 is away, and the next line says so
            function.settle()
        for line in clean_up(place, f"runs/{name}", log):
            error.add_note(line)
        raise
    left = clean_up(place, f"runs/{name}", log)
    if left:
        raise HarnessError("the calibration is over, but something of it is left", *left[:2])


def clean_up(place: CalibrationPlace, prefix: str, log: Log) -> list[str]:
    """Remove the function, its log and the objects of a calibration; return what could not be removed, in words."""
    log("removing the calibration's function and objects")
    steps: list[tuple[str, Callable[[], object]]] = [
        (f"function {CALIBRATION_FUNCTION}", lambda: _delete_function(place)),
        (f"objects s3://{place.bucket}/{prefix}*", lambda: _delete_objects(place, prefix)),
        (f"log group /aws/lambda/{CALIBRATION_FUNCTION}", lambda: _delete_log(place)),
    ]
    left = []
    for what, step in steps:
        try:
            step()
        except (ClientError, BotoCoreError) as error:
            left.append(f"{what} could not be removed: {error}"[:400])
    return left


def _delete_function(place: CalibrationPlace) -> None:
    with suppress(place.managing.exceptions.ResourceNotFoundException):
        place.managing.delete_function(FunctionName=CALIBRATION_FUNCTION)


def _delete_objects(place: CalibrationPlace, prefix: str) -> None:
    pages = place.s3.get_paginator("list_objects_v2").paginate(Bucket=place.bucket, Prefix=prefix)
    for page in pages:
        for entry in page.get("Contents", []):
            place.s3.delete_object(Bucket=place.bucket, Key=entry["Key"])


def _delete_log(place: CalibrationPlace) -> None:
    with suppress(place.logs.exceptions.ResourceNotFoundException):
        place.logs.delete_log_group(logGroupName=f"/aws/lambda/{CALIBRATION_FUNCTION}")

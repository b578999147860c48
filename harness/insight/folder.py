"""The view of a run whose records lie in a folder: its folder in S3, or the folder of a kept run."""

from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import Protocol, TypeVar

import msgspec

from harness.errors import HarnessError
from harness.insight.facts import DOCUMENTS, WORKER_RECORDS
from harness.insight.names import attempt_of
from harness.insight.ranks import Window
from harness.insight.recorder import BUCKETS, RunRecorder
from harness.insight.view import RunView
from training.errors import InputError
from training.run.invoking import CONNECTIONS

Line = TypeVar("Line")


class ReadableFolder(Protocol):
    """A run's folder, for reading."""

    @property
    def run_id(self) -> str:
        """The run."""

    def read(self, name: str) -> bytes | None:
        """Return an object's bytes; None when it is absent."""

    def names(self, folder: str) -> list[str]:
        """Return the names of the objects in a folder such as `workers/`."""


class _Logged(msgspec.Struct):
    """A line of `log.jsonl`; see `harness.history`."""

    at: float
    text: str
    request_id: str = ""
    function: str = ""


def read_view(
    folder: ReadableFolder,
    *,
    target: str = "local",
    window: Window | None = None,
    buckets: int = BUCKETS,
    lines: Iterable[tuple[float, str, str]] = (),
) -> RunView:
    """Return the view of a run that has ended, or of one that goes on, as far as its records go.

    What cannot be read is left out, and named in `gaps`.

    Args:
        folder: The run's folder.
        target: Where the run was, if no record tells.
        window: Draw only the rounds between these seconds, more finely; None for all.
        buckets: At most so many bars for the rounds of each attempt.
        lines: Lines of its log that the folder does not hold: time (seconds since the epoch), request id, text.
    """
    recorder = read_records(folder, target=target)
    for at, request_id, text in lines:
        recorder.add_line(at, request_id, text)
    return recorder.view(window=window, buckets=buckets)


def read_records(folder: ReadableFolder, *, target: str = "local") -> RunRecorder:
    """Return a recorder with all records of a folder, so that several windows of one run are drawn from it."""
    recorder = RunRecorder(folder.run_id, target=target, live=False)
    names = [name for kind in (*WORKER_RECORDS, "telemetry/") for name in folder.names(kind) if attempt_of(name)]
    # The first read of a folder in S3 may gather what others then share, so it is made alone.
    bodies = [_read(folder, name, recorder) for name in DOCUMENTS]
    with ThreadPoolExecutor(CONNECTIONS) as pool:
        bodies += pool.map(lambda name: _read(folder, name, recorder), names)
    for name, body in zip([*DOCUMENTS, *names], bodies, strict=True):
        if body is not None:
            recorder.add_record(name, body)
    if (body := _read(folder, "summary.json", recorder)) is not None:
        try:
            recorder.add_summary(msgspec.json.decode(body, type=dict))
        except (msgspec.MsgspecError, ValueError, RecursionError):
            recorder.add_problem("summary.json", "summary.json is not what a run leaves there")
    _each_line(folder, "log.jsonl", _Logged, lambda one: recorder.add_line(one.at, one.request_id, one.text), recorder)
    _each_line(folder, "invocations.jsonl", dict, recorder.add_invocation, recorder)
    return recorder


def read_log(folder: ReadableFolder, view: RunView) -> list[dict[str, object]]:
    """Return the lines of a run's log, the oldest first: `at`, `function`, `request_id`, `rank`, `run_id`, `text`.

    Args:
        folder: The run's folder.
        view: Its view, which knows the rank of each invocation.
    """
    ranks: dict[str, int | None] = {one.request_id: one.rank for one in view.invocations}
    ranks |= {one.request_id: rank.rank for rank in view.ranks for one in rank.attempts if one.request_id}
    try:
        body = folder.read("log.jsonl") or b""
    except (InputError, HarnessError, OSError):
        return []
    found = []
    for line in body.splitlines():
        try:
            one = msgspec.json.decode(line, type=_Logged)
        except (msgspec.MsgspecError, ValueError, RecursionError):
            continue
        found.append(msgspec.structs.asdict(one) | {"rank": ranks.get(one.request_id), "run_id": folder.run_id})
    return sorted(found, key=lambda one: one["at"])


def _read(folder: ReadableFolder, name: str, recorder: RunRecorder) -> bytes | None:
    try:
        return folder.read(name)
    except (InputError, HarnessError, OSError) as error:
        recorder.add_problem(name, f"{name} cannot be read ({type(error).__name__})")
        return None


def _each_line(
    folder: ReadableFolder, name: str, kind: type[Line], add: Callable[[Line], None], recorder: RunRecorder
) -> None:
    """Take in each line of a file of JSON lines; the last one may be cut off."""
    body = _read(folder, name, recorder)
    damaged = 0
    decoder = msgspec.json.Decoder(kind)
    for line in (body or b"").splitlines():
        try:
            one = decoder.decode(line)
        except (msgspec.MsgspecError, ValueError, RecursionError):
            damaged += 1
            continue
        add(one)
    if damaged:
        recorder.add_problem(name, f"{damaged} lines of {name} are not what a run leaves there")

"""What a kept run consists of beside the objects of its folder in S3: `run.json`, `log.jsonl` and their limits."""

from typing import Any, Literal

import msgspec

RUN, SUMMARY, LOG, INVOCATIONS = "run.json", "summary.json", "log.jsonl", "invocations.jsonl"
# An object of these names in S3 is not the harness's.
OWN_NAMES = frozenset({RUN, SUMMARY, LOG, INVOCATIONS})

KeptStatus = Literal["running", "succeeded", "failed", "stopped", "unfinished", "damaged"]
# A run in such a state does not change any more.
FINAL = frozenset({"succeeded", "failed", "stopped"})


class KeptRecord(msgspec.Struct, frozen=True, kw_only=True):
    """`run.json`: what became of a run.

    Attributes:
        run_id: The run.
        status: How it ended; `unfinished` if its stack ended before it did.
        target: Where it ran: `local`, `rehearsal` or `aws`.
        mode: How its functions ran: `process` or `container`, or as the summary says.
        bucket: The bucket that held its folder.
        started_at: When its coordinator was invoked, seconds since the epoch.
        seconds: From then to its last result, or to its end.
        cause: Why it failed, one line; empty if it did not.
        error: The lines of the error that its user saw.
        versions: What it ran on: `harness`, `python`, `code_sha256` of the workers' package, and each image's digest.
        chosen: The keys of the job that follow from the data.
        data_bytes: Size of its partitions; 0 if unknown.
        by_hand: Whether no `harness run` followed it to its end.
        left_out: What is not kept, each with the reason.
        bytes: Size of everything that is kept.
    """

    run_id: str
    status: KeptStatus
    target: str = "local"
    mode: str = ""
    bucket: str = ""
    started_at: float
    seconds: float = 0.0
    cause: str = ""
    error: list[str] = []
    versions: dict[str, str] = {}
    chosen: dict[str, Any] = {}
    data_bytes: int = 0
    by_hand: bool = False
    left_out: list[str] = []
    bytes: int = 0


class LoggedLine(msgspec.Struct, frozen=True):
    """One line of `log.jsonl`.

    Attributes:
        at: When it was written, seconds since the epoch.
        function: The function that wrote it.
        request_id: The invocation that wrote it; empty if unknown.
        text: The line, without its line end.
    """

    at: float
    function: str
    request_id: str
    text: str

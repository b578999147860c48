"""Following a run: the log lines of its workers and the objects in its folder, until it has succeeded or failed.

Only CloudWatch Logs and S3 are read, so the same code follows a run on AWS.
`failures` decides when a run is lost.
"""

import time
from collections.abc import Callable

from harness.errors import HarnessError
from harness.runs.failures import abandoned, raise_failure, raise_out_of_memory
from harness.runs.log_lines import read_log
from harness.runs.log_tail import LogTail
from harness.runs.progress import Progress, Watcher, new_progress
from training.run.results import RunFolder

FIRST_POLL_S = 0.05
# Workers have to load and to train first, and polling for results takes time from the cores that they use.
FIRST_FOLDER_POLL_S = 0.1
# For the same reason, the pause after a poll is at least this many times as long as the poll.
PAUSE_PER_POLL = 3.0
# The log may be late or lose a line, so the run's folder is listed this often whatever the log says.
LIST_EVERY_S = 1.0
# Added to the workers' own deadlines: they end by themselves, with a better error than the follower's.
PATIENCE_MARGIN_S = 30.0
# How long Lambda waits before its second and its last attempt.
RETRY_DELAYS_S = (60.0, 120.0)
LONGEST_RETRY_DELAY_S = RETRY_DELAYS_S[-1]
# How often the Lambda service is probed, and how many probes in a row it may leave unanswered.
SERVICE_CHECK_S = 1.0
MOST_SILENCES = 2


def follow(  # noqa: PLR0913 - keywords, each given by a run's target or its job
    folder: RunFolder,
    tail: LogTail,
    requests: list[str],
    *,
    retries: int,
    oom_is_final: bool,
    patience_s: float,
    watch: Watcher,
    service_answers: Callable[[], bool],
    retry_delays_s: tuple[float, ...] = RETRY_DELAYS_S,
    revive: bool = False,
) -> Progress:
    """Wait until every rank of a run has stored its results.

    Args:
        folder: The run's folder.
        tail: The workers' log.
        requests: The workers' request ids by rank.
        retries: How often Lambda retries a failed event.
        oom_is_final: Whether a worker that runs out of memory ends the run: a retry would run out of it, too.
        patience_s: How long nothing at all may happen, Lambda's delay before a retry excluded.
        watch: Called after every poll.
        service_answers: Whether the Lambda service answers; without it nobody would report a worker's death.
        retry_delays_s: How long Lambda waits before each retry of an event.
        revive: Whether ranks invoke the event of one that died.

    Raises:
        HarnessError: The run is lost, or nothing happened for too long; the message names the first cause.
    """
    progress = new_progress(requests, retry_delays_s, revive=revive)
    wanted = {"result.json"} | {f"workers/{rank}" for rank in range(len(requests))}
    delay, last_change = FIRST_POLL_S, time.monotonic()
    present: set[str] = set()
    next_list = last_change
    service = _ServiceWatch(service_answers)
    watch(progress)
    time.sleep(FIRST_FOLDER_POLL_S)
    while True:
        poll_began = time.monotonic()
        news = read_log(tail, progress, folder.run_id)
        found = present
        # Listing takes time from the cores that workers train on: list at once only when the log gives a reason.
        if _worth_listing(progress) or time.monotonic() >= next_list:
            found, next_list = set(folder.names("")), time.monotonic() + LIST_EVERY_S
        if news or found != present:
            last_change, delay = time.monotonic(), FIRST_POLL_S
        present = found
        watch(progress)
        missing = wanted - {_without_attempt(name) for name in present}
        if not missing:
            break
        if lost := set(abandoned(progress, retries)):
            # The platform's report directly follows its error line, and may name the cause.
            await_reports(tail, progress, folder.run_id, lost)
        raise_failure(folder, present, progress, retries)
        if oom_is_final:
            raise_out_of_memory(progress)
        service.check()
        _raise_if_stalled(progress, missing, last_change, patience_s, folder.run_id)
        polled_s = time.monotonic() - poll_began
        time.sleep(max(delay, min(PAUSE_PER_POLL * polled_s, SERVICE_CHECK_S)))
        delay = min(1.5 * delay, tail.polling.longest_poll_s)
    progress.waits_for = "the platform's reports of its invocations"
    await_reports(tail, progress, folder.run_id, set(progress.requests), watch)
    progress.waits_for = ""
    watch(progress)
    return progress


def _worth_listing(progress: Progress) -> bool:
    """Return whether, by the log, all results are stored, or a cause of failure may be."""
    return bool(progress.failures) or all(rank.state == "finished" for rank in progress.ranks)


def _raise_if_stalled(
    progress: Progress, missing: set[str], last_change: float, patience_s: float, run_id: str
) -> None:
    retrying = any(rank.failures for rank in progress.ranks)
    if time.monotonic() - last_change > patience_s + LONGEST_RETRY_DELAY_S * retrying:
        raise HarnessError(
            f"nothing has happened for {patience_s:.0f} s",
            f"still missing: {', '.join(sorted(missing))}",
            f"see `harness logs --run {run_id}`",
        )


class _ServiceWatch:
    """Probes the Lambda service at intervals."""

    def __init__(self, answers: Callable[[], bool]) -> None:
        self._answers, self._silences = answers, 0
        self._next = time.monotonic() + SERVICE_CHECK_S

    def check(self) -> None:
        """Probe the service when a probe is due.

        Raises:
            HarnessError: It has not answered several times in a row.
        """
        if time.monotonic() < self._next:
            return
        self._silences = 0 if self._answers() else self._silences + 1
        self._next = time.monotonic() + SERVICE_CHECK_S
        if self._silences >= MOST_SILENCES:
            raise HarnessError(
                "the Lambda service does not answer any more, and with it the workers are gone",
                f"asked {self._silences} times, {SERVICE_CHECK_S:g} s apart",
                "start the stack again; `harness status` tells what runs",
            )


def await_reports(
    tail: LogTail, progress: Progress, run_id: str, requests: set[str], watch: Watcher = lambda _: None
) -> None:
    """Read the log until the platform has reported these invocations, or for as long as its reports may be late."""
    deadline, delay = time.monotonic() + tail.polling.reports_within_s, FIRST_POLL_S
    while time.monotonic() < deadline:
        if requests <= {report.request_id for report in progress.reports}:
            return
        watch(progress)
        if not read_log(tail, progress, run_id):
            time.sleep(delay)
            delay = min(1.5 * delay, tail.polling.longest_poll_s)


def _without_attempt(name: str) -> str:
    """Return the name without its attempt: `workers/3.1.json` is a result of rank 3, whichever attempt wrote it."""
    return name.split(".", maxsplit=1)[0] if name.startswith("workers/") else name

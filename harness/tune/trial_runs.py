"""The runs of trials: several at once, each in a thread that follows it, all of them stopped together.

A run is stopped as Ctrl-C stops `harness run`: its follower raises, so its workers are told to end.
"""

import threading
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from queue import SimpleQueue
from typing import Any

from harness.errors import HarnessError
from harness.runs.health import deaths_named
from harness.runs.launch import run
from harness.runs.prepared import PreparedRun, with_keys
from harness.runs.progress import Progress
from harness.runs.run_target import RunTarget
from harness.runs.summary import Summary
from harness.settings import Settings
from harness.stack.plan import Log
from training.errors import TrainingError


@dataclass(frozen=True, slots=True)
class Task:
    """One run of a trial.

    Attributes:
        number: The trial.
        changes: The job's keys that are its own.
    """

    number: int
    changes: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Ended:
    """A run that has ended.

    Attributes:
        task: What it ran.
        summary: Its summary; None if it failed.
        error: Why it failed; None if it succeeded.
    """

    task: Task
    summary: Summary | None = None
    error: BaseException | None = None


class _StoppedError(BaseException):
    """The run is to end; not an Exception, so that nothing on the way takes it for a failure of the run."""

    def __init__(self) -> None:
        super().__init__("the search was interrupted")


class TrialRuns:
    """Runs trials on one target.

    Args:
        common: The run that all trials have in common.
        settings: The project's settings.
        target: Where they run.
        at_once: How many at once, at most.
        watch: Called with a trial's number and the progress of its run, in threads of their own.
    """

    def __init__(
        self,
        common: PreparedRun,
        settings: Settings,
        target: RunTarget,
        at_once: int,
        watch: Callable[[int, Progress], None],
    ) -> None:
        self._common, self._settings, self._at_once, self._watch = common, settings, at_once, watch
        self._target = _with_functions_made_once(target)
        self._stop = threading.Event()

    def run(self, tasks: Iterable[Task], begin: Callable[[Task], None], end: Callable[[Ended], None]) -> None:
        """Run tasks, and stop those that are running when this block is left by an error or a signal.

        Args:
            tasks: What to run, in this order.
            begin: Called before each.
            end: Called after each.

        Raises:
            HarnessError: A service of the stack has died, so that no further run can succeed.
        """
        waiting, running = deque(tasks), dict[int, threading.Thread]()
        results: SimpleQueue[Ended] = SimpleQueue()
        try:
            while waiting or running:
                while waiting and len(running) < self._at_once:
                    task = waiting.popleft()
                    begin(task)
                    # A daemon, so that a second Ctrl-C does not wait for it.
                    thread = threading.Thread(target=self._run, args=(task, results), daemon=True)
                    running[task.number] = thread
                    thread.start()
                ended = results.get()
                self._raise_if_hopeless(ended.error)
                del running[ended.task.number]
                end(ended)
        except BaseException as error:
            self._stop.set()
            if running:
                numbers = ", ".join(map(str, running))
                words = f"trial {numbers} was" if len(running) == 1 else f"trials {numbers} were"
                error.add_note(f"{words} running, and told to stop")
            for thread in running.values():
                # A signal may have come before it was started.
                with suppress(RuntimeError):
                    thread.join()
            raise

    def _run(self, task: Task, results: "SimpleQueue[Ended]") -> None:
        try:
            summary = run(
                with_keys(self._common, task.changes),
                self._settings,
                self._target,
                report=lambda _stage: self._raise_if_stopped(),
                watch=lambda progress: self._watched(task.number, progress),
            )
        except BaseException as error:  # noqa: BLE001 - the main thread decides
            results.put(Ended(task, error=error))
        else:
            results.put(Ended(task, summary))

    def _watched(self, number: int, progress: Progress) -> None:
        self._raise_if_stopped()
        self._watch(number, progress)

    def _raise_if_stopped(self) -> None:
        if self._stop.is_set():
            raise _StoppedError

    def _raise_if_hopeless(self, error: BaseException | None) -> None:
        """Raise an error that is not the trial's own: the next ones would fail too."""
        if error is None:
            return
        if not isinstance(error, HarnessError | TrainingError):
            raise error
        try:
            with deaths_named(self._target.stack):
                raise error
        except (HarnessError, TrainingError) as found:
            if found is not error:
                raise


def _with_functions_made_once(target: RunTarget) -> RunTarget:
    """Return the target with each function made ready by the first run only, while the others wait."""
    digests: dict[str, str] = {}
    lock = threading.Lock()

    def make_ready(name: str, settings: Settings, log: Log) -> str:
        with lock:
            if name not in digests:
                digests[name] = target.make_ready(name, settings, log)
            return digests[name]

    return replace(target, make_ready=make_ready)

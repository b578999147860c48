"""Virtual time: many tasks, one of which runs at a time, and a queue of future actions.

A task is a thread, so that it can run code that is unaware of the simulation and simply waits.
A waiting task hands over to whatever is due first, so a simulation takes only the time that its code runs, not the
time that it waits, and it is the same every time.
"""

import heapq
import itertools
import threading
from collections.abc import Callable, Sequence
from contextlib import suppress

from training.exchange.clock import Clock

Action = Callable[[], None]


class Stalled(Exception):
    """All tasks wait, and no action is due that could wake them."""


class _Cancelled(BaseException):
    """Unwinds a task of a failed simulation; no code under test may catch this."""


class _Task(threading.Thread):
    def __init__(self, simulation: "VirtualTime", main: Action) -> None:
        super().__init__(daemon=True)
        self._simulation, self._main = simulation, main
        self.turn = threading.Lock()
        self.turn.acquire()

    def run(self) -> None:
        try:
            self._simulation.take_turn(self)
            self._main()
            self._simulation.leave()
        except _Cancelled:
            pass
        except BaseException as error:  # noqa: BLE001 - any error of a task is the simulation's outcome
            self._simulation.fail(error)


class VirtualTime:
    """Runs tasks in virtual time.

    Attributes:
        now: Seconds since the start.
        clock: A clock with this time, for the code under test.
    """

    def __init__(self) -> None:
        self.now = 0.0
        self.clock = Clock(lambda: self.now, self.sleep)
        self._queue: list[tuple[float, int, Action]] = []
        self._order = itertools.count()
        self._tasks: list[_Task] = []
        self._left = 0
        self._running: _Task | None = None
        self._next: _Task | None = None
        self._error: BaseException | None = None

    def run(self, mains: Sequence[Action]) -> None:
        """Run tasks, all starting now, until the last one ends.

        Raises:
            Stalled: All of them wait for ever.
            Exception: The error of the first task that failed; the other tasks are cancelled.
        """
        self._error, self._left = None, len(mains)
        self._tasks = [_Task(self, main) for main in mains]
        for task in self._tasks:
            self.at(self.now, self._resumption(task))
            task.start()
        with suppress(_Cancelled):
            self._pass_on()
        for task in self._tasks:
            task.join()
        self._queue.clear()
        if self._error is not None:
            raise self._error

    def at(self, when: float, action: Action) -> None:
        """Schedule an action; actions that are due at the same time run in the order of these calls."""
        heapq.heappush(self._queue, (when, next(self._order), action))

    def sleep(self, seconds: float) -> None:
        """Let time pass for the running task."""
        self.wait(lambda resume: self.at(self.now + seconds, resume))

    def wait(self, begin: Callable[[Action], None]) -> None:
        """Let the running task wait until an action calls the function that `begin` receives."""
        task = self._running
        if task is None:
            raise RuntimeError("only a task can wait")
        begin(self._resumption(task))
        if self._pass_on() is not task:
            self.take_turn(task)

    def take_turn(self, task: _Task) -> None:
        """Wait for the task's turn."""
        task.turn.acquire()
        if self._error is not None:
            raise _Cancelled

    def leave(self) -> None:
        """End the running task."""
        self._left -= 1
        if self._left:
            self._pass_on()

    def fail(self, error: BaseException) -> None:
        """Cancel all tasks with an error; the first error counts."""
        if self._error is None:
            self._error = error
            for task in self._tasks:
                if task is not self._running:
                    task.turn.release()

    def _resumption(self, task: _Task) -> Action:
        def resume() -> None:
            self._next = task

        return resume

    def _pass_on(self) -> _Task:
        """Run due actions until a task can continue, and hand over to it, unless it is the running task."""
        before = self._running
        while self._next is None:
            if not self._queue:
                self.fail(Stalled(f"at {self.now:.6f} s all of {self._left} tasks wait, and nothing is due"))
                raise _Cancelled
            self.now, _, action = heapq.heappop(self._queue)
            action()
        following, self._running, self._next = self._next, self._next, None
        if following is not before:
            # From here on the other task runs, so this thread must not read this object's state any more.
            following.turn.release()
        return following

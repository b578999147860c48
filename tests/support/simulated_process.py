"""A try of a rank in virtual time: its tasks, its lease, and where it waits."""

import math
import threading

from training.exchange.recovery.lease import Holder, Lease
from training.exchange.recovery.rules import NOBODY


class Killed(BaseException):
    """A process's death: nothing in the code under test may catch it."""


class Task(threading.Thread):
    """One thread of a process: the worker's handler, or its heartbeat."""

    def __init__(self, simulation, process, work):
        super().__init__(daemon=True)
        self.process = process
        self._simulation, self._work = simulation, work
        # A lock is handed over faster than a semaphore, and hand-overs are most of what a schedule costs.
        self.turn = threading.Lock()
        self.turn.acquire()
        self.awaited = 0

    def run(self):
        """Waits for its turn, works, and passes the turn on."""
        self.turn.acquire()
        try:
            self._work()
        except Killed:
            pass
        except Exception as error:  # noqa: BLE001 - a bug in the code under test is the run's outcome
            self._simulation.errors.append((self.process.rank, error))
        finally:
            self._simulation.leave(self)


class Process:
    """One try of one rank.

    Attributes:
        rank: The rank.
        number: Which of its processes this is, from 1.
        invoked_at: When its event was sent.
        starts_at: When it starts.
        ended_at: When its last task ended.
        joined_at: When it took the lease, if it did.
        stored_at: When its lease was first stored, even if it never had the answer.
        over_at: When it died, or stopped and began to leave; infinite until then.
        met: The lease that it found at first; None for nothing, or if it has not looked.
        doomed: Whether it is dead: its tasks end where they wait.
        frozen_until: Until when it stands still.
        joined: Whether it holds, or held, the lease.
        recovery: Its recovery, once it joined.
        computes: Whether it computes at the moment.
        failure: What its last operation of the channel met; empty for nothing.
        revival: What the peer that invoked its event told its lease; empty for Lambda's own event.
    """

    def __init__(self, simulation, rank, number, starts_at, revival):
        self._simulation, self.revival = simulation, revival
        self.rank, self.number, self.starts_at = rank, number, starts_at
        self.invoked_at = simulation.time
        self.doomed = self.joined = self.computes = False
        self.ended_at = self.frozen_until = 0.0
        self.recovery, self.failure = None, ""
        self.joined_at = self.stored_at = self.over_at = math.inf
        self.met = None

    def is_over(self):
        """Notes that it does not work any more."""
        self.over_at = min(self.over_at, self._simulation.time)

    def lease(self, channel, key):
        """Returns its lease, not yet taken."""
        return SimulatedLease(self._simulation, self, channel, key)

    @property
    def name(self):
        """Which process it is, in words."""
        return f"rank {self.rank}, process {self.number}"

    def __str__(self):
        return f"{self.name}: {self._doing()}"

    def _doing(self):
        if self._simulation.time < self.starts_at:
            return f"starts at {self.starts_at:.1f} s"
        if self._simulation.time < self.frozen_until:
            return f"is frozen until {self.frozen_until:.1f} s"
        if self.failure:
            return f"retries the channel: {self.failure}"
        if self.computes:
            return "computes"
        if self.recovery is None:
            return "waits for its lease"
        position = self.recovery._state.own  # noqa: SLF001 - what it would tell the others
        asked = "" if position.asks == NOBODY else f", asks rank {position.asks}"
        return f"{position.phase.name}, in round {position.round}, misses ranks {list(position.missing)}{asked}"


class SimulatedLease(Lease):
    """A real lease whose heartbeat is a task in virtual time."""

    def __init__(self, simulation, process, channel, key):
        super().__init__(lambda: channel, key, 1, simulation.clock, **process.revival)
        self._simulation, self._process = simulation, process
        self._holder = Holder(f"{process.rank}.{process.number}")  # by chance a schedule would never be the same
        self._stop = VirtualEvent(simulation)

    def _add_or_read(self):
        found = super()._add_or_read()
        if self._process.met is None:
            self._process.met = found
        return found

    def leave(self, *, done=False):
        """Gives it back: its process does not work any more."""
        self._process.is_over()
        super().leave(done=done)

    def keep(self):
        """Moves the heartbeat from now on."""
        task = self._simulation.start(self._process, self._keep_alive)
        self._thread = Joined(self._simulation, task)


class VirtualEvent:
    """An event of one task, in virtual time."""

    def __init__(self, simulation):
        self._simulation, self._set, self._waiting = simulation, False, None

    def set(self):
        """Sets it, and wakes the task that waits."""
        self._set = True
        if self._waiting is not None:
            self._simulation.wake(self._waiting, self._simulation.time)

    def wait(self, seconds):
        """Waits for it so long; returns whether it is set."""
        if not self._set:
            self._waiting = self._simulation.current
            try:
                self._simulation.sleep(seconds)
            finally:
                self._waiting = None
        return self._set


class Joined:
    """A task to wait for."""

    def __init__(self, simulation, task):
        self._simulation, self._task = simulation, task

    def join(self):
        """Waits until it has ended."""
        while self._task in self._simulation.tasks:
            self._simulation.sleep(1e-4)

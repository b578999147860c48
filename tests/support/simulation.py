"""The exchange of several ranks in virtual time: real recovery, leases, collectives and mailbox over a failing channel.

One thread runs at a time and hands over whenever it would wait, so a schedule is the same every time it runs.
A schedule is a plain record: what fails at which operation of the channel, and one seed for latencies.
"""

import heapq
import math
import random
import threading
from contextlib import suppress
from dataclasses import dataclass

import msgspec

from tests.support.simulated_channel import LEASES, Disturbance, SimulatedChannel
from tests.support.simulated_lambda import SimulatedReviver
from tests.support.simulated_process import Killed, Process, Task
from tests.support.tiny_training import tiny_training
from training.errors import ChannelError, DuplicateDelivery, ExchangeError, RunAborted, TrainingError
from training.exchange.clock import Clock
from training.exchange.exchange import Exchange
from training.exchange.frame import Flag
from training.exchange.mailbox import Mailbox
from training.exchange.recovery.recovery import Recovery
from training.exchange.recovery.rejoin import through_faults
from training.exchange.run_signals import abort_run

PATIENCE_S = 30.0
# Restarts and outages of a schedule end long before, so whoever is later hangs.
LONGEST_RUN_S = 120.0


@dataclass(frozen=True)
class Fault:
    """One thing that goes wrong.

    Attributes:
        kind: See `SimulatedChannel`.
        operation: At which operation of the channel, counted over all ranks.
        rank: Whom it hits, if it hits one.
        seconds: How long it lasts, or after what time a dead rank comes back.
        share: Which part of something: keys evicted, values put before the death, the byte that changes.
        of: Part of a key, as `/snapshot/`: it strikes whoever stores such a key next, from that operation on.
        loses: Part of the keys that it hits; empty for those that are being stored.
    """

    kind: str
    operation: int
    rank: int = 0
    seconds: float = 0.5
    share: float = 0.5
    of: str = ""
    loses: str = ""

    def strikes(self, key):
        """Returns whether it is aimed at a key."""
        return self.of in f"{key}/"

    def hits(self, stored, values):
        """Returns the keys that it hits, of those that are being stored and of all that are there."""
        if self.loses:
            return [key for key in values if self.loses in f"{key}/"]
        return [key for key in stored if self.strikes(key)]


@dataclass(frozen=True)
class Schedule:
    """One run.

    Attributes:
        world_size: How many ranks there are.
        mode: The collective.
        private: Whether ranks have private states.
        checkpoint_every: After how many rounds there is a checkpoint; 0 for never.
        seed: Of latencies and times.
        faults: What goes wrong.
        heals_at: When all faults are over, in seconds; infinite for each at its own time.
        within_s: How long after that moment, or after the start, the run may take.
        revive: Whether peers invoke the event of a dead rank.
    """

    world_size: int = 3
    mode: str = "reduce"
    private: bool = False
    checkpoint_every: int = 0
    seed: int = 0
    faults: tuple[Fault, ...] = ()
    heals_at: float = math.inf
    within_s: float = LONGEST_RUN_S
    revive: bool = False


class Failed(Exception):
    """A try of a rank failed for a cause that may be another next time, as S3's.

    Args:
        back_after_s: After what time Lambda delivers its event again.
    """

    def __init__(self, back_after_s):
        super().__init__("failed")
        self.back_after_s = back_after_s


class Hang(Exception):
    """A run took longer in virtual time than its schedule allows."""


class Simulation:
    """Runs one schedule of a training: `tiny_training`, or another that takes the same arguments.

    Attributes:
        time: The clock, in seconds.
        current: The task that runs.
        results: The final parameters by rank.
        notes: What recovery has told: time, event, rank, values.
        computations: How often a rank computed.
        stored_at: When the last of all ranks had stored its result.
        ended_at: When the last process that took part ended.
        disturbances: When leases could not be moved or found.
        asked_revivals: Which ranks were found dead: time and what was found.
        long_computations: By rank, how long its next computation takes.
        failures: By rank whose try is about to fail, after what time its event is delivered again.
    """

    def __init__(self, schedule, training=None):
        self.schedule = schedule
        self.training = training or tiny_training
        self.random = random.Random(schedule.seed)
        self.time = self.stored_at = self.ended_at = 0.0
        self.results, self.errors, self.notes = {}, [], []
        self.checkpoints, self.revivals = {}, {}
        self.computations = 0
        self.disturbances, self.asked_revivals = [], []
        self.long_computations, self.failures = {}, {}
        self.processes, self.tasks = [], []
        self.current = None
        self.clock = Clock(lambda: self.time, self.sleep)
        self._queue, self._sequence = [], 0
        self._over = threading.Semaphore(0)
        self._hang = ""
        self._limit_s = schedule.within_s + (schedule.heals_at if math.isfinite(schedule.heals_at) else 0.0)
        self.channel = SimulatedChannel(self)

    @property
    def healed(self):
        """Whether nothing fails any more."""
        return self.time >= self.schedule.heals_at

    def run(self):
        """Runs to the end; returns the final parameters by rank.

        Raises:
            Hang: It takes too long.
            Exception: What a rank ended with.
        """
        for rank in range(self.schedule.world_size):
            self.deliver(rank, self.random.uniform(0, 0.02))
        self._pass_on()
        self._over.acquire()
        if self._hang:
            raise Hang(self._hang)
        if self.errors:
            raise min(self.errors, key=lambda entry: isinstance(entry[1], RunAborted))[1]
        return self.results

    def deliver(self, rank, delay_s, **revival):
        """Delivers a rank's event after a delay: one more process of that rank starts."""
        number = 1 + sum(process.rank == rank for process in self.processes)
        process = Process(self, rank, number, self.time + delay_s, revival)
        self.processes.append(process)
        self.start(process, lambda: self.rank_main(process), process.starts_at)

    def start(self, process, work, at=0.0):
        """Starts a task of a process at a time."""
        task = Task(self, process, work)
        self.tasks.append(task)
        task.start()
        self.wake(task, at)
        return task

    def sleep(self, seconds):
        """Lets time pass for the running task; others run meanwhile."""
        task = self.current
        until = self.time + seconds
        if until > max(self._limit_s, task.process.starts_at + self.schedule.within_s) and not self._hang:
            self._hang = self._who_waits()
        while True:
            self.wake(task, until)
            self._pass_on(task)
            if task.process.doomed or self._hang:
                raise Killed
            until = task.process.frozen_until
            if self.time >= until:
                return

    def wake(self, task, at):
        """Lets a task run at a time; it replaces an earlier call for the same task."""
        self._sequence += 1
        task.awaited = self._sequence
        heapq.heappush(self._queue, (max(at, self.time), self._sequence, task))

    def leave(self, task):
        """Ends a task."""
        self.tasks.remove(task)
        task.process.ended_at = self.time
        if task.process.joined:
            self.ended_at = self.time
        if self.tasks:
            self._pass_on()
        else:
            self._over.release()

    def ends(self, seconds):
        """Returns when something that begins now and lasts so long is over."""
        return min(self.time + seconds, self.schedule.heals_at)

    def running(self, rank):
        """Returns a rank's processes that run."""
        alive = {task.process for task in self.tasks}
        return [process for process in self.processes if process.rank == rank and process in alive]

    def kill(self, rank, after_s):
        """Kills all processes of a rank that run, the running task's own too; its event is delivered again later."""
        for process in self.running(rank):
            process.doomed = True
            process.is_over()
        self.deliver(rank, self.ends(after_s) - self.time)
        raise Killed

    def freeze(self, rank, seconds):
        """Lets all processes of a rank stand still, their heartbeats too."""
        for process in self.running(rank):
            process.frozen_until = self.ends(seconds)

    def deliver_again(self, rank):
        """Delivers the event of a rank that runs a second time."""
        if self.running(rank):
            self.deliver(rank, 0.0)

    def _pass_on(self, task=None):
        while True:
            when, number, following = heapq.heappop(self._queue)
            if number == following.awaited:
                break
        self.time = when
        self.current = following
        if following is not task:
            following.turn.release()
            if task is not None:
                task.turn.acquire()

    def _who_waits(self):
        """Says of every rank what it waits for."""
        lines = [f"{len(self.results)} of {self.schedule.world_size} ranks finished within {self._limit_s:.1f} s"]
        lines += [str(process) for rank in range(self.schedule.world_size) for process in self.running(rank)]
        return "\n  ".join([*lines, str(self.schedule)])

    def rank_main(self, process):
        """What the worker's handler does, without Lambda and S3."""
        lease = process.lease(self.channel, f"{LEASES}{process.rank}")
        try:
            if not lease.acquire(PATIENCE_S):
                return
            process.joined, process.joined_at = True, self.time
            lease.keep()
            self._train(process, lease)
        except DuplicateDelivery:
            lease.leave()
        except (RunAborted, ChannelError):
            lease.leave()
            raise
        except Failed as failed:
            lease.leave()
            self.deliver(process.rank, self.ends(failed.back_after_s) - self.time)
        except TrainingError as error:
            lease.leave()
            with suppress(ExchangeError):
                abort_run(self.channel, "run", f"rank {process.rank}: {error}")
            raise
        else:
            lease.leave(done=True)

    def _train(self, process, lease):
        """Joins the run, trains, stores the result, and stays while another rank may need this one."""
        schedule, rank, size = self.schedule, process.rank, self.schedule.world_size
        if len(self.results) == size:
            raise DuplicateDelivery("all ranks have stored their results")
        mailbox = Mailbox(
            self.channel, run_id="run", rank=rank, world_size=size, attempt=lease.attempt, clock=self.clock
        )
        process.recovery = Recovery(
            mailbox,
            token=lease.token,
            check=lease.check,
            note=lambda event, **values: self.notes.append((round(self.time, 4), event, rank, values)),
            is_done=lambda: len(self.results) == size,
            revive=SimulatedReviver(self, rank) if schedule.revive else None,
        )
        checkpoints = MemoryCheckpoints(self, rank)
        exchange = Exchange(
            mailbox,
            schedule.mode,
            join_timeout_s=PATIENCE_S,
            round_timeout_s=PATIENCE_S,
            checkpoints=checkpoints,
            signals=lambda: checkpoints.signal(exchange.round),
            recovery=process.recovery,
        )

        def course():
            state = self.training(exchange, self.compute, private=schedule.private)
            lease.check()
            if rank not in self.results:
                self.stored_at = self.time
            self.results[rank] = state.parameters.tobytes() + msgspec.json.encode(getattr(state, "measured", None))
            exchange.finish(state.round, state)

        through_faults(exchange.start, course)

    def compute(self):
        """Time that a rank computes: short, at times long as long as there are faults."""
        process = self.current.process
        self.computations += 1
        process.computes = True
        straggles = not self.healed and self.random.random() < 0.1
        self.sleep(self.random.choice((0.001, 0.002, 0.005, 0.4)) if straggles else 0.001)
        if not self.healed and (seconds := self.long_computations.pop(process.rank, None)) is not None:
            until = self.ends(seconds)
            self.disturbances.append(Disturbance("straggle", process.rank, self.time, until))
            self.sleep(until - self.time)
        process.computes = False
        if not self.healed and process.rank in self.failures:
            raise Failed(self.failures.pop(process.rank))


class MemoryCheckpoints:
    """Checkpoints that outlive all ranks."""

    def __init__(self, simulation, rank):
        self._simulation, self._rank = simulation, rank

    def signal(self, round_number):
        """Rank 0 asks for a checkpoint after every so many rounds."""
        every = self._simulation.schedule.checkpoint_every
        return int(Flag.CHECKPOINT) if self._rank == 0 and every and round_number % every == 0 else 0

    def newest(self):
        """The newest that all ranks have stored."""
        size = self._simulation.schedule.world_size
        return max((number for number, parts in self._simulation.checkpoints.items() if len(parts) == size), default=0)

    def save(self, round_number, shared, private):
        """Stores a part."""
        self._simulation.checkpoints.setdefault(round_number, {})[self._rank] = (shared, private)

    def load(self, round_number):
        """Reads a part."""
        return self._simulation.checkpoints[round_number][self._rank]

"""The exchange of several ranks in virtual time: real recovery, collectives and mailbox over a channel that fails.

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
import numpy as np
from numpy.typing import NDArray

from training.errors import ChannelError, DuplicateDelivery, ExchangeError, RunAborted, TrainingError
from training.exchange.channel.memory import MemoryChannel
from training.exchange.clock import Clock
from training.exchange.exchange import Exchange
from training.exchange.frame import Flag
from training.exchange.mailbox import Mailbox
from training.exchange.recovery.recovery import Recovery
from training.exchange.recovery.rejoin import through_faults
from training.exchange.run_signals import abort_run

ROUNDS = 6
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
    """

    kind: str
    operation: int
    rank: int = 0
    seconds: float = 0.5
    share: float = 0.5


@dataclass(frozen=True)
class Schedule:
    """One run."""

    world_size: int = 3
    mode: str = "reduce"
    private: bool = False
    checkpoint_every: int = 0
    seed: int = 0
    faults: tuple[Fault, ...] = ()


class Killed(BaseException):
    """A rank's death: nothing in the code under test may catch it."""


class Hang(Exception):
    """A run took longer in virtual time than any schedule allows."""


class Task(threading.Thread):
    """One try of one rank."""

    def __init__(self, simulation, rank, attempt):
        super().__init__(daemon=True)
        self.simulation, self.rank, self.attempt = simulation, rank, attempt
        # A lock is handed over faster than a semaphore, and hand-overs are most of what a schedule costs.
        self.turn = threading.Lock()
        self.turn.acquire()
        self.doomed = False
        self.fenced_at = math.inf
        self.frozen = 0.0

    def run(self):
        """Waits for its turn, runs, and passes the turn on."""
        self.turn.acquire()
        try:
            self.simulation.rank_main(self)
        except Killed:
            pass
        except TrainingError as error:
            self.simulation.errors.append((self.rank, error))
        except Exception as error:  # noqa: BLE001 - a bug in the code under test is the run's outcome
            self.simulation.errors.append((self.rank, error))
        finally:
            self.simulation.leave(self)


class Simulation:
    """Runs one schedule of a training: `tiny_training`, or another that takes the same arguments."""

    def __init__(self, schedule, training=None):
        self.schedule = schedule
        self.training = training or tiny_training
        self.random = random.Random(schedule.seed)
        self.time = 0.0
        self.results, self.errors, self.notes = {}, [], []
        self.checkpoints = {}
        self.tasks, self._queue, self._sequence = [], [], 0
        self._over = threading.Semaphore(0)
        self.current = None
        self.hung = False
        self.channel = SimulatedChannel(self)

    def run(self):
        """Runs to the end; returns the final parameters by rank.

        Raises:
            Hang: It takes too long.
            Exception: What a rank ended with.
        """
        for rank in range(self.schedule.world_size):
            self.spawn(rank, 1, self.random.uniform(0, 0.02))
        self._pass_on()
        self._over.acquire()
        if self.hung:
            raise Hang(f"ranks {sorted(self.results)} finished within {LONGEST_RUN_S} s; {self.schedule}")
        if self.errors:
            raise min(self.errors, key=lambda entry: isinstance(entry[1], RunAborted))[1]
        return self.results

    def spawn(self, rank, attempt, delay):
        """Starts a try of a rank after a delay."""
        task = Task(self, rank, attempt)
        self.tasks.append(task)
        task.start()
        self._wake_at(self.time + delay, task)

    def sleep(self, seconds):
        """Lets time pass for the running task; others run meanwhile."""
        task = self.current
        if self.time + seconds > LONGEST_RUN_S:
            self.hung = True
        self._wake_at(self.time + seconds, task)
        self._pass_on(task)
        if task.doomed or self.hung:
            raise Killed
        if task.frozen:
            frozen, task.frozen = task.frozen, 0.0
            self.sleep(frozen)

    def leave(self, task):
        """Ends a task."""
        self.tasks.remove(task)
        if self.tasks:
            self._pass_on()
        else:
            self._over.release()

    def kill(self, rank, after_s):
        """Kills all tries of a rank that run, and starts another one later."""
        victims = [task for task in self.tasks if task.rank == rank]
        for task in victims:
            task.doomed = True
        if victims:
            self.spawn(rank, max(task.attempt for task in victims) + 1, after_s)

    def duplicate(self, rank, fenced_after):
        """Starts another try beside the one that runs, whose lease tells it only later that it must stop."""
        running = [task for task in self.tasks if task.rank == rank]
        if running:
            self.spawn(rank, max(task.attempt for task in running) + 1, 0.0)
            for task in running:
                task.fenced_at = min(task.fenced_at, self.time + fenced_after)

    def _wake_at(self, when, task):
        self._sequence += 1
        heapq.heappush(self._queue, (when, self._sequence, task))

    def _pass_on(self, task=None):
        when, _, following = heapq.heappop(self._queue)
        self.time = max(self.time, when)
        self.current = following
        if following is not task:
            following.turn.release()
            if task is not None:
                task.turn.acquire()

    def rank_main(self, task):
        """What the worker does, without Lambda and S3."""
        if task.doomed or self.hung or len(self.results) == self.schedule.world_size:
            return
        schedule, size = self.schedule, self.schedule.world_size
        clock = Clock(lambda: self.time, self.sleep)
        mailbox = Mailbox(
            self.channel, run_id="run", rank=task.rank, world_size=size, attempt=task.attempt, clock=clock
        )

        def check():
            if self.time >= task.fenced_at:
                raise DuplicateDelivery(f"rank {task.rank}, attempt {task.attempt}")

        def note(event, **values):
            self.notes.append((round(self.time, 4), event, task.rank, values))

        recovery = Recovery(
            mailbox,
            token=f"{task.rank}.{task.attempt}",
            check=check,
            note=note,
            is_done=lambda: len(self.results) == size,
        )
        checkpoints = MemoryCheckpoints(self, task.rank)
        exchange = Exchange(
            mailbox,
            schedule.mode,
            join_timeout_s=PATIENCE_S,
            round_timeout_s=PATIENCE_S,
            checkpoints=checkpoints,
            signals=lambda: checkpoints.signal(exchange.round),
            recovery=recovery,
        )

        def course():
            state = self.training(exchange, self.compute, private=schedule.private)
            check()
            self.results[task.rank] = state.parameters.tobytes() + msgspec.json.encode(getattr(state, "measured", None))
            exchange.finish(state.round, state)

        try:
            through_faults(exchange.start, course)
        except DuplicateDelivery:
            return
        except (RunAborted, ChannelError):
            raise
        except TrainingError as error:
            with suppress(ExchangeError):
                abort_run(self.channel, "run", f"rank {task.rank}: {error}")
            raise

    def compute(self):
        """Time that a rank computes: short, at times long."""
        self.sleep(self.random.choice((0.001, 0.002, 0.005, 0.4)) if self.random.random() < 0.1 else 0.001)


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


class SimulatedChannel(MemoryChannel):
    """A channel in memory whose operations take time and meet the schedule's faults.

    restart   every value is gone          outage    no operation passes for a time
    evict     a share of the keys is gone  refuse    no store passes for a time
    corrupt   one byte of one value        kill      a rank dies at its next operation; what it puts gets there in part
    freeze    a rank stands still          duplicate a second try of a rank runs beside the first
    """

    def __init__(self, simulation):
        super().__init__(max_value_bytes=90)  # small, so that frames and states come in several pieces
        self._simulation = simulation
        self._faults = sorted(simulation.schedule.faults, key=lambda fault: -fault.operation)
        self._operations = 0
        self._down_until = self._full_until = 0.0
        self._kills = {}

    def put_many(self, values):
        """Puts values; a rank that dies here has put a share of them."""
        self._pass_time()
        task = self._simulation.current
        fault = self._kills.pop(task.rank, None)
        if fault is not None:
            keys = list(values)[: int(fault.share * (len(values) + 1))]
            super().put_many({key: values[key] for key in keys})
            self._die(task, fault)
        if self._simulation.time < self._full_until:
            raise ChannelError("out of memory storing object")
        super().put_many(values)

    def get_many(self, keys):
        """Gets values."""
        self._pass_time()
        task = self._simulation.current
        fault = self._kills.pop(task.rank, None)
        if fault is not None:
            self._die(task, fault)
        return super().get_many(keys)

    def delete_many(self, keys):
        """Deletes values."""
        self._pass_time()
        super().delete_many(keys)

    def _die(self, task, fault):
        self._simulation.kill(task.rank, fault.seconds)
        raise Killed

    def _pass_time(self):
        simulation = self._simulation
        simulation.sleep(simulation.random.uniform(5e-5, 1e-3))
        self._operations += 1
        while self._faults and self._faults[-1].operation <= self._operations:
            self._strike(self._faults.pop())
        if simulation.time < self._down_until:
            raise ChannelError("connection refused")

    def _strike(self, fault):
        rank = fault.rank % self._simulation.schedule.world_size
        getattr(self, f"_{fault.kind}")(fault, rank)

    def _restart(self, fault, rank):
        self._values.clear()
        self._outage(fault, rank)

    def _outage(self, fault, _rank):
        self._down_until = self._simulation.time + fault.seconds

    def _refuse(self, fault, _rank):
        self._full_until = self._simulation.time + fault.seconds

    def _evict(self, fault, _rank):
        for key in sorted(self._values):
            if self._simulation.random.random() < fault.share:
                del self._values[key]

    def _corrupt(self, fault, _rank):
        keys = sorted(self._values)
        if keys:
            key = keys[int(fault.share * (len(keys) - 1))]
            value = bytearray(self._values[key])
            value[int(fault.share * (len(value) - 1))] ^= 0x55
            self._values[key] = bytes(value)

    def _kill(self, fault, rank):
        self._kills[rank] = fault

    def _freeze(self, fault, rank):
        for task in self._simulation.tasks:
            if task.rank == rank:
                task.frozen = fault.seconds

    def _duplicate(self, fault, rank):
        self._simulation.duplicate(rank, fault.share)


class Tiny(msgspec.Struct, frozen=True):
    """The state of the tiny training."""

    round: int
    parameters: NDArray[np.float32]
    figures: list[float] = []


class Own(msgspec.Struct):
    """What a rank alone has in it."""

    x: NDArray[np.float32]


def tiny_training(exchange, compute, *, private):
    """A training with all that a real one has: shared and private state, one or two all-reduces a round, figures."""
    rank = exchange.rank
    weights = exchange.agree("weights", np.arange(3, dtype=np.float32) + rank, rank).values
    state = exchange.resume(Tiny, lambda: Tiny(0, weights / 7))
    own = exchange.resume_private(Own, lambda: Own(np.full(3, rank, np.float32))) if private else None
    while state.round < ROUNDS:
        number = state.round + 1
        exchange.begin_round(number, state, own)
        compute()
        part = np.sin(state.parameters * (rank + 1) + number, dtype=np.float32) * np.float32(1e3 + rank)
        if own is not None:
            own = Own(own.x * np.float32(0.9) + part)
            part += own.x
        total = exchange.all_reduce_update(part, 1)
        figures = state.figures
        if number % 2 == 0:
            compute()
            figures = [*figures, float(exchange.all_reduce(np.array([part.sum()], np.float64), 1).values[0])]
        state = Tiny(number, state.parameters + total.divided_by(total.samples) * weights, figures)
        exchange.end_round(state, own)
    return state

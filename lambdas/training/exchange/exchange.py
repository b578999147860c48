"""The exchange of one rank, round after round: what algorithms see of the other ranks."""

import time
from collections import Counter
from collections.abc import Callable
from typing import Any, Protocol, TypeVar

import msgspec
import numpy as np

from training.errors import DamagedFrame, StateLost, TrainingError
from training.exchange.collectives.call import STEPS_PER_CALL, Call, Collective, Total
from training.exchange.collectives.cost_model import USUAL, Link
from training.exchange.collectives.registry import REGISTRY, quickest
from training.exchange.collectives.stale import Latest
from training.exchange.frame import Array, Encoding, Flag
from training.exchange.mailbox import Mailbox
from training.exchange.packing import pack_state, state_length, unpack_state
from training.exchange.recovery.recovery import Agreed, Snapshot
from training.exchange.recovery.rules import Phase

# How often a rank that is alone looks whether its run was given up.
ABORT_POLL_S = 0.5
# Once is usual after a death, twice may be.
MOST_FALL_BACKS = 3

AnyState = TypeVar("AnyState")


class Stopped(Exception):
    """All ranks stop here, because one is low on time; the checkpoint after this round is there.

    Args:
        round_number: The last round done.
    """

    def __init__(self, round_number: int) -> None:
        super().__init__(f"stopped after round {round_number}")
        self.round_number = round_number


class Checkpoints(Protocol):
    """Where checkpoints lie when no rank that trains is left."""

    def newest(self) -> int:
        """The round after which the newest whole checkpoint stands; 0 when there is none."""

    def save(self, round_number: int, shared: bytes, private: bytes | None) -> None:
        """Stores this rank's share of a checkpoint; every rank calls it after the same round."""

    def load(self, round_number: int) -> tuple[bytes, bytes | None]:
        """The state that all ranks share, and what this rank alone had."""


class Exchange:
    """The all-reduce of one rank, and how it comes back after a fault.

    Canonical loop, the same on every rank:

        exchange.start()                                            # round 0: joining
        exchange.agree("what everybody has to know first", part, 0)
        state = exchange.resume(State, initial)
        while state.round < rounds:
            exchange.begin_round(state.round + 1, state)            # the state stands before the round
            total = exchange.all_reduce_update(part, samples)
            state = the next one, made out of place
            exchange.end_round(state)

    Every rank must call these in the same order with arrays of the same size and dtype.
    On `Rejoin` the loop begins anew with `exchange.start(snapshot)`.

    Args:
        mailbox: This rank's mailbox.
        sync_mode: `all_gather`, `reduce`, `reduce_scatter`, `two_level`, `async`, or `auto` for what is the quickest.
        join_timeout_s: Limit of a wait in round 0, in which peers may still be starting.
        round_timeout_s: Limit of a wait in every later round.
        update_encoding: How updates travel.
        max_staleness: Rounds that a peer may lag in `async`.
        checkpoints: Where checkpoints lie; None for a run without.
        signals: What this rank asks of all in a round: `Flag`s.
        link: What `auto` goes by; the same on every rank.
    """

    def __init__(  # noqa: PLR0913 - the job's own settings of an exchange, each with a default
        self,
        mailbox: Mailbox,
        sync_mode: str,
        *,
        join_timeout_s: float,
        round_timeout_s: float,
        update_encoding: Encoding = Encoding.FLOAT32,
        max_staleness: int = 0,
        checkpoints: Checkpoints | None = None,
        signals: Callable[[], int] = lambda: 0,
        link: Link = USUAL,
    ) -> None:
        self.mailbox = mailbox
        self.seconds: list[float] = []
        self.started_from = 0
        self._sync_mode = sync_mode
        self._timeouts = (join_timeout_s, round_timeout_s)
        self._encoding = update_encoding
        self._latest = Latest(max_staleness) if sync_mode == "async" else None
        self._rounds_kept = self._latest.rounds_kept if self._latest else 2
        self._checkpoints, self._signals = checkpoints, signals
        # A measured link differs from run to run: it may choose only where all collectives give the same bits.
        self._link = link if update_encoding == Encoding.FLOAT32 else USUAL
        self._round = 0
        self._next_step = 0
        self._next_poll = 0.0
        self._used: set[str] = set()
        self._worst_error = 0.0
        self._agreed: dict[str, Agreed] = {}
        self._snapshot: Snapshot | None = None
        self._private: bytes | None = None
        self._fall_backs: Counter[int] = Counter()
        self._flags = self._agreed_flags = 0

    @property
    def rank(self) -> int:
        """This rank."""
        return self.mailbox.rank

    @property
    def world_size(self) -> int:
        """How many ranks there are."""
        return self.mailbox.world_size

    @property
    def round(self) -> int:
        """The round that was begun last."""
        return self._round

    @property
    def stale(self) -> bool:
        """Whether updates may be stale, so that ranks hold different parameters until they are averaged."""
        return self._latest is not None

    def start(self, snapshot: Snapshot | None = None) -> None:
        """Enters round 0; with a snapshot all that it agrees on is known, and nothing is exchanged in it.

        Without one, ranks that see the same newest checkpoint meet in round 0 and go on from it.
        What is left in the channel of an earlier start, which saw an older one, is not met.

        Raises:
            RunAborted: The run was given up, and this rank is alone.
        """
        self._private = None
        if snapshot is not None:
            self._agreed = snapshot.agreed
            if self.mailbox.recovery is not None:
                self.mailbox.recovery.inherit(snapshot)
            if snapshot.earlier and snapshot.round > 1:
                # With what this rank alone had before either round, all its frames from there on are computed anew.
                self._private = self.mailbox.private(snapshot.round, state_length)
                if self._private is None:
                    self._count_fall_back(snapshot.round)
                    snapshot = msgspec.structs.replace(
                        snapshot, round=snapshot.round - 1, state=snapshot.earlier, finished=False
                    )
            self.mailbox.start_at(snapshot.round)
            self.started_from = snapshot.round - 1
        else:
            self._agreed = {}
            self.started_from = self._newest()
            self.mailbox.start_at(0)
            self.mailbox.joins_at = self.started_from
        self._snapshot = snapshot
        self.begin_round(0)

    def agree(self, name: str, values: Array, samples: int) -> Total:
        """A total of round 0 that all ranks know from then on, ranks that come back too.

        Args:
            name: What it is called; each is agreed on once.
            values: This rank's part.
            samples: Rows behind it.

        Raises:
            ExchangeError: A peer, the channel or the run failed; see `training.errors`.
        """
        if name not in self._agreed:
            total = self.all_reduce(values, samples)
            self._agreed[name] = Agreed(total.values, total.samples)
        known = self._agreed[name]
        return Total(known.values, known.samples)

    def expect_rounds(self, most: int) -> None:
        """Note the last round that the job can have: no rank can be in a later one than that after it."""
        if self.mailbox.recovery is not None:
            self.mailbox.recovery.last_round = most

    def resume(self, kind: type[AnyState], initial: Callable[[], AnyState]) -> AnyState:
        """The state to go on from: another rank's, the newest checkpoint's, or the initial one.

        Args:
            kind: The state's Struct.
            initial: Makes the state before round 1.

        Raises:
            DamagedFrame: What was stored is not such a state.
            ExchangeError: A peer, the channel or the run failed; see `training.errors`.
        """
        if self._snapshot is not None:
            return unpack_state(kind, self._snapshot.state, f"snapshot before round {self._snapshot.round}")
        if self._checkpoints is None or self.started_from == 0:
            return initial()
        shared, _ = self._checkpoints.load(self.started_from)
        if self.mailbox.recovery is not None:
            self.mailbox.recovery.note("resumed", round=self.started_from, bytes=len(shared))
        return unpack_state(kind, shared, f"checkpoint after round {self.started_from}")

    def resume_private(self, kind: type[AnyState], initial: Callable[[], AnyState]) -> AnyState:
        """What this rank alone has, to go with the state that `resume` gave.

        Raises:
            StateLost: It is neither in the channel nor in the checkpoint.
        """
        if self.started_from == 0 or (self._snapshot is not None and self._snapshot.finished):
            return initial()
        buffer = self._private
        if buffer is None and self._snapshot is not None:
            buffer = self.mailbox.private(self.started_from + 1, state_length)
        elif self._snapshot is None and self._checkpoints is not None:
            buffer = self._checkpoints.load(self.started_from)[1]
        try:
            return unpack_state(kind, buffer or b"", f"the state of rank {self.rank} alone")
        except DamagedFrame as error:
            raise StateLost(self._lost(self.started_from + 1)) from error

    def begin_round(self, number: int, state: object = None, private: object = None) -> None:
        """Enters a round, and lets go of this rank's frames that no peer can still need.

        Args:
            number: The round.
            state: The Struct that stands before it, the same on every rank; it must not change any more.
            private: What this rank alone has before it; None for nothing.

        Raises:
            RunAborted: The run was given up, and this rank is alone.
            DuplicateDelivery: Another try of this rank goes on, or the run is over.
        """
        alone = private is not None and self.mailbox.recovery is not None and self.world_size > 1
        self._enter(number, state, Phase.TRAINING if number else Phase.NEW, keep_earlier=alone)
        if alone:
            self.mailbox.keep_private(number, pack_state(private))

    def end_round(self, state: object, private: object = None) -> None:
        """Leaves a round: stores a checkpoint, and stops, where ranks have asked for it.

        Args:
            state: The Struct that stands after the round.
            private: What this rank alone has after it; None for nothing.

        Raises:
            Stopped: All ranks stop here.
        """
        asked = self._agreed_flags
        if not asked or self._checkpoints is None:
            return
        self._checkpoints.save(self._round, pack_state(state), None if private is None else pack_state(private))
        if asked & Flag.STOP:
            raise Stopped(self._round)

    def finish(self, rounds: int, state: object) -> None:
        """Stays, after this rank has stored its results, until no other rank can need it any more.

        Args:
            rounds: Rounds done.
            state: The Struct that stands after them.

        Raises:
            Rejoin: A rank needs frames that this one no longer holds.
            DuplicateDelivery: Another try of this rank goes on, or the run is over.
        """
        if self.world_size > 1:
            self._enter(rounds + 1, state, Phase.FINISHED)
            self.mailbox.say_farewell(self._round, self._timeouts[1])

    def all_reduce(self, values: Array, samples: int) -> Total:
        """The sum of all ranks' values and sample counts, exact and bit for bit the same on every rank.

        Args:
            values: This rank's part: float32 or float64, one dimension.
            samples: Rows behind it.

        Raises:
            ExchangeError: A peer, the channel or the run failed; see `training.errors`.
        """
        return self._timed(self._collective(values), values, samples, None)

    def all_reduce_update(self, values: Array, samples: int) -> Total:
        """As `all_reduce`, for what trains the model: it travels in the update encoding, and may be stale in `async`.

        Raises:
            ExchangeError: A peer, the channel or the run failed; see `training.errors`.
        """
        if self.world_size > 1:
            self._note_error(values)
        if self._latest is not None:
            self._used.add("latest")
            return self._timed(self._latest, values, samples, self._encoding)
        name = self._collective(values)
        self._used.add(name)
        return self._timed(name, values, samples, self._encoding)

    def report(self) -> dict[str, Any]:
        """How updates travelled: the mode, the collectives and what chose them, the encoding and its relative error."""
        return {
            "sync_mode": self._sync_mode,
            "collectives": sorted(self._used),
            "link": msgspec.structs.asdict(self._link) if self._sync_mode == "auto" else None,
            "encoding": self._encoding.name.lower(),
            "relative_error": self._worst_error,
        }

    def _enter(self, number: int, state: object, phase: Phase, *, keep_earlier: bool = False) -> None:
        if number:
            if self._round == 0:
                self.mailbox.leave_round_0(number)
            self.mailbox.forget(number - self._rounds_kept)
        # Who waits for others learns of an abort while it waits.
        if self.world_size == 1 and time.monotonic() > self._next_poll:
            self.mailbox.check_abort()
            self._next_poll = time.monotonic() + ABORT_POLL_S
        self._round, self._next_step = number, 0
        self._flags, self._agreed_flags = self._signals() if phase == Phase.TRAINING else 0, 0
        if self.mailbox.recovery is not None:
            self.mailbox.recovery.agreed = self._agreed
            patience_s = self._timeouts[number > 0]
            self.mailbox.recovery.begin_round(number, state, phase, patience_s, keep_earlier=keep_earlier)
            # While ranks gather, a checkpoint may get its name that some have seen and others have not.
            self.mailbox.recovery.is_outdated = self._is_outdated

    def _newest(self) -> int:
        return 0 if self._checkpoints is None else self._checkpoints.newest()

    def _is_outdated(self) -> bool:
        try:
            return self._round == 0 and self._snapshot is None and self._newest() != self.started_from
        except TrainingError:
            return False  # S3 fails for now; it is asked again

    def _count_fall_back(self, round_number: int) -> None:
        """A rank that is sent on again and again to a round before which it has nothing of its own cannot go on.

        Some peer has let go of the round before: this rank had stored what it alone had, and the cache has lost it.
        """
        self._fall_backs[round_number] += 1
        if self._fall_backs[round_number] >= MOST_FALL_BACKS:
            raise StateLost(self._lost(round_number))

    def _lost(self, round_number: int) -> str:
        return (
            f"what rank {self.rank} alone had before round {round_number} is lost: the rank died, and the cache has "
            "let go of it; start the run again"
        )

    def _collective(self, values: Array) -> str:
        return self._sync_mode if self._sync_mode in REGISTRY else quickest(self.world_size, values.nbytes, self._link)

    def _timed(self, collective: str | Latest, values: Array, samples: int, encoding: Encoding | None) -> Total:
        if self.world_size == 1:
            self._agreed_flags |= self._flags
            return Total(values, samples)
        call = Call(self.mailbox, self._round, self._next_step, self._timeouts[self._round > 0], encoding, self._flags)
        self._next_step += STEPS_PER_CALL
        started = time.perf_counter()
        run: Collective = REGISTRY[collective].run if isinstance(collective, str) else collective
        total = run(call, values, samples)
        if isinstance(collective, str):
            self._agreed_flags |= total.flags
        self.seconds.append(time.perf_counter() - started)
        return total

    def _note_error(self, values: Array) -> None:
        """Keeps the largest relative error, by norm, that the encoding makes in this rank's parts."""
        if self._encoding != Encoding.FLOAT16:
            return
        size = float(np.linalg.norm(values))
        if size > 0:
            error = float(np.linalg.norm(self.mailbox.as_received(values, self._encoding) - values)) / size
            self._worst_error = max(self._worst_error, error)

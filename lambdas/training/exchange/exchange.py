"""The exchange of one rank, round after round: what algorithms see of the other ranks."""

import logging
import time
from array import array
from collections.abc import Callable
from typing import Any, TypeVar

import msgspec
import numpy as np

from training.errors import ChannelError, TrainingError
from training.exchange.checkpoints import Checkpoints
from training.exchange.collectives.call import STEPS_PER_CALL, Collective, CollectiveCall, Total
from training.exchange.collectives.cost_model import USUAL, Link
from training.exchange.collectives.registry import REGISTRY, quickest
from training.exchange.collectives.stale import Latest
from training.exchange.frame import Array, Encoding, Flag
from training.exchange.mailbox import Mailbox
from training.exchange.packing import pack_state, unpack_state
from training.exchange.recovery.patient_wait import PatientPolicy
from training.exchange.recovery.recovery import Recovery
from training.exchange.recovery.rules import Phase
from training.exchange.recovery.snapshots import Agreed, Snapshot
from training.exchange.run_signals import RoundClocks, poll
from training.exchange.shutdown import shutdown_barrier
from training.exchange.waiting import PlainPolicy, WaitPolicy

logger = logging.getLogger(__name__)

# A rank that is alone checks this often whether its run was given up.
ABORT_POLL_S = 0.5

AnyState = TypeVar("AnyState")


class Stopped(Exception):
    """All ranks stop here, because one is low on time; the checkpoint after this round is there.

    Args:
        round_number: The last round done.
    """

    def __init__(self, round_number: int) -> None:
        super().__init__(f"stopped after round {round_number}")
        self.round_number = round_number


class Exchange:
    """The all-reduce of one rank, and how it comes back after a fault.

    Canonical loop, the same on every rank:

        exchange.start()                                            # round 0: joining
        exchange.agree("what everybody has to know first", part, 0)
        state = exchange.resume(State, initial)
        while state.round < rounds:
            exchange.begin_round(state.round + 1, state)            # the state before the round
            total = exchange.all_reduce_update(part, samples)
            state = the next one, made out of place
            exchange.end_round(state)

    Every rank must call these in the same order with arrays of the same size and dtype.
    On `Rejoin` the loop starts over with `exchange.start(snapshot)`.

    Args:
        mailbox: This rank's mailbox.
        sync_mode: A name of the registry of collectives, `async`, or `auto` for the quickest one.
        join_timeout_s: Limit of a wait in round 0, in which peers may still be starting.
        round_timeout_s: Limit of a wait in every later round.
        update_encoding: How updates travel.
        max_staleness: Rounds that a peer may lag in `async`.
        checkpoints: The run's checkpoints; None for a run without.
        signals: Returns what this rank asks of all in a round: `Flag`s.
        link: What `auto` goes by; the same on every rank.
        recovery: Helps when a wait becomes long; None for plain waits.

    Attributes:
        rank: This rank.
        world_size: How many ranks there are.
        seconds: How long each all-reduce took.
        waits: How long this rank waited for others in the present round.
        started_from: The round after which this rank's state was taken; 0 for a start from the beginning.
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
        recovery: Recovery | None = None,
    ) -> None:
        self.rank, self.world_size = mailbox.rank, mailbox.world_size
        self._mailbox, self._recovery = mailbox, recovery
        self._policy: WaitPolicy = (
            PatientPolicy(recovery) if recovery else PlainPolicy(mailbox.channel, mailbox.keys, mailbox.clock)
        )
        self.seconds, self.waits = array("d"), mailbox.waits
        self.started_from = 0
        self._sync_mode = sync_mode
        self._timeouts = (join_timeout_s, round_timeout_s)
        self._encoding = update_encoding
        self._max_staleness = max_staleness
        self._latest = self._new_latest()
        self._rounds_kept = self._latest.rounds_kept if self._latest else 2
        self._checkpoints, self._signals = checkpoints, signals
        # A measured link differs from run to run: it may choose only where all collectives give the same bits.
        self._link = link if update_encoding == Encoding.FLOAT32 else USUAL
        self._round = self._next_step = 0
        self._next_abort_poll = 0.0
        self._used: set[str] = set()
        self._worst_error = 0.0
        self._agreed: dict[str, Agreed] = {}
        self._snapshot: Snapshot | None = None
        self._flags = self._agreed_flags = 0

    @property
    def round(self) -> int:
        """The round that was begun last."""
        return self._round

    @property
    def stale(self) -> bool:
        """Whether updates may be stale, so that ranks hold different parameters until they are averaged."""
        return self._latest is not None

    def start(self, snapshot: Snapshot | None = None) -> None:
        """Enter round 0.

        With a snapshot all that ranks agree on in it is known, and nothing is exchanged.
        Without one, ranks that see the same newest checkpoint meet in round 0 and resume from it. They do not meet
        what an earlier start, which saw an older checkpoint, has left in the channel.

        Raises:
            RunAborted: The run was given up, and this rank is alone.
            Rejoin: What this rank alone had before the snapshot is lost, and all ranks go back.
        """
        self._agreed = {} if snapshot is None else snapshot.agreed
        if self._recovery is not None:
            self._recovery.start(snapshot, self._agreed, self._is_outdated)
        if snapshot is None:
            self.started_from, self._latest = self._newest(), self._new_latest()
            self._mailbox.start_at(0, joins_at=self.started_from)
        else:
            if self._recovery is not None:
                snapshot = self._recovery.private.fitting(snapshot)
            self.started_from = snapshot.round - 1
            self._mailbox.start_at(snapshot.round)
        self._snapshot = snapshot
        self.begin_round(0)

    def agree(self, name: str, values: Array, samples: int) -> Total:
        """Return a total of round 0 that all ranks know from then on, including ranks that come back.

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
        if self._recovery is not None:
            self._recovery.expect_rounds(most)

    def resume(self, kind: type[AnyState], initial: Callable[[], AnyState]) -> AnyState:
        """Return the state to resume from: another rank's, the newest checkpoint's, or the initial one.

        Args:
            kind: The state's Struct.
            initial: Returns the state before round 1.

        Raises:
            DamagedFrame: The stored value is not such a state.
            ExchangeError: A peer, the channel or the run failed; see `training.errors`.
        """
        if self._snapshot is not None:
            return unpack_state(kind, self._snapshot.state, f"snapshot before round {self._snapshot.round}")
        if self._checkpoints is None or self.started_from == 0:
            return initial()
        shared, _ = self._checkpoints.load(self.started_from)
        if self._recovery is not None:
            self._recovery.note("resumed", round=self.started_from, bytes=len(shared))
        return unpack_state(kind, shared, f"checkpoint after round {self.started_from}")

    def resume_private(self, kind: type[AnyState], initial: Callable[[], AnyState]) -> AnyState:
        """Return what this rank alone has, to go with the state that `resume` returned.

        Raises:
            Rejoin: The channel has lost it, and all ranks go back.
            StateLost: The channel has lost it, and they have gone back too often.
            DamagedFrame: The checkpoint has no such state.
            ExchangeError: The channel failed.
        """
        if self.started_from == 0 or (self._snapshot is not None and self._snapshot.finished):
            return initial()
        if self._snapshot is not None and self._recovery is not None:
            return self._recovery.private.resume(kind, self.started_from + 1)
        buffer = self._checkpoints.load(self.started_from)[1] if self._checkpoints is not None else None
        what = f"the private state of rank {self.rank} in the checkpoint after round {self.started_from}"
        return unpack_state(kind, buffer or b"", what)

    def begin_round(self, number: int, state: object = None, private: object = None) -> None:
        """Enter a round, and release this rank's frames that no peer can still need.

        Args:
            number: The round.
            state: The Struct before it, the same on every rank; it must not change any more.
            private: What this rank alone has before it; None for nothing.

        Raises:
            RunAborted: The run was given up, and this rank is alone.
            DuplicateDelivery: Another try of this rank runs, or the run is done.
        """
        recovery = self._recovery if private is not None and self.world_size > 1 else None
        self._enter(number, state, Phase.TRAINING if number else Phase.NEW, keep_earlier=recovery is not None)
        if recovery is not None:
            recovery.private.store(number, pack_state(private))

    def end_round(self, state: object, private: object = None) -> None:
        """Leave a round; store a checkpoint, and stop, if a rank has asked for it.

        Args:
            state: The Struct after the round.
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
        """Stay, after this rank has stored its results, until no other rank can need it any more.

        Args:
            rounds: Rounds done.
            state: The Struct after them.

        Raises:
            Rejoin: A rank needs frames that this one no longer holds.
            DuplicateDelivery: Another try of this rank runs, or the run is done.
        """
        if self.world_size > 1:
            self._enter(rounds + 1, state, Phase.FINISHED)
            shutdown_barrier(self._mailbox, self._policy, self._round, self._timeouts[1])

    def all_reduce(self, values: Array, samples: int) -> Total:
        """Return the sum of all ranks' values and sample counts, exact and bit for bit the same on every rank.

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
        if self.world_size > 1 and self._encoding == Encoding.FLOAT16:
            self._note_error(values)
        if self._latest is not None:
            self._used.add("latest")
            return self._timed(self._latest, values, samples, self._encoding)
        name = self._collective(values)
        self._used.add(name)
        return self._timed(name, values, samples, self._encoding)

    def report(self) -> dict[str, Any]:
        """Return how updates travelled: mode, collectives, the link that chose them, encoding, its relative error."""
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
                self._mailbox.held.leave_round_0(number)
            self._mailbox.forget(number - self._rounds_kept)
        if self.world_size == 1:
            self._check_abort()  # a rank that waits for others notices an abort in its waits
        self._round, self._next_step = number, 0
        self.waits.begin_round()
        self._flags, self._agreed_flags = self._signals() if phase == Phase.TRAINING else 0, 0
        if self._recovery is not None:
            self._recovery.begin_round(number, state, phase, self._timeouts[number > 0], keep_earlier=keep_earlier)

    def _check_abort(self) -> None:
        if time.monotonic() <= self._next_abort_poll:
            return
        try:
            poll(self._mailbox.channel, self._mailbox.keys.abort, [])
        except ChannelError as error:
            if self._recovery is None:
                raise
            logger.warning("could not check whether the run was given up: %s", error)
        self._next_abort_poll = time.monotonic() + ABORT_POLL_S

    def _newest(self) -> int:
        return 0 if self._checkpoints is None else self._checkpoints.newest()

    def _is_outdated(self) -> bool:
        try:
            return self._round == 0 and self._snapshot is None and self._newest() != self.started_from
        except TrainingError:
            return False  # S3 fails at the moment; the question is repeated

    def _new_latest(self) -> Latest | None:
        if self._sync_mode != "async":
            return None
        mailbox = self._mailbox
        return Latest(self._max_staleness, RoundClocks(mailbox.keys, mailbox.rank, mailbox.others))

    def _collective(self, values: Array) -> str:
        return self._sync_mode if self._sync_mode in REGISTRY else quickest(self.world_size, values.nbytes, self._link)

    def _timed(self, collective: str | Latest, values: Array, samples: int, encoding: Encoding | None) -> Total:
        if self.world_size == 1:
            self._agreed_flags |= self._flags
            return Total(values, samples)
        timeout_s = self._timeouts[self._round > 0]
        call = CollectiveCall(
            self._mailbox, self._policy, self._round, self._next_step, timeout_s, encoding, self._flags
        )
        self._next_step += STEPS_PER_CALL
        started = time.perf_counter()
        run: Collective = REGISTRY[collective].run if isinstance(collective, str) else collective
        total = run(call, values, samples)
        if isinstance(collective, str):
            self._agreed_flags |= total.flags
        self.seconds.append(time.perf_counter() - started)
        return total

    def _note_error(self, values: Array) -> None:
        """Keep the largest relative error, by norm, of the encoding in this rank's parts."""
        size = float(np.linalg.norm(values))
        if size > 0:
            error = float(np.linalg.norm(self._mailbox.as_received(values, self._encoding) - values)) / size
            self._worst_error = max(self._worst_error, error)

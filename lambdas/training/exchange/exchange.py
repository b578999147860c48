"""The exchange of one rank, round after round: what algorithms see of the other ranks."""

import time
from typing import Any

import numpy as np

from training.exchange.collective import COLLECTIVES, STEPS_PER_CALL, Call, Collective, Latest, Total
from training.exchange.cost_model import quickest
from training.exchange.frame import Array, Encoding
from training.exchange.mailbox import Mailbox

# How often a rank that is alone looks whether its run was given up.
LOOK_INTERVAL_S = 0.5


class Exchange:
    """The all-reduce of one rank.

    Canonical loop, the same on every rank:

        exchange.begin_round(0)                                     # joining
        exchange.all_reduce(what everybody has to know first, 0)
        for number in range(1, rounds + 1):
            exchange.begin_round(number)
            total = exchange.all_reduce_update(part, samples)

    Every rank must call these in the same order with arrays of the same size and dtype.

    Args:
        mailbox: This rank's mailbox.
        sync_mode: `all_gather`, `reduce`, `reduce_scatter`, `async`, or `auto` for the quickest by size.
        join_timeout_s: Limit of a wait in round 0, in which peers may still be starting.
        round_timeout_s: Limit of a wait in every later round.
        update_encoding: How updates travel.
        max_staleness: Rounds that a peer may lag in `async`.
    """

    def __init__(
        self,
        mailbox: Mailbox,
        sync_mode: str,
        *,
        join_timeout_s: float,
        round_timeout_s: float,
        update_encoding: Encoding = Encoding.FLOAT32,
        max_staleness: int = 0,
    ) -> None:
        self.mailbox = mailbox
        self.seconds: list[float] = []
        self._sync_mode = sync_mode
        self._timeouts = (join_timeout_s, round_timeout_s)
        self._encoding = update_encoding
        self._latest = Latest(max_staleness) if sync_mode == "async" else None
        self._rounds_kept = self._latest.rounds_kept if self._latest else 2
        self._round = 0
        self._next_step = 0
        self._next_look = 0.0
        self._used: set[str] = set()
        self._worst_error = 0.0

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

    def begin_round(self, number: int) -> None:
        """Enters a round, and lets go of this rank's frames that no peer can still need.

        Raises:
            RunAborted: The run was given up, and this rank is alone.
        """
        self.mailbox.forget(number - self._rounds_kept)
        # Who waits for others learns of an abort while it waits.
        if self.world_size == 1 and time.monotonic() > self._next_look:
            self.mailbox.check_abort()
            self._next_look = time.monotonic() + LOOK_INTERVAL_S
        self._round, self._next_step = number, 0

    def all_reduce(self, values: Array, samples: int) -> Total:
        """The sum of all ranks' values and sample counts, exact and bit for bit the same on every rank.

        Args:
            values: This rank's part: float32 or float64, one dimension.
            samples: Rows behind it.

        Raises:
            ExchangeError: A peer, the channel or the run failed; see `training.errors`.
        """
        name = self._sync_mode if self._sync_mode in COLLECTIVES else quickest(self.world_size, values.nbytes)
        return self._timed(COLLECTIVES[name], values, samples, None)

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
        name = self._sync_mode if self._sync_mode in COLLECTIVES else quickest(self.world_size, values.nbytes)
        self._used.add(name)
        return self._timed(COLLECTIVES[name], values, samples, self._encoding)

    def report(self) -> dict[str, Any]:
        """How updates travelled: the mode asked for, the collectives used, the encoding and its relative error."""
        return {
            "sync_mode": self._sync_mode,
            "collectives": sorted(self._used),
            "encoding": self._encoding.name.lower(),
            "relative_error": self._worst_error,
        }

    def _timed(self, collective: Collective, values: Array, samples: int, encoding: Encoding | None) -> Total:
        if self.world_size == 1:
            return Total(values, samples)
        call = Call(self.mailbox, self._round, self._next_step, self._timeouts[self._round > 0], encoding)
        self._next_step += STEPS_PER_CALL
        started = time.perf_counter()
        total = collective(call, values, samples)
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

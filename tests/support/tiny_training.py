"""A training of six short rounds that has all that a real one has; the simulation runs it by default."""

import msgspec
import numpy as np
from numpy.typing import NDArray

ROUNDS = 6


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

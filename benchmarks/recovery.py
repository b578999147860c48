"""Measure the cost of the recovery layer without faults: rounds with it and without it, in turns.

Ranks are processes, as on AWS, over a real memcached; both kinds of rounds take turns in blocks on the same
connections, so a busy machine slows both, and the result is their ratio.
"""

import time
from collections.abc import Iterator
from contextlib import closing

import numpy as np

from benchmarks.exchange import State
from benchmarks.figure import Figure, Goal
from benchmarks.ranks import Team, run_ranks
from benchmarks.stage import memcached
from training.exchange.channel.memcached import MemcachedChannel
from training.exchange.exchange import Exchange
from training.exchange.mailbox import Mailbox
from training.exchange.recovery.recovery import Recovery
from training.model.linear import logistic_regression

BLOCKS, ROUNDS = 30, 50
ROWS, FEATURES = 1000, 28
RANKS = 3
# A round: gradient of a batch, all-reduce, step.
GOAL = 1.03


def recovery() -> Iterator[Figure]:
    """Yield one figure per collective."""
    with memcached() as address:
        for mode in ("all_gather", "reduce", "reduce_scatter"):
            plain, patient = run_ranks(RANKS, _blocks, address, mode)[0]
            yield Figure(
                name=f"lr round with recovery, {RANKS} ranks, {mode}",
                unit="ms",
                floor_name="the same round without",
                floor=plain,
                ours=patient,
                goal=Goal(GOAL),
            )


def _blocks(team: Team, address: tuple[str, int], mode: str) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Return the milliseconds of a round without and with recovery, block by block."""
    random = np.random.default_rng(team.rank)
    x = random.normal(size=(ROWS, FEATURES)).astype(np.float32)
    y = (x[:, 0] > 0).astype(np.int64)
    model = logistic_regression(FEATURES, 2)
    taken: tuple[list[float], list[float]] = ([], [])
    with closing(MemcachedChannel(*address)) as channel:
        exchanges = []
        for name in ("plain", "patient"):
            mailbox = Mailbox(channel, run_id=f"{mode}-{name}", rank=team.rank, world_size=team.size)
            recovery = Recovery(mailbox, token=str(team.rank)) if name == "patient" else None
            exchanges.append(Exchange(mailbox, mode, join_timeout_s=60, round_timeout_s=60, recovery=recovery))
            exchanges[-1].start()
            exchanges[-1].agree("all are there", np.zeros(1), 1)
        states = [State(0, model.initial(0)), State(0, model.initial(0))]
        for _ in range(BLOCKS):
            for kind, exchange in enumerate(exchanges):
                started = time.perf_counter()
                for _ in range(ROUNDS):
                    state = states[kind]
                    exchange.begin_round(state.round + 1, state)
                    loss, gradient, samples = model.loss_and_gradient(state.parameters, x, y)
                    total = exchange.all_reduce_update(np.append(gradient, np.float32(loss)), samples)
                    step = np.float32(0.1) * total.divided_by(total.samples)[:-1]
                    states[kind] = State(state.round + 1, state.parameters - step)
                    exchange.end_round(states[kind])
                taken[kind].append(1e3 * (time.perf_counter() - started) / ROUNDS)
    return tuple(taken[0]), tuple(taken[1])

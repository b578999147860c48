"""Measure the cost of the recovery layer without faults, and of telemetry: rounds with and without, in turns.

    plain       gradient of a batch, all-reduce, step
    patient     with recovery
    recorded    with recovery and telemetry: bytes counted, rounds and waits recorded, progress lines

Ranks are processes, as on AWS, over a real memcached; both kinds of rounds take turns in blocks on the same
connections, so a busy machine slows both, and the result is their ratio.
"""

import io
import itertools
import time
from collections.abc import Iterator
from contextlib import closing, redirect_stdout

import numpy as np

from benchmarks.exchange import State
from benchmarks.figure import Figure, Goal
from benchmarks.ranks import Team, run_ranks
from benchmarks.stage import memcached
from training.exchange.channel.memcached import MemcachedChannel
from training.exchange.counting import CountingChannel
from training.exchange.exchange import Exchange
from training.exchange.mailbox import Mailbox
from training.exchange.recovery.recovery import Recovery
from training.model.linear import logistic_regression
from training.run.telemetry import Telemetry

BLOCKS, ROUNDS = 30, 50
ROWS, FEATURES = 1000, 28
RANKS = 3
GOAL, RECORDED_GOAL = 1.03, 1.01


def recovery() -> Iterator[Figure]:
    """Yield one figure per collective, and one for telemetry."""
    with memcached() as address:
        for mode in ("all_gather", "reduce", "reduce_scatter"):
            plain, patient = run_ranks(RANKS, _blocks, address, mode, ("plain", "patient"))[0]
            yield Figure(
                name=f"lr round with recovery, {RANKS} ranks, {mode}",
                unit="ms",
                floor_name="the same round without",
                floor=plain,
                ours=patient,
                goal=Goal(GOAL),
            )
        patient, recorded = run_ranks(RANKS, _blocks, address, "all_gather", ("patient", "recorded"))[0]
        yield Figure(
            name=f"lr round with telemetry, {RANKS} ranks, all_gather",
            unit="ms",
            floor_name="the same round without",
            floor=patient,
            ours=recorded,
            goal=Goal(RECORDED_GOAL),
        )


def _blocks(
    team: Team, address: tuple[str, int], mode: str, kinds: tuple[str, str]
) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Return the milliseconds of a round of both kinds, block by block."""
    random = np.random.default_rng(team.rank)
    x = random.normal(size=(ROWS, FEATURES)).astype(np.float32)
    y = (x[:, 0] > 0).astype(np.int64)
    model = logistic_regression(FEATURES, 2)
    taken: tuple[list[float], list[float]] = ([], [])
    with closing(MemcachedChannel(*address)) as channel:
        exchanges, telemetry = [], Telemetry("bench", team.rank, 1, "request")
        for name in kinds:
            counting = CountingChannel(channel, telemetry.moved) if name == "recorded" else channel
            mailbox = Mailbox(counting, run_id=f"{'-'.join(kinds)}-{mode}-{name}", rank=team.rank, world_size=team.size)
            recovery = None if name == "plain" else Recovery(mailbox, token=str(team.rank))
            exchanges.append(Exchange(mailbox, mode, join_timeout_s=60, round_timeout_s=60, recovery=recovery))
            exchanges[-1].start()
            exchanges[-1].agree("all are there", np.zeros(1), 1)
        states = [State(0, model.initial(0)), State(0, model.initial(0))]
        for _, (kind, exchange) in itertools.product(range(BLOCKS), enumerate(exchanges)):
            started = time.perf_counter()
            with redirect_stdout(io.StringIO()):
                for _ in range(ROUNDS):
                    state, round_started = states[kind], time.perf_counter()
                    exchange.begin_round(state.round + 1, state)
                    loss, gradient, samples = model.loss_and_gradient(state.parameters, x, y)
                    total = exchange.all_reduce_update(np.append(gradient, np.float32(loss)), samples)
                    step = np.float32(0.1) * total.divided_by(total.samples)[:-1]
                    states[kind] = State(state.round + 1, state.parameters - step)
                    if kinds[kind] == "recorded":
                        waited = exchange.waits.waited
                        telemetry.round_done(state.round + 1, ROUNDS, float(loss), samples, round_started, waited)
                    exchange.end_round(states[kind])
            taken[kind].append(1e3 * (time.perf_counter() - started) / ROUNDS)
    return tuple(taken[0]), tuple(taken[1])

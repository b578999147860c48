"""What the recovery layer costs while nothing goes wrong: rounds with it and without it, in turns.

Ranks are processes, as on AWS, over a real memcached; both kinds of rounds take turns in blocks on the same
connections, so a busy machine slows both, and what counts is their ratio.

    python -m benchmarks.recovery
"""

import multiprocessing
import statistics
import time
from contextlib import closing
from typing import TYPE_CHECKING

import msgspec
import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table

from harness.settings import load_settings
from harness.stack import start_private_stack
from training.exchange.exchange import Exchange
from training.exchange.mailbox import Mailbox
from training.exchange.memcached import MemcachedChannel
from training.exchange.recovery import Recovery
from training.model.linear import logistic_regression

if TYPE_CHECKING:
    from multiprocessing.queues import Queue

BLOCKS, ROUNDS = 40, 50
ROWS, FEATURES = 1000, 28
# Of a round's time: gradient of a batch, all-reduce, step.
GOAL = 1.03


class State(msgspec.Struct, frozen=True):
    """What an algorithm hands to `begin_round`."""

    round: int
    parameters: NDArray[np.float32]


def main() -> None:
    """Prints one line per collective."""
    table = Table("3 ranks, lr", "plain ms", "with recovery ms", "ratio", "goal", box=None, pad_edge=False)
    with start_private_stack(load_settings(), s3="moto") as stack:
        host, port = stack.endpoints.memcached.split(":")
        for mode in ("all_gather", "reduce", "reduce_scatter"):
            plain, patient = _measure(host, int(port), mode, world_size=3)
            row = (f"{1e3 * plain:.3f}", f"{1e3 * patient:.3f}", f"{patient / plain:.3f}", f"{GOAL:.2f}")
            table.add_row(mode, *row)
    Console().print(table)


def _measure(host: str, port: int, mode: str, world_size: int) -> tuple[float, float]:
    """Median seconds of a round without and with recovery, on rank 0."""
    context = multiprocessing.get_context("spawn")
    queue: Queue[tuple[list[float], list[float]]] = context.Queue()
    ranks = [
        context.Process(target=_rank, args=(host, port, mode, rank, world_size, queue)) for rank in range(world_size)
    ]
    for process in ranks:
        process.start()
    blocks = queue.get(timeout=300)
    for process in ranks:
        process.join()
    # Block by block, so that what slows the machine for a while slows both.
    ratio = statistics.median(patient / plain for plain, patient in zip(*blocks, strict=True))
    plain = statistics.median(blocks[0]) / ROUNDS
    return plain, plain * ratio


def _rank(
    host: str, port: int, mode: str, rank: int, world_size: int, queue: "Queue[tuple[list[float], list[float]]]"
) -> None:
    random = np.random.default_rng(rank)
    x = random.normal(size=(ROWS, FEATURES)).astype(np.float32)
    y = (x[:, 0] > 0).astype(np.int64)
    model = logistic_regression(FEATURES, 2)
    seconds: tuple[list[float], list[float]] = ([], [])
    with closing(MemcachedChannel(host, port)) as channel:
        exchanges = []
        for kind in ("plain", "patient"):
            mailbox = Mailbox(channel, run_id=f"{mode}-{kind}", rank=rank, world_size=world_size)
            if kind == "patient":
                Recovery(mailbox, token=str(rank))
            exchanges.append(Exchange(mailbox, mode, join_timeout_s=60, round_timeout_s=60))
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
                seconds[kind].append(time.perf_counter() - started)
    if rank == 0:
        queue.put(seconds)


if __name__ == "__main__":
    main()

"""Compare the simulated exchange with the real one: rounds of 2 to 16 processes over memcached on this machine.

First, one rank measures this machine's constants: CPU time of the rank and of memcached, per round trip, value and
byte. The latency, which here is the time in which a process wakes up, is fitted so that `all_gather` of 116 B between
2 ranks agrees. Then each all-reduce is run, and simulated with these constants; the result is the ratio. Each is run
several times, and the least disturbed run counts.

    python -m benchmarks.scaling
"""

import math
import multiprocessing
import os
import statistics
import time
from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from typing import TYPE_CHECKING, NamedTuple

import click
import numpy as np
from pymemcache.client.base import Client
from rich.console import Console
from rich.table import Table

from harness.report.network import Network
from harness.report.simulate import simulate
from harness.settings import load_settings
from harness.stack import start_private_stack
from training.exchange.channel.memcached import MemcachedChannel
from training.exchange.collectives.registry import REGISTRY
from training.exchange.exchange import Exchange
from training.exchange.keys import Place
from training.exchange.mailbox import Mailbox
from training.exchange.waiting import PlainPolicy

if TYPE_CHECKING:
    from multiprocessing.queues import Queue

WORLD_SIZES = (2, 4, 8, 16)
# 29 floats of a linear model; a sparse model of RCV1's size; 1 MB.
PART_BYTES = (116, 189_000, 1_000_000)
# A burst takes about this long, or this many rounds.
BURSTS, SECONDS_PER_BURST = 2, 0.15
ROUNDS_AT_LEAST, ROUNDS_AT_MOST = 6, 300
SMALL, LARGE = 29, 100_000


class Work(NamedTuple):
    """The times of some work, in seconds."""

    wall: float
    rank: float
    store: float


@click.command()
@click.option("--world-sizes", default=",".join(map(str, WORLD_SIZES)), show_default=True, help="Ranks, with commas.")
@click.option("--constants-only", is_flag=True, help="Only measure this machine's constants.")
def main(*, world_sizes: str, constants_only: bool) -> None:
    """Print the constants, then one line per all-reduce."""
    console = Console()
    with start_private_stack(load_settings(), s3="moto") as stack:
        host, port = stack.endpoints.memcached.split(":")
        network = measured_network(host, int(port))
        if not constants_only:
            network = _fitted(network, _measured(host, int(port), "all_gather", 2, PART_BYTES[0]))
        console.print(network)
        if constants_only:
            return
        table = Table("ranks", "bytes", "collective", "real ms", "simulated ms", "ratio", box=None, pad_edge=False)
        ratios = []
        for world_size in map(int, world_sizes.split(",")):
            for part_bytes in PART_BYTES:
                for name in REGISTRY:
                    real = _measured(host, int(port), name, world_size, part_bytes)
                    simulated = simulate(name, world_size, part_bytes, network).seconds
                    ratios.append(simulated / real)
                    cells = (f"{1e3 * real:.2f}", f"{1e3 * simulated:.2f}", f"{ratios[-1]:.2f}")
                    table.add_row(str(world_size), f"{part_bytes:,}", name, *cells)
    console.print(table)
    console.print(
        f"{len(ratios)} cells: ratio {min(ratios):.2f} to {max(ratios):.2f}, median {statistics.median(ratios):.2f}"
    )


def measured_network(host: str, port: int) -> Network:
    """Return the constants of one rank and memcached on this machine, whose cores all ranks share."""
    with closing(MemcachedChannel(host, port)) as channel, closing(Client((host, int(port)))) as stats:

        def took(count: int, action: Callable[[int], object]) -> Work:
            before = Work(time.perf_counter(), time.process_time(), _store_s(stats))
            for index in range(count):
                action(index)
            after = Work(time.perf_counter(), time.process_time(), _store_s(stats))
            return Work(*((now - then) / count for now, then in zip(after, before, strict=True)))

        sender, receiver = (Mailbox(channel, run_id="constants", rank=rank, world_size=2) for rank in (0, 1))
        many = [Mailbox(channel, run_id="constants", rank=rank, world_size=64) for rank in range(64)]
        small, large = np.ones(SMALL, np.float32), np.ones(LARGE, np.float32)
        trip = took(3000, lambda _: channel.get_many(["absent"]))
        for mailbox in many:
            channel.put_many(mailbox.outgoing(Place(1, 0), small, 1, 0))
        slices = dict.fromkeys(range(64), small)
        put = took(200, lambda index: channel.put_many(sender.outgoing(Place(10 + index, 0), slices, 1, 0)))
        policy = PlainPolicy(channel, receiver.keys)
        gathered = (Place(1, 0), many[0].others, np.dtype(np.float32), policy)
        got = took(200, lambda _: many[0].collect(*gathered, timeout_s=5))
        put_large = took(100, lambda index: channel.put_many(sender.outgoing(Place(1000 + index % 4, 0), large, 1, 0)))
        total = large.copy()

        def collect_and_add(index: int) -> None:
            place = Place(1000 + index % 4, 0)
            np.add(total, receiver.collect(place, [0], large.dtype, policy, timeout_s=5)[0].payload, out=total)

        got_large = took(100, collect_and_add)
    frame_s = (put.rank + got.rank - 2 * trip.rank) / 127
    store_key_s = max(0.0, (put.store + got.store - 2 * trip.store) / 127)
    moved = 2 * large.nbytes
    return Network(
        latency_s=max(0.0, trip.wall - trip.rank - trip.store),
        rank_bytes_per_s=math.inf,
        store_bytes_per_s=math.inf,
        trip_s=trip.rank,
        frame_s=frame_s,
        byte_s=max(0.0, put_large.rank + got_large.rank - 2 * (trip.rank + frame_s)) / moved,
        store_trip_s=max(0.0, trip.store - store_key_s),
        store_key_s=store_key_s,
        store_byte_s=max(0.0, put_large.store + got_large.store - 2 * trip.store) / moved,
        shared_cores=os.cpu_count() or 1,
    )


def _store_s(client: Client) -> float:
    """Return the CPU seconds that memcached has used."""
    stats = client.stats()
    return float(stats[b"rusage_user"]) + float(stats[b"rusage_system"])


def _fitted(network: Network, real_s: float) -> Network:
    """Return the network with the latency for which the simulated time of two ranks equals the real one."""
    simulated_s = simulate("all_gather", 2, PART_BYTES[0], network).seconds
    # Two round trips: for one of the two ranks, the poll after its own put comes too early.
    return replace(network, latency_s=network.latency_s + max(0.0, real_s - simulated_s) / 2)


def _measured(host: str, port: int, name: str, world_size: int, part_bytes: int) -> float:
    """Return the seconds of a round on rank 0: the best burst's median, because the machine does other work too."""
    return min(
        _burst(host, port, f"{burst}-{name}-{world_size}-{part_bytes}", name, world_size, part_bytes)
        for burst in range(BURSTS)
    )


def _burst(host: str, port: int, run_id: str, name: str, world_size: int, part_bytes: int) -> float:
    """Return the median seconds of a round on rank 0."""
    with closing(Client((host, port))) as own:
        own.flush_all()  # leftovers of earlier bursts would eventually evict frames of this one
    context = multiprocessing.get_context("fork")
    queue: Queue[list[float]] = context.Queue()
    ranks = [
        context.Process(target=_rank, args=(host, port, run_id, name, rank, world_size, part_bytes, queue))
        for rank in range(world_size)
    ]
    for process in ranks:
        process.start()
    seconds = queue.get(timeout=120)
    for process in ranks:
        process.join()
    return statistics.median(seconds)


def _rank(
    host: str,
    port: int,
    run_id: str,
    name: str,
    rank: int,
    world_size: int,
    part_bytes: int,
    queue: "Queue[list[float]]",
) -> None:
    part = np.random.default_rng(rank).normal(size=part_bytes // 4).astype(np.float32)
    seconds: list[float] = []
    with closing(MemcachedChannel(host, port)) as channel:
        mailbox = Mailbox(channel, run_id=run_id, rank=rank, world_size=world_size)
        exchange = Exchange(mailbox, name, join_timeout_s=60, round_timeout_s=60)
        exchange.start()
        exchange.agree("all are there", np.zeros(1), 1)
        number, rounds = 0, ROUNDS_AT_LEAST
        while number < rounds:
            number += 1
            started = time.perf_counter()
            exchange.begin_round(number)
            exchange.all_reduce(part, 1)
            seconds.append(time.perf_counter() - started)
            if number == ROUNDS_AT_LEAST // 2:
                # Rank 0 sends the number of rounds to the others.
                mine = SECONDS_PER_BURST / statistics.median(seconds) if rank == 0 else 0.0
                wanted = exchange.all_reduce(np.array([mine]), 1).values[0]
                rounds = int(min(max(wanted, ROUNDS_AT_LEAST), ROUNDS_AT_MOST))
        exchange.agree("all are done", np.zeros(1), 1)
    if rank == 0:
        queue.put(seconds[2:])


if __name__ == "__main__":
    main()

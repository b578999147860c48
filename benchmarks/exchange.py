"""Measure whole rounds of the exchange (begin, all-reduce, end) beside the same bytes through bare sockets.

Ranks are processes on a stack's memcached, with the recovery layer, as in workers. Blocks of our rounds and blocks of
the floor take turns in the same processes; the floor moves the bytes of the same collective on the same number of
concurrent connections, but does not wait for other ranks.
"""

import statistics
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from benchmarks.bare_memcached import BareMemcached, BareRounds, Step, steps_of
from benchmarks.figure import Figure, Goal
from benchmarks.ranks import Team, run_ranks
from benchmarks.stage import memcached
from benchmarks.turns import scaled
from training.exchange.channel.memcached import MemcachedChannel
from training.exchange.collectives import cost_model
from training.exchange.exchange import Exchange
from training.exchange.frame import HEADER_BYTES
from training.exchange.mailbox import Mailbox
from training.exchange.recovery.recovery import Recovery

SMALL, LARGE = 29, 1_000_000
SCALES = (2, 4, 8, 16, 32, 64)


class State(msgspec.Struct, frozen=True):
    """The state that an algorithm passes to `begin_round`."""

    round: int
    parameters: NDArray[np.float32]


@dataclass(frozen=True)
class Measured:
    """The measurements of one rank, one entry per block.

    Attributes:
        floor_p50: Median seconds of the floor's round trips in one round.
        ours_p50: Median seconds of our round.
        floor_mean: Mean seconds of the floor's round.
        ours_mean: Mean seconds of our round.
        waiting_mean: Mean seconds of a round of bare sockets that wait for one another; empty for large parts.
        collective: The collective that `auto` chose.
    """

    floor_p50: tuple[float, ...]
    ours_p50: tuple[float, ...]
    floor_mean: tuple[float, ...]
    ours_mean: tuple[float, ...]
    waiting_mean: tuple[float, ...]
    collective: str


def exchange() -> Iterator[Figure]:
    """Measure small and large all-reduces with few ranks."""
    with memcached() as address:
        link = link_to(address)
        first = run_ranks(2, measure, address, "small", link, SMALL, 15, 200)[0]
        yield Figure(
            name="all-reduce of 29 floats, 2 ranks, p50",
            unit="µs",
            floor_name="one set and one get of the frame, bare sockets",
            floor=scaled(first.floor_p50, 1e6),
            ours=scaled(first.ours_p50, 1e6),
            goal=Goal(2),
            note=first.collective,
        )
        ranks = run_ranks(4, measure, address, "large", link, LARGE, 9, 6)
        yield Figure(
            name="all-reduce of 1,000,000 floats, 4 ranks",
            unit="ms",
            floor_name="the same bytes, bare sockets",
            floor=slowest(ranks, lambda rank: rank.floor_mean),
            ours=slowest(ranks, lambda rank: rank.ours_mean),
            goal=Goal(1.5),
            note=ranks[0].collective,
        )


def scaling() -> Iterator[Figure]:
    """Measure rounds with increasing numbers of ranks on the same machine."""
    with memcached() as address:
        link = link_to(address)
        for size in SCALES:
            ranks = run_ranks(size, measure, address, f"scale-{size}", link, SMALL, 7, max(10, 400 // size))
            yield Figure(
                name=f"round of 29 floats, {size} ranks, auto",
                unit="ms",
                floor_name="the same trips and bytes, bare sockets",
                floor=slowest(ranks, lambda rank: rank.floor_mean),
                ours=slowest(ranks, lambda rank: rank.ours_mean),
                goal=Goal(1.5),
                note=f"{ranks[0].collective}; {_beside_waiting(ranks):.1f}x of bare sockets that wait as well",
            )


def _beside_waiting(ranks: list[Measured]) -> float:
    pairs = zip(
        slowest(ranks, lambda rank: rank.ours_mean), slowest(ranks, lambda rank: rank.waiting_mean), strict=True
    )
    return statistics.median(ours / waiting for ours, waiting in pairs)


def slowest(ranks: list[Measured], of: Callable[[Measured], tuple[float, ...]]) -> tuple[float, ...]:
    """Return the milliseconds of the slowest rank, block by block."""
    return tuple(1e3 * max(block) for block in zip(*map(of, ranks), strict=True))


def link_to(address: tuple[str, int]) -> dict[str, Any]:
    """What `auto` goes by: how the cache is reached, measured as the coordinator does.

    Nothing in revisions to compare with that go by constants.
    """
    if not hasattr(cost_model, "probe"):
        return {}
    with closing(MemcachedChannel(*address)) as channel:
        return {"link": cost_model.probe(channel, "probe", time.perf_counter)}


def measure(
    team: Team, address: tuple[str, int], name: str, link: dict[str, Any], size: int, blocks: int, rounds: int
) -> Measured:
    """Blocks of our rounds and of the floor's, in turns; runs in every rank.

    Args:
        team: The ranks.
        address: Memcached's.
        name: Of the run; keys begin with it.
        link: What `auto` goes by.
        size: Values of a part.
        blocks: How many blocks of each kind.
        rounds: Rounds of a block.
    """
    part = np.random.default_rng(team.rank).normal(size=size).astype(np.float32)
    with closing(MemcachedChannel(*address)) as channel:
        mailbox = Mailbox(channel, run_id=name, rank=team.rank, world_size=team.size)
        recovery = Recovery(mailbox, token=str(team.rank))
        ours = Exchange(mailbox, "auto", join_timeout_s=60, round_timeout_s=60, recovery=recovery, **link)
        ours.start()
        ours.agree("all are there", np.zeros(1), 1)
        course = _Course(ours, part)
        course.block(2)  # connections, buffers and code are warm, and the collective is known
        collective = ours.report()["collectives"][0]
        steps = steps_of(collective, team.rank, team.size, part.nbytes, HEADER_BYTES)
        with closing(BareMemcached(*address, f"{name}/floor", steps, channel.max_value_bytes)) as floor:
            floor.put_all()
            team.together()
            floor.run()
            taken = []
            for _ in range(blocks):
                team.together()
                bare = [_seconds(floor.run) for _ in range(rounds)]
                team.together()
                taken.append((bare, course.block(rounds)))
            team.together()
        waiting_mean = _waiting(team, address, name, steps, blocks, rounds) if size == SMALL else ()
    p50 = [(statistics.median(bare), statistics.median(whole)) for bare, whole in taken]
    mean = [(statistics.fmean(bare), statistics.fmean(whole)) for bare, whole in taken]
    floor_p50, ours_p50 = zip(*p50, strict=True)
    floor_mean, ours_mean = zip(*mean, strict=True)
    return Measured(floor_p50, ours_p50, floor_mean, ours_mean, waiting_mean, collective)


def _waiting(
    team: Team, address: tuple[str, int], name: str, steps: list[Step], blocks: int, rounds: int
) -> tuple[float, ...]:
    """Return the mean seconds of a round of bare sockets that wait for one another, block by block."""
    with closing(BareRounds(*address, f"{name}/waiting", steps, blocks * rounds)) as waiting:
        means = []
        for _ in range(blocks):
            team.together()
            means.append(statistics.fmean(_seconds(waiting.run) for _ in range(rounds)))
        team.together()
    return tuple(means)


class _Course:
    """The rounds of a run, as an algorithm makes them."""

    def __init__(self, exchange: Exchange, part: NDArray[np.float32]) -> None:
        self._exchange, self._part = exchange, part
        self._state = State(0, part[:1])

    def block(self, rounds: int) -> list[float]:
        """Return the seconds of each of several rounds."""
        return [_seconds(self._round) for _ in range(rounds)]

    def _round(self) -> None:
        self._exchange.begin_round(self._state.round + 1, self._state)
        total = self._exchange.all_reduce_update(self._part, 1)
        self._state = State(self._state.round + 1, total.values[:1])
        self._exchange.end_round(self._state)


def _seconds(action: Callable[[], object]) -> float:
    started = time.perf_counter()
    action()
    return time.perf_counter() - started

"""Rounds that follow one another, for many samples at once: each trip of each rank with its own draw.

The simulation (`harness.report.simulated_rounds`) runs the code that goes to AWS, one event after the other. Here the
same rounds are arrays: all ranks pass a station at once, and queues are computed from the order of their arrivals.

    simulated        latencies, by zone; puts and what they find; polls and what their back-off has learnt;
                     the cache's processors and cable; token buckets; a rank's own work
    closed           the order in which trips of different steps meet at the cache: those of one step queue among
                     themselves, and the cable's work is carried over

A test compares both for 2 to 32 ranks.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from harness.report.network import Network
from harness.report.samples import Floats
from harness.report.station import Booleans, Buckets, Cable, DrawPool, in_line
from training.exchange.backoff import (
    DELAY_GROWTH,
    EAGER_POLLS,
    FIRST_DELAY_S,
    LONGEST_DELAY_PER_RANK_S,
    LONGEST_DELAY_S,
    LONGEST_SILENCE_S,
    MEMORY,
    POLL_SHARE,
    SHORT_S,
    SILENT_SHARE,
)
from training.exchange.collectives.two_level import WHOLE_UP_TO_BYTES, group_of, leaders_of
from training.exchange.frame import HEADER_BYTES

Ranks = npt.NDArray[np.intp]


@dataclass(slots=True)
class Stations:
    """All that ranks pass.

    Attributes:
        network: The constants of processors, and the number of nodes.
        draw: Draws the latencies of a trip of some ranks: as many lines as samples, a column for each rank.
        sent: The buckets of what ranks send.
        received: The buckets of what they receive.
        to_cache: The cable of what all send.
        from_cache: The cable of what all receive.
    """

    network: Network
    draw: Callable[[Ranks], Floats]
    sent: Buckets
    received: Buckets
    to_cache: Cable
    from_cache: Cable


class SampledExchange:
    """The all-reduces of all ranks of a collective, for many samples.

    Args:
        collective: A name of `training.exchange.collectives.registry.REGISTRY`.
        world_size: The number of ranks, at least 2.
        part_bytes: The size of one rank's part in bytes.
        stations: What ranks pass.
    """

    def __init__(self, collective: str, world_size: int, part_bytes: int, stations: Stations) -> None:
        self._collective, self._w, self._m, self._stations = collective, world_size, float(part_bytes), stations
        self._network = stations.network
        self._longest_s = max(LONGEST_DELAY_S, LONGEST_DELAY_PER_RANK_S * world_size)
        # The last waits by kind: each as many arrays as the back-off remembers.
        self._waits: dict[str, list[Floats]] = {}
        self._put_work_s = 0.0
        self._rounds, self._removal = 0, np.zeros(world_size)

    def all_reduce(self, begin: Floats) -> Floats:
        """Return when each rank has the total.

        Args:
            begin: When each rank begins.
        """
        everyone = np.arange(self._w)
        # In its first trip of a round, a rank removes its frames of an earlier one; nobody waits for the answer.
        removed = self._network.store_trip_s + self._keys_stored() * self._network.store_key_s
        self._removal = removed if self._rounds else np.zeros(self._w)
        self._rounds += 1
        if self._collective == "reduce":
            return self._grouped(begin, [everyone])
        if self._collective == "two_level":
            groups = [np.array(group_of(leader, self._w)) for leader in leaders_of(self._w)]
            return self._grouped(begin, groups)
        return self._flat(self._collective, everyone, begin, self._m)

    def _flat(self, collective: str, ranks: Ranks, begin: Floats, size: float) -> Floats:
        """Return when some ranks that exchange with one another have the total."""
        others = len(ranks) - 1
        if collective == "all_gather":
            return self._among("parts", ranks, begin, 1, size)
        sums = self._among("parts", ranks, begin, others, size / len(ranks))
        return self._among("sums", ranks, sums, 1, size / len(ranks))

    def _among(self, kind: str, ranks: Ranks, begin: Floats, values: int, size: float) -> Floats:
        """Let each rank put values, and read one of each other rank."""
        served, latency = self._put(ranks, begin, values, size, len(ranks) - 1)
        stored = _Stored(np.sort(served, axis=1), len(ranks) - 1, own=1)
        return self._wait(kind, ranks, begin, served, latency, stored, size)

    def _grouped(self, begin: Floats, groups: list[Ranks]) -> Floats:
        """Let each group's leader add its members' parts, leaders exchange the sums, and members read the total."""
        leaders = np.array([group[0] for group in groups])
        members = np.array([rank for group in groups for rank in group[1:]], dtype=np.intp)
        # The number of its group, for each member.
        led_by = np.array([number for number, group in enumerate(groups) for _ in group[1:]], dtype=np.intp)
        done = begin.copy()
        put, latency = self._put(members, begin[:, members], 1, self._m, 1)
        sums = self._from_members(leaders, begin[:, leaders], put, led_by)
        if len(leaders) > 1:
            flat = "all_gather" if self._m <= WHOLE_UP_TO_BYTES else "reduce_scatter"
            sums = self._flat(flat, leaders, sums, self._m)
        totals, sending = self._put(leaders, sums, 1, self._m, 0)
        sent = self._take(leaders, totals, sending, np.zeros_like(totals), 0.0)
        # A leader of nobody stores no total.
        done[:, leaders] = np.where(np.isin(np.arange(len(leaders)), led_by), sent, sums)
        total = _Stored(totals[:, led_by, None], 1)
        done[:, members] = self._wait("total", members, begin[:, members], put, latency, total, self._m)
        return done

    def _from_members(self, leaders: Ranks, begin: Floats, put: Floats, led_by: Ranks) -> Floats:
        """Return when each leader has its members' parts."""
        sizes = np.bincount(led_by, minlength=len(leaders))
        # A smaller group's parts that do not exist are never awaited.
        there = np.full((*begin.shape, sizes.max()), np.inf)
        for number, size in enumerate(sizes):
            there[:, number, :size] = np.sort(put[:, led_by == number], axis=1)
        everyone = np.broadcast_to(sizes > 0, begin.shape)
        served, latency = self._poll(leaders, begin, everyone, np.broadcast_to(sizes, begin.shape), self._m)
        got = self._wait("parts of members", leaders, begin, served, latency, _Stored(there, sizes), self._m)
        return np.where(everyone, got, begin)

    def _put(self, ranks: Ranks, begin: Floats, values: int, size: float, asked: int) -> tuple[Floats, Floats]:
        """Return when the cache has served a trip that stores values and asks for others, and the trip's latency."""
        network, body = self._network, values * (size + HEADER_BYTES)
        now = begin + network.trip_s / 2 + values * network.frame_s + body * network.byte_s
        latency = self._stations.draw(ranks)
        now += latency / 2
        sizes = np.full_like(now, body)
        now = np.maximum(
            self._stations.sent.pass_bytes(ranks, sizes, now), self._stations.to_cache.pass_bytes(sizes, now)
        )
        keys = (values + asked) * self._pieces(size)
        work = np.full_like(now, network.store_trip_s + keys * network.store_key_s) + self._removal[ranks]
        self._removal[ranks] = 0.0
        self._put_work_s = float(work.max())
        return self._serve(now, work), latency

    def _poll(
        self, ranks: Ranks, begin: Floats, polls: Booleans, missing: Floats, size: float
    ) -> tuple[Floats, Floats]:
        network, latency = self._network, self._stations.draw(ranks)
        work = network.store_trip_s + missing * self._pieces(size) * network.store_key_s
        sent = begin + network.trip_s / 2 + latency / 2
        # Who asks while a value arrives is served behind it, and finds it.
        now = self._stations.to_cache.behind_values(sent)
        now = np.where(now > sent, now + self._put_work_s, now)
        work = np.where(polls, work + self._removal[ranks], 0.0)
        self._removal[ranks] = 0.0
        return self._serve(now, work), latency

    def _serve(self, now: Floats, work: Floats) -> Floats:
        """Let the cache's processors work; with several of them, all of them are in each other's way a little less."""
        cores = self._network.store_cores * self._network.nodes
        return in_line(now, work / cores) + work * (1 - 1 / cores)

    def _take(self, ranks: Ranks, served: Floats, latency: Floats, frames: Floats, size: float) -> Floats:
        """Return when ranks have received so many frames each."""
        network, body = self._network, frames * (size + HEADER_BYTES)
        arrived = np.maximum(
            self._stations.received.pass_bytes(ranks, body, served), self._stations.from_cache.pass_bytes(body, served)
        )
        arrived = np.where(frames > 0, arrived, self._stations.from_cache.behind_values(served))
        return arrived + latency / 2 + network.trip_s / 2 + frames * network.frame_s + body * network.byte_s

    def _wait(
        self,
        kind: str,
        ranks: Ranks,
        begin: Floats,
        served: Floats,
        latency: Floats,
        stored: "_Stored",
        size: float,
    ) -> Floats:
        """Poll until all frames are there; return when each rank has them.

        Args:
            kind: What is awaited: each kind has its own back-off.
            ranks: Who waits.
            begin: When each began its first trip.
            served: When the cache has served this trip.
            latency: The latency of this trip.
            stored: The frames.
            size: The size of a frame's values in bytes.
        """
        got = stored.found(served)
        end = self._take(ranks, served, latency, got, size)
        came_s = np.where(got > 0, 0.0, np.nan)
        delays = self._delays(kind, end - begin)
        while (missing := got < stored.frames).any():
            delay_s = next(delays)
            polled = end + np.where(delay_s > 0, delay_s + self._network.oversleep_s, 0.0)
            # Polls at the longest delay that come too early are passed over at once.
            early = np.maximum(0.0, stored.following(got) - polled - latency)
            cycle = self._longest_s + latency
            polled += np.where(missing & (delay_s >= self._longest_s), np.floor(early / cycle) * cycle, 0.0)
            served, latency = self._poll(ranks, polled, missing, stored.frames - got, size)
            found = np.where(missing, np.maximum(stored.found(served) - got, 0.0), 0.0)
            end = np.where(missing, self._take(ranks, served, latency, found, size), end)
            came_s = np.where(np.isnan(came_s) & (found > 0), polled - begin, came_s)
            got += found
        # A leader of nobody waits for nothing.
        self._learn(kind, np.nan_to_num(came_s))
        return end

    def _delays(self, kind: str, gone_s: Floats) -> "_Delays":
        waits = self._waits.get(kind, [])
        least = np.minimum.reduce(waits) if len(waits) == MEMORY else np.zeros_like(gone_s)
        return _Delays(least, gone_s, self._longest_s)

    def _learn(self, kind: str, waited_s: Floats) -> None:
        self._waits[kind] = [*self._waits.get(kind, []), waited_s][-MEMORY:]

    def _keys_stored(self) -> Floats:
        """Return how many keys each rank stores in a round."""
        keys = np.ones(self._w)
        if self._collective == "reduce_scatter":
            return keys * self._w * self._pieces(self._m / self._w)
        keys *= self._pieces(self._m)
        leaders = leaders_of(self._w)
        if self._collective == "two_level" and len(leaders) > 1:
            flat = self._m > WHOLE_UP_TO_BYTES
            keys[list(leaders)] += len(leaders) * self._pieces(self._m / len(leaders)) if flat else 1
        return keys

    def _pieces(self, size: float) -> int:
        return max(1, math.ceil((size + HEADER_BYTES) / self._network.max_value_bytes))


class _Stored:
    """The frames that ranks wait for.

    Args:
        there: When they are stored, ascending in the last axis: for all ranks in common, or by rank.
        frames: How many a rank needs, or each of them.
        own: How many of them are a rank's own, which it does not need.
    """

    def __init__(self, there: Floats, frames: int | npt.NDArray[np.intp], own: int = 0) -> None:
        self._there, self._own, self.frames = there, own, np.asarray(frames, dtype=np.float64)

    def found(self, when: Floats) -> Floats:
        """Return how many frames of others are there at these moments."""
        if self._there.ndim == when.ndim:
            lines = zip(self._there, when, strict=True)
            found = np.array([np.searchsorted(line, moments, side="right") for line, moments in lines])
        else:
            found = (self._there <= when[:, :, None]).sum(axis=2)
        counts: Floats = np.clip(found - self._own, 0, self.frames)
        return counts

    def following(self, got: Floats) -> Floats:
        """Return when the next frame of each rank is stored, after so many."""
        last = self._there.shape[-1] - 1
        places = np.minimum(got + self._own, last).astype(np.intp)
        if self._there.ndim == got.ndim:
            return np.take_along_axis(self._there, places, axis=1)
        return np.take_along_axis(self._there, places[:, :, None], axis=2)[:, :, 0]


class _Delays:
    """The delays of a back-off that has learnt, for many ranks: see `training.exchange.backoff.AdaptiveBackoff`.

    Args:
        least: The shortest of each rank's last waits, s.
        gone_s: How long each has waited when the first delay begins.
        longest_s: The longest delay.
    """

    def __init__(self, least: Floats, gone_s: Floats, longest_s: float) -> None:
        self._short = least < SHORT_S
        self._silence = np.maximum(0.0, np.minimum(SILENT_SHARE * least, LONGEST_SILENCE_S) - gone_s)
        self._least, self._longest_s, self._number = least, longest_s, 0

    def __next__(self) -> Floats:
        number, self._number = self._number, self._number + 1
        eager = 0.0 if number < EAGER_POLLS else FIRST_DELAY_S * DELAY_GROWTH ** min(number - EAGER_POLLS, 60)
        learnt = self._silence if number == 0 else POLL_SHARE * self._least * DELAY_GROWTH ** min(number - 1, 60)
        return np.minimum(np.where(self._short, eager, learnt), np.where(number == 0, np.inf, self._longest_s))


__all__ = ["DrawPool", "SampledExchange", "Stations"]

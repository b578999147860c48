"""Stations that ranks pass, for many samples at once: FIFO queues, token buckets, and trips to the cache.

Every array has a line for a sample and a column for a rank. What one line does is what `harness.report.simulated_store`
and `harness.network.conditions` do for one event after the other.
"""

import numpy as np
import numpy.typing as npt

from harness.presets.distribution import Varying
from harness.report.samples import Floats

Booleans = npt.NDArray[np.bool_]

_POOL = 1 << 15
# Calls that a station remembers.
CALLS = 3


class DrawPool:
    """Draws of a figure in seconds, made once and taken again and again from another place.

    Args:
        value: The figure, ms.
        rng: The generator.
    """

    def __init__(self, value: Varying, rng: np.random.Generator) -> None:
        self._values = 1e-3 * value.sample(rng, _POOL)
        self._next = 0

    def take(self, shape: tuple[int, int]) -> Floats:
        """Return draws in this shape."""
        count = shape[0] * shape[1]
        if self._next + count > _POOL:
            self._next = 0
            if count > _POOL:
                return np.resize(self._values, shape)
        self._next += count
        return self._values[self._next - count : self._next].reshape(shape)


def in_line(arrivals: Floats, service: Floats) -> Floats:
    """Return when each is done at a station that serves one after the other, in the order of their arrivals."""
    order = np.argsort(arrivals, axis=1)
    sorted_service = np.take_along_axis(service, order, axis=1)
    done = np.cumsum(sorted_service, axis=1)
    idle_until = np.maximum.accumulate(np.take_along_axis(arrivals, order, axis=1) - done + sorted_service, axis=1)
    finished = np.empty_like(arrivals)
    np.put_along_axis(finished, order, done + idle_until, axis=1)
    return finished


class Buckets:
    """The token buckets of all ranks in one direction; see `harness.network.conditions.buckets.TokenBucket`.

    Args:
        shape: Samples and ranks.
        burst: The size of a bucket, bytes.
        burst_rate: Bandwidth while there are tokens, bytes/s.
        base_rate: Bandwidth in the long run, bytes/s.
        pulse_s: The interval in which it is granted; 0 for continuously.
        rng: Draws where in its interval each sample begins; None for buckets that are never empty.
    """

    def __init__(
        self,
        shape: tuple[int, int],
        burst: float,
        burst_rate: float,
        base_rate: float,
        pulse_s: float,
        rng: np.random.Generator | None,
    ) -> None:
        self._burst_rate, self._rate, self._pulse_s = burst_rate, min(base_rate, burst_rate), pulse_s
        self._pulse = self._rate * pulse_s
        self._endless = rng is None
        self._burst, self._most = burst, max(burst, self._pulse)
        self._tokens = np.zeros(shape)
        self._granted_until = (
            np.zeros(shape) if rng is None else np.broadcast_to(-pulse_s * rng.random((shape[0], 1)), shape).copy()
        )
        self._free_at = np.zeros(shape)

    def fill(self) -> None:
        """Fill all buckets, and begin their intervals now."""
        self._tokens[:], self._granted_until[:] = self._burst, 0.0

    def pass_bytes(self, ranks: slice | npt.NDArray[np.intp], size: Floats, now: Floats) -> Floats:
        """Take bytes of some ranks, and return when the last of them have passed."""
        at = np.maximum(now, self._free_at[:, ranks])
        done = at + size / self._burst_rate if self._endless else self._starving(ranks, size, at)
        done = np.where(size > 0, done, now)
        self._free_at[:, ranks] = np.where(size > 0, done, self._free_at[:, ranks])
        return done

    def _starving(self, ranks: slice | npt.NDArray[np.intp], size: Floats, at: Floats) -> Floats:
        granted_before, tokens_before = self._granted_until[:, ranks], self._tokens[:, ranks]
        granted, tokens = granted_before, tokens_before
        idle_s = np.maximum(0.0, at - granted)
        if self._pulse_s:
            idle_s = self._pulse_s * np.floor(idle_s / self._pulse_s + 1e-9)
        tokens = np.minimum(tokens + self._rate * idle_s, self._most)
        granted = granted + idle_s
        sent = np.minimum(size, tokens)
        # Nothing is granted while bytes of the burst pass.
        granted = granted + np.minimum(sent, np.maximum(0.0, tokens - self._pulse)) / self._burst_rate
        tokens = tokens - sent
        done = at + sent / self._burst_rate
        left = size - sent
        if self._pulse_s:
            pulses = np.ceil(left / self._pulse)
            granted = granted + pulses * self._pulse_s
            last = left - (pulses - 1) * self._pulse
            starved = np.maximum(done, granted) + last / self._burst_rate
            tokens = np.where(left > 0, pulses * self._pulse - left, tokens)
        else:
            starved = done + left / self._rate
            granted = np.where(left > 0, starved, granted)
        # Who sends nothing is not asked, at whatever time that would have been.
        self._granted_until[:, ranks] = np.where(size > 0, granted, granted_before)
        self._tokens[:, ranks] = np.where(size > 0, tokens, tokens_before)
        return np.where(left > 0, starved, done)


class QueuedStation:
    """A station that serves one after the other, which ranks pass again and again.

    Those that are served at a time come in one call, in any order; the last calls are remembered, so that a rank that
    comes early finds what was there before it, and not what comes later.

    Args:
        samples: The number of samples.
    """

    def __init__(self, samples: int) -> None:
        self._last: tuple[Floats, Floats] = (np.zeros((samples, 0)), np.zeros((samples, 0)))
        self._free_at: Floats = np.zeros((1, 1))

    def serve(self, arrivals: Floats, service: Floats) -> Floats:
        """Return when each of many has been served.

        Args:
            arrivals: When each arrives.
            service: How long each takes; 0 for one that passes by.
        """
        arrivals = np.maximum(arrivals, self._free_at)
        before = self._last
        times, work = (np.concatenate(parts, axis=1) for parts in zip(before, (arrivals, service), strict=True))
        done = in_line(times, work)[:, before[0].shape[1] :]
        self._last = (arrivals, service)
        # All that was taken was served by then at the earliest, however those of different calls are in turn.
        first = np.where(service > 0, arrivals, np.inf).min(axis=1, keepdims=True)
        busy = np.isfinite(first)
        self._free_at = np.where(busy, np.where(busy, first, 0.0) + service.sum(axis=1, keepdims=True), self._free_at)
        return done


class Cable:
    """The link of the cache's nodes in one direction, which all ranks share.

    Args:
        samples: The number of samples.
        rate: Bandwidth, bytes/s.
    """

    def __init__(self, samples: int, rate: float) -> None:
        self._rate, self._queue = rate, QueuedStation(samples)
        # The last values: when each came, in this order, and when it and all before it had passed.
        self._came, self._passed = np.zeros((samples, 0)), np.zeros((samples, 1))

    def pass_bytes(self, size: Floats, now: Floats) -> Floats:
        """Take bytes of many ranks, and return when the last of each have passed."""
        if not size.any():
            return now
        passed = np.where(size > 0, self._queue.serve(now, size / self._rate), now)
        came = np.where(size > 0, now, np.inf)
        order = np.argsort(came, axis=1)
        self._came = np.take_along_axis(came, order, axis=1)
        ended = np.maximum.accumulate(np.take_along_axis(np.where(size > 0, passed, 0.0), order, axis=1), axis=1)
        self._passed = np.concatenate([np.zeros((len(now), 1)), ended], axis=1)
        return passed

    def behind_values(self, now: Floats) -> Floats:
        """Return when something small has passed, behind the values that came before it."""
        lines = zip(self._came, now, strict=True)
        places = np.array([np.searchsorted(came, moments, side="right") for came, moments in lines])
        behind: Floats = np.maximum(now, np.take_along_axis(self._passed, places, axis=1))
        return behind

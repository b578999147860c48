"""Figures from samples: pure functions, which know the forms of `harness.presets` and nothing of AWS.

Each returns None where the samples do not show the figure, so that the base preset's stays.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np
import numpy.typing as npt

from harness.presets.distribution import ByCount

Floats = npt.NDArray[np.float64]

_NORMAL = NormalDist()
_Z90, _Z99 = _NORMAL.inv_cdf(0.9), _NORMAL.inv_cdf(0.99)
# With fewer samples above the median, a second piece would be a fit of noise.
_LEAST_FOR_TWO_PIECES = 100
_RESAMPLES = 200


@dataclass(frozen=True)
class FittedQuantiles:
    """A distribution as a preset gives it.

    Attributes:
        quantiles: `p50`, `p99`, and `p90` where the tail has another slope than the middle.
        samples: How many values it was fitted to.
        doubt: How far p50 and p99 may be off by chance: half the width of a 90 % interval, as shares of their values.
    """

    quantiles: dict[str, float]
    samples: int
    doubt: tuple[float, float]


def fit_quantiles(values: Sequence[float], seed: int = 0) -> FittedQuantiles | None:
    """Return the median and the tail of a distribution.

    The tail is fitted to all samples above the median, in the form that `harness.presets.distribution` draws from:
    the logarithm is linear in the standard normal variable, in one piece, or in two that meet at p90 where the samples
    are more likely so (by the Bayesian information criterion). That is steadier than the highest percent of samples,
    one of which may be this machine's own delay.

    Args:
        values: The samples, above 0.
        seed: Seed of the resampling behind the doubt.

    Returns:
        The quantiles; None for fewer than three samples.
    """
    logs = np.log(np.array([value for value in values if value > 0]))
    if len(logs) < 3:
        return None
    found = _quantiles(logs)
    rng = np.random.default_rng(seed)
    again = [_quantiles(rng.choice(logs, len(logs)), pieces=len(found) - 1) for _ in range(_RESAMPLES)]
    p50_doubt, p99_doubt = (
        float((np.quantile(ends, 0.95) - np.quantile(ends, 0.05)) / 2 / found[name])
        for name in ("p50", "p99")
        for ends in [[one[name] for one in again]]
    )
    return FittedQuantiles(found, len(logs), (p50_doubt, p99_doubt))


def _quantiles(logs: Floats, pieces: int = 0) -> dict[str, float]:
    """Return quantiles; `pieces` is 1 or 2, or 0 for as many as the samples show."""
    middle = float(np.median(logs))
    above = logs[logs > middle] - middle
    if not len(above):
        return {"p50": float(np.exp(middle)), "p99": float(np.exp(middle))}
    one = float(np.sqrt(np.mean(above * above)))
    if pieces != 1 and (pieces == 2 or len(above) >= _LEAST_FOR_TWO_PIECES):
        inner, outer, loss = _two_pieces(above, one)
        if pieces == 2 or 2 * (_loss(above, one, one) - loss) > np.log(len(above)):
            p90 = middle + _Z90 * inner
            ends = {"p50": middle, "p90": p90, "p99": p90 + (_Z99 - _Z90) * outer}
            return {name: float(np.exp(end)) for name, end in ends.items()}
    return {"p50": float(np.exp(middle)), "p99": float(np.exp(middle + _Z99 * one))}


def _two_pieces(above: Floats, start: float) -> tuple[float, float, float]:
    """Return the likeliest slopes below and above p90, and their loss."""
    best = (start, start, _loss(above, start, start))
    for around in (np.geomspace(0.4, 2.5, 40), np.geomspace(0.95, 1.05, 20)):
        for inner in best[0] * around:
            far = above[above > _Z90 * inner] - _Z90 * inner
            outer = _outer_slope(far) if len(far) else inner
            loss = _loss(above, inner, outer)
            if loss < best[2]:
                best = (float(inner), outer, loss)
    return best


def _outer_slope(far: Floats) -> float:
    """Return the likeliest slope for distances above p90: the root of the derivative of `_loss`."""
    total, squares, count = float(far.sum()), float(far @ far), len(far)
    root = np.sqrt((_Z90 * total) ** 2 + 4 * count * squares)
    return float(2 * squares / (root - _Z90 * total))


def _loss(above: Floats, inner: float, outer: float) -> float:
    """Return minus the log-likelihood of distances above the median, for slopes below and above p90."""
    far = above > _Z90 * inner
    z = np.where(far, _Z90 + (above - _Z90 * inner) / outer, above / inner)
    return float(np.sum(z * z) / 2 + np.sum(far) * np.log(outer) + np.sum(~far) * np.log(inner))


@dataclass(frozen=True)
class TransferPhases:
    """A transfer's speed: at first, and after the burst.

    Attributes:
        first_mb_s: The bandwidth until the burst is used up; of the whole transfer if there is no change.
        base_mb_s: The bandwidth afterwards; None if it did not change.
        burst_mb: What had arrived by then; None if it did not change.
    """

    first_mb_s: float
    base_mb_s: float | None = None
    burst_mb: float | None = None


# A smaller change of speed is no end of a burst.
_CHANGE = 1.15
# Nor is a change that two lines explain this badly, beside one line: the speed wanders, as on a busy machine.
_UNEXPLAINED = 0.025


def transfer_phases(sizes: Sequence[int], bin_s: float) -> TransferPhases | None:
    """Return the bandwidths of a transfer and where the first one ended, from its progress.

    Two lines are fitted to the bytes that had arrived, the second from where the first one ends:

        bytes |            . - '  base
              |       . - '
              |      /|
              |     / |burst
              |    /  |
              +---------------------- time

    Args:
        sizes: The bytes of each bin of time, from the transfer's start.
        bin_s: The length of a bin.

    Returns:
        The phases; None if nothing arrived.
    """
    arrived = np.array(sizes, float)
    present = np.flatnonzero(arrived)
    if len(present) < 2:
        return None
    # The wait for the first byte is the latency's; the last bins may be a transfer that had ended.
    total = np.cumsum(arrived[present[0] : present[-1] + 1]) / 1e6
    at = np.linspace(bin_s, bin_s * len(total), len(total))
    ends = np.unique(np.geomspace(2, len(at) - 1, 300).astype(int)) if len(at) > 4 else np.array([], int)
    if len(ends):
        knee = min((at[end] for end in ends), key=lambda knee: _misfit(at, total, knee))
        step = at[1] - at[0]
        for width in (0.2, 0.05, 0.01):
            around = np.clip(knee * (1 + width * np.linspace(-1, 1, 21)), step, at[-1] - step)
            knee = min(around, key=lambda knee: _misfit(at, total, knee))
        first, base = _slopes(at, total, knee)
        # At least a tenth of a second of the second phase, so that one pause of this machine's is none.
        ends_late = at[-1] - knee > max(0.1, 0.05 * at[-1])
        steady = total @ at / (at @ at)
        explained = _misfit(at, total, knee) < _UNEXPLAINED * float(np.sum((total - steady * at) ** 2))
        if base > 0 and first > _CHANGE * base and ends_late and explained:
            return TransferPhases(first, base, float(first * knee))
    return TransferPhases(float(total[-1] / at[-1]))


def _slopes(at: Floats, total: Floats, knee: float) -> tuple[float, float]:
    """Return the slopes of two lines, the first from 0 to the knee, that are nearest to the progress."""
    lines = np.stack([np.minimum(at, knee), np.maximum(at - knee, 0)], axis=1)
    slopes = np.linalg.lstsq(lines, total, rcond=None)[0]
    return float(slopes[0]), float(slopes[1])


def _misfit(at: Floats, total: Floats, knee: float) -> float:
    first, base = _slopes(at, total, knee)
    off = total - first * np.minimum(at, knee) - base * np.maximum(at - knee, 0)
    return float(np.sum(off * off))


def burst_mb(phases: TransferPhases, burst_mb_s: float, pulse: float) -> float:
    """Return how much a function may move at its burst's bandwidth, from a transfer that may have been slower.

    A slower transfer leaves the bucket idle for a part of the time, in which it fills at the base bandwidth.
    Bandwidth that is granted in pulses comes half a pulse late on average, which moves the end of the burst back.

    Args:
        phases: The phases of a transfer that used the burst up.
        burst_mb_s: The bandwidth of a burst.
        pulse: The interval in which bandwidth is granted, ms; 0 for continuously.
    """
    if phases.burst_mb is None or phases.base_mb_s is None:
        raise ValueError("the transfer did not use up the burst")
    first, base = phases.first_mb_s, phases.base_mb_s
    knee = phases.burst_mb + base * pulse / 2e3 * first / (first - base)
    refilled = base * (1 - min(1.0, first / burst_mb_s))
    return knee * (1 - refilled / first)


# A period that explains less of the bins' variance than this is none.
_PERIODIC = 0.3
# The first of several peaks is the period, and the others its multiples, if it is nearly as high as the highest.
_FIRST = 0.7


def pulse_ms(sizes: Sequence[int], bin_s: float, after_s: float) -> float | None:
    """Return the interval in which bandwidth is granted, ms: the period of the bytes that arrive at base speed.

    Args:
        sizes: The bytes of each bin.
        bin_s: The length of a bin.
        after_s: When the transfer has reached its base speed.
    """
    rest = np.array(sizes, float)[int(after_s / bin_s) :]
    if len(rest) < 40 or rest.min() == rest.max():  # too short for a period of several bins, or even
        return None
    rest -= rest.mean()
    power = np.fft.rfft(rest, 2 * len(rest))
    similar = np.fft.irfft(power * np.conj(power))[: len(rest) // 4]
    similar /= similar[0]
    falls = np.flatnonzero(similar < 0)
    if not len(falls):
        return None
    # Bytes that follow one another within a pulse are alike, too: the period comes after the first gap.
    inner = np.where(np.arange(1, len(similar) - 1) > falls[0], similar[1:-1], -1.0)
    peaks = 1 + np.flatnonzero((inner > similar[:-2]) & (inner >= similar[2:]) & (inner > _PERIODIC))
    if not len(peaks):
        return None
    lag = int(peaks[similar[peaks] >= _FIRST * similar[peaks].max()][0])
    # Peaks many periods away tell the period more exactly than the width of a bin.
    period, around = float(lag), max(1, lag // 4)
    for times in (2, 4, 8):
        near = round(times * period)
        if near + around >= len(similar):
            break
        peak = near - around + int(np.argmax(similar[near - around : near + around + 1]))
        if similar[peak] < _PERIODIC:
            break
        period = peak / times
    return 1e3 * bin_s * period


def bandwidth_mb_s(seconds: Sequence[float], size: int, latency_s: float) -> float | None:
    """Return the bandwidth of writes of one size, without the latency that each of them has.

    Args:
        seconds: How long each write took.
        size: Its bytes.
        latency_s: The median of writes of next to nothing.
    """
    moving = float(np.median(seconds)) - latency_s if len(seconds) else 0.0
    return size / 1e6 / moving if moving > 0 else None


def fan_out(single_ms: Sequence[float], burst_ms: Sequence[float], count: int, zip_ms: float) -> ByCount | None:
    """Return when the last of so many cold handlers begins after the first call, as a table by their number, seconds.

    The table is a line between logarithms, from one start to `count` of them. Its end is chosen so that the delays
    before the starts of a burst are as long, on average, as those measured: what a start in a burst takes beyond a
    single one. A burst's own maximum would contain the slowest of `count` starts, which is the distribution's affair.

    Args:
        single_ms: How long starts took one by one, from the call to the handler, without its imports.
        burst_ms: The same of starts at once.
        count: The number of starts in a burst.
        zip_ms: The median start from a zip, which the table contains.
    """
    if not single_ms or not burst_ms or count < 2:
        return None
    delay_s = (float(np.mean(burst_ms)) - float(np.mean(single_ms))) / 1e3
    one = zip_ms / 1e3
    powers = np.log(np.arange(1, count + 1)) / np.log(count)
    low, high = one, one + max(delay_s, 0.0) * count + one
    for _ in range(60):
        middle = (low + high) / 2
        late = float(np.mean(one * (middle / one) ** powers)) - one
        low, high = (middle, high) if late < delay_s else (low, middle)
    return ByCount((1, count), (one, max(high, one)))


def request_limit(answered: Sequence[int], refused: Sequence[int], bin_s: float) -> float | None:
    """Return the requests a second that are answered where more are refused; None if none was refused.

    Args:
        answered: Requests that were answered, by bin of time.
        refused: Requests that were refused with SlowDown.
        bin_s: The length of a bin.
    """
    refusals = np.flatnonzero(refused)
    if len(refusals) < 2:
        return None
    # From the first refusal on the limit holds; what was answered before came out of a burst.
    first, last = int(refusals[0]), int(refusals[-1])
    total = np.cumsum(np.array(answered, float)[first : last + 1])
    if len(total) < 2:
        return None
    # S3 may admit them by whole seconds: a line through all of the progress is nearer than what its ends say.
    at = bin_s * np.arange(len(total))
    slope = float(np.polyfit(at, total, 1)[0])
    return slope if slope > 0 else None

"""The figures of a calibration: what its samples show, in the form of a preset, with the doubt that belongs to each."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from harness.calibrate.estimators import (
    TransferPhases,
    bandwidth_mb_s,
    burst_mb,
    fan_out,
    fit_quantiles,
    pulse_ms,
    request_limit,
    transfer_phases,
)
from harness.calibrate.measuring import CalibrationSamples
from harness.calibrate.plan import CalibrationPlan
from harness.calibrate.probe_function import Probed
from harness.presets.distribution import ByCount, Constant, Value, distribution
from harness.presets.preset import Preset

# A virtual CPU. https://docs.aws.amazon.com/lambda/latest/dg/configuration-memory.html
VCPU_MB = 1769


@dataclass(frozen=True)
class MeasuredFigure:
    """A figure of a calibration.

    Attributes:
        value: Its value, in the figure's unit.
        samples: How many measurements it rests on.
        doubt: Why it may not hold.
    """

    value: Value
    samples: int
    doubt: str


@dataclass(frozen=True)
class Calibrated:
    """The figures of a calibration.

    Attributes:
        figures: By name; those that the samples did not show are missing.
        unseen: Why a figure is missing, by its name.
        gflops: The processor by memory size, GFLOP/s.
        zones: The zones that were met.
    """

    figures: dict[str, MeasuredFigure]
    unseen: dict[str, str] = field(default_factory=dict)
    gflops: dict[int, float] = field(default_factory=dict)
    zones: tuple[str, ...] = ()


def figures_of(
    samples: CalibrationSamples, plan: CalibrationPlan, base: Preset, *, is_image: bool, cache_zone: str
) -> Calibrated:
    """Return what the samples show.

    Args:
        samples: What the probes returned.
        plan: What was measured.
        base: The preset whose figures remain where nothing was seen.
        is_image: Whether the function came from an image.
        cache_zone: The cache's zone; empty if it is unknown, as it is where functions do not know theirs.
    """
    found = Calibrated({}, {})
    _starts(found, samples, plan, base, is_image=is_image)
    zones = _round_trips(found, samples, cache_zone)
    _storage(found, samples)
    _transfers(found, samples)
    _limits(found, samples)
    gflops = _processor(found, samples)
    return Calibrated(found.figures, found.unseen, gflops, zones)


def _starts(
    found: Calibrated, samples: CalibrationSamples, plan: CalibrationPlan, base: Preset, *, is_image: bool
) -> None:
    warm_s = float(np.median([one.before_s for one in samples.warm])) if samples.warm else 0.0
    single = [max(1e3 * (one.before_s - warm_s), 1e-3) for one in samples.single]
    burst = [max(1e3 * (one.before_s - warm_s), 1e-3) for each in samples.bursts for one in each]
    name = "cold_start_image" if is_image else "cold_start_zip"
    without = "without imports; the call's own way is taken off: the median of warm calls"
    _add_distribution(found, name, single, without)
    if is_image and name in found.figures:
        found.figures["cold_start_image_mb"] = MeasuredFigure(
            Constant(0.0), len(single), "contained in cold_start_image, which is of the deployment's own image"
        )
    zip_ms = base.typical("cold_start_zip")
    if not is_image and name in found.figures:
        zip_ms = _typical(found.figures[name].value)
    table = fan_out(single, burst, plan.n_starts, zip_ms)
    if table is None:
        found.unseen["fan_out"] = "there was no burst of starts"
        return
    beyond = _beyond(base, table)
    counts, values = (*table.counts, *beyond), (*map(_rounded, table.values), *beyond.values())
    found.figures["fan_out"] = MeasuredFigure(
        ByCount(counts, values),
        len(burst),
        f"measured up to {plan.n_starts}" + (f"; beyond, the figures of {base.name}" if beyond else ""),
    )


def _beyond(base: Preset, table: ByCount) -> dict[int, float]:
    """Return the base's points for more functions than were measured, as far as they go on from there."""
    known = base.value("fan_out")
    if not isinstance(known, ByCount):
        return {}
    points = zip(known.counts, known.values, strict=True)
    return {count: value for count, value in points if count > table.counts[-1] and value > table.values[-1]}


def _round_trips(found: Calibrated, samples: CalibrationSamples, cache_zone: str) -> tuple[str, ...]:
    zones = tuple(sorted({one.answer.zone for one in samples.cache} - {""}))
    # Functions that do not know their zone are where a deployment has them: in the cache's.
    near = [one for one in samples.cache if one.answer.zone in {"", cache_zone} or not cache_zone]
    far = [one for one in samples.cache if one not in near]
    _add_distribution(found, "store_latency", _trips_ms(near), f"{len(near)} environments in the cache's zone")
    if far:
        _add_distribution(found, "store_latency_other_zone", _trips_ms(far), f"{len(far)} environments in another zone")
    else:
        found.unseen["store_latency_other_zone"] = "no function was in another zone than the cache"
    return zones


def _trips_ms(probed: Sequence[Probed]) -> list[float]:
    return [1e3 * each for one in probed for each in one.answer.round_trips_s]


def _storage(found: Calibrated, samples: CalibrationSamples) -> None:
    reads = [1e3 * each for one in samples.s3 for each in one.answer.reads_s]
    writes = [1e3 * each for one in samples.s3 for each in one.answer.writes_s]
    _add_distribution(found, "s3_latency", reads, "objects of 1 KB")
    _add_distribution(found, "s3_write_latency", writes, "objects of 1 KB")
    if samples.to_s3 is not None and writes:
        answer = samples.to_s3.answer
        rate = bandwidth_mb_s(answer.writes_s, answer.object_bytes, float(np.median(writes)) / 1e3)
        if rate is not None:
            size = answer.object_bytes / 1e6
            found.figures["s3_write_bandwidth"] = MeasuredFigure(
                _number(rate), len(answer.writes_s), f"objects of {size:.1f} MB, one after the other"
            )


def _transfers(found: Calibrated, samples: CalibrationSamples) -> None:
    cache, s3 = _phases(samples.from_cache), _phases(samples.from_s3)
    if s3 is not None:
        s3_rate = s3.first_mb_s
        found.figures["s3_bandwidth"] = MeasuredFigure(
            _number(s3_rate), 1, "one environment, four ranges of 8 MB at once, before its burst ends"
        )
    faster = max((one for one in (cache, s3) if one is not None), key=lambda one: one.first_mb_s, default=None)
    if faster is None:
        return
    fastest = faster.first_mb_s
    ended = next((one for one in (cache, s3) if one is not None and one.base_mb_s is not None), None)
    if ended is None or ended.base_mb_s is None:
        for name in ("function_burst", "function_burst_bandwidth", "function_bandwidth", "function_pulse"):
            found.unseen[name] = f"no transfer used up the burst: {fastest:.0f} MB/s to its end"
        return
    probed = samples.from_cache if ended is cache else samples.from_s3
    source = "the cache" if ended is cache else "S3"
    found.figures["function_bandwidth"] = MeasuredFigure(
        _number(ended.base_mb_s), 1, f"received by one environment from {source}, after its burst"
    )
    found.figures["function_burst_bandwidth"] = MeasuredFigure(
        _number(fastest), 1, f"at least: {'the cache' if faster is cache else 'S3'} may have been the limit"
    )
    interval = None
    if probed is not None:
        after_s = (ended.burst_mb or 0.0) / ended.first_mb_s + 0.2
        interval = pulse_ms(probed.answer.bytes, probed.answer.bin_s, after_s)
    if interval is None:
        found.unseen["function_pulse"] = "no pulses were seen"
    else:
        found.figures["function_pulse"] = MeasuredFigure(_number(interval), 1, f"received from {source}")
    found.figures["function_burst"] = MeasuredFigure(
        _number(burst_mb(ended, fastest, interval or 0.0)), 1, f"received by one new environment from {source}"
    )


def _phases(probed: Probed | None) -> TransferPhases | None:
    return None if probed is None else transfer_phases(probed.answer.bytes, probed.answer.bin_s)


def _limits(found: Calibrated, samples: CalibrationSamples) -> None:
    for name, probed in (("s3_reads", samples.reads), ("s3_writes", samples.writes)):
        if not probed:
            found.unseen[name] = "not measured; --limits does, for more money"
            continue
        answered, refused = (
            np.sum([getattr(one.answer, kind) for one in probed], axis=0).tolist() for kind in ("answered", "refused")
        )
        limit = request_limit(answered, refused, probed[0].answer.bin_s)
        if limit is None:
            reached = sum(answered) / (len(answered) * probed[0].answer.bin_s)
            found.unseen[name] = f"no request was refused, at {reached:.0f} a second"
        else:
            found.figures[name] = MeasuredFigure(
                _number(limit), sum(answered), f"{len(probed)} environments, objects of 1 KB under one prefix"
            )


def _processor(found: Calibrated, samples: CalibrationSamples) -> dict[int, float]:
    by_memory = {one.answer.memory_mb: one.answer for one in samples.processors}
    if not by_memory:
        return {}
    first = next(iter(by_memory.values()))
    found.figures["function_gflops"] = MeasuredFigure(
        _number(first.gflops), 1, f"{first.memory_mb} MB, double precision, matrices of 512 rows"
    )
    # The size nearest to one virtual CPU: less is a share of one, and more may be several.
    nearest = min(by_memory.values(), key=lambda one: abs(one.memory_mb - VCPU_MB))
    if samples.local_rounds_per_s and nearest.rounds_per_s:
        share = min(1.0, nearest.memory_mb / VCPU_MB)
        factor = samples.local_rounds_per_s * share / nearest.rounds_per_s
        found.figures["cpu_factor"] = MeasuredFigure(
            _number(factor), 1, f"beside one core of the machine that calibrated; at {nearest.memory_mb} MB"
        )
    return {memory: answer.gflops for memory, answer in by_memory.items()}


def _add_distribution(found: Calibrated, name: str, values: Sequence[float], doubt: str) -> None:
    fitted = fit_quantiles(values)
    if fitted is None:
        found.unseen[name] = f"{len(values)} samples are too few"
        return
    p50, p99 = (f"{100 * share:.0f} %" for share in fitted.doubt)
    found.figures[name] = MeasuredFigure(
        distribution({key: _rounded(value) for key, value in fitted.quantiles.items()}),
        fitted.samples,
        f"by chance, p50 may be off by {p50}, p99 by {p99}; {doubt}",
    )


def _number(value: float) -> Constant:
    return Constant(_rounded(value))


def _rounded(value: float) -> float:
    """Return a value as exactly as any measurement here is: four digits."""
    return float(f"{value:.4g}")


def _typical(value: Value) -> float:
    return 0.0 if isinstance(value, ByCount) else value.typical

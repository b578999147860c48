"""A calibration's course: what is asked of the probe, one thing after another, and the raw samples.

start n environments one by one --> warm calls --> trips to the cache, S3's latencies, from several environments
start them again, and again     --> starts at once --> a transfer from the cache, another one from S3, writes
one environment of each memory size: its processor
"""

import os
import subprocess
import sys
import tempfile
from dataclasses import dataclass, field
from pathlib import Path

import msgspec

from harness.bundle import BUNDLE
from harness.calibrate.plan import CalibrationPlan
from harness.calibrate.probe_function import Probed, ProbeFunction
from harness.errors import HarnessError
from training.probe.event import LARGEST_VALUE_BYTES

_MB = 1 << 20
_LOCAL_WITHIN_S = 120.0


@dataclass
class CalibrationSamples:
    """What the probes returned.

    Attributes:
        single: Cold starts, one by one.
        bursts: Cold starts at once, of each burst.
        warm: Calls of warm environments.
        cache: Round trips to the cache.
        s3: Reads from S3, and writes to it.
        from_cache: A transfer from the cache; None if the plan has none.
        from_s3: A transfer from S3.
        to_s3: Writes of a larger object.
        reads: Reads as quickly as possible, of several environments.
        writes: Writes as quickly as possible.
        processors: The processor at each memory size.
        local_rounds_per_s: The processor of this machine, by one thread; 0 if it was not measured.
    """

    single: list[Probed] = field(default_factory=list)
    bursts: list[list[Probed]] = field(default_factory=list)
    warm: list[Probed] = field(default_factory=list)
    cache: list[Probed] = field(default_factory=list)
    s3: list[Probed] = field(default_factory=list)
    from_cache: Probed | None = None
    from_s3: Probed | None = None
    to_s3: Probed | None = None
    reads: list[Probed] = field(default_factory=list)
    writes: list[Probed] = field(default_factory=list)
    processors: list[Probed] = field(default_factory=list)
    local_rounds_per_s: float = 0.0


def measure(function: ProbeFunction, plan: CalibrationPlan) -> CalibrationSamples:
    """Measure everything that the plan has.

    Raises:
        HarnessError: A probe failed, or Lambda refuses.
    """
    samples, log = CalibrationSamples(), function.log
    for number in range(plan.rounds):
        function.renew()
        log(f"{plan.n_starts} starts, one by one ({number + 1} of {plan.rounds})")
        samples.single += function.starts(plan.n_starts, one_by_one=True)
        if number == 0:
            samples.warm = [function.invoke("start") for _ in range(plan.warm)]
            log(f"{plan.at_once * plan.trips} trips to the cache")
            samples.cache = function.at_once("cache", plan.at_once, samples=plan.trips)
            log(f"{plan.at_once * plan.requests} reads from S3, and as many writes")
            samples.s3 = function.at_once("s3", plan.at_once, samples=plan.requests)
    for number in range(plan.bursts):
        function.renew()
        log(f"{plan.n_starts} starts at once ({number + 1} of {plan.bursts})")
        samples.bursts.append(function.starts(plan.n_starts, one_by_one=False))
    _measure_transfers(function, plan, samples)
    if plan.limits:
        _measure_limits(function, plan, samples)
    for memory_mb in plan.memory_mb:
        log(f"the processor at {memory_mb} MB")
        function.renew(memory_mb)
        samples.processors.append(function.invoke("processor", seconds=plan.processor_s))
    log("the processor of this machine")
    samples.local_rounds_per_s = local_rounds_per_s(plan.processor_s / 2)
    return samples


def _measure_transfers(function: ProbeFunction, plan: CalibrationPlan, samples: CalibrationSamples) -> None:
    """Measure transfers of one environment alone, each from a full burst: a new environment has one."""
    function.log(f"a transfer from the cache, {plan.transfer_s:g} s")
    function.renew()
    common = {"seconds": plan.transfer_s, "connections": plan.connections}
    samples.from_cache = function.invoke("receive_cache", object_bytes=LARGEST_VALUE_BYTES, **common)
    function.log(f"a transfer from S3, {plan.transfer_s:g} s, and writes of {plan.object_mb // 4} MB")
    function.renew()
    samples.from_s3 = function.invoke("receive_s3", object_bytes=plan.object_mb * _MB, **common)
    function.renew()
    samples.to_s3 = function.invoke(
        "send_s3", object_bytes=plan.object_mb * _MB // 4, samples=plan.writes, seconds=plan.transfer_s
    )


def _measure_limits(function: ProbeFunction, plan: CalibrationPlan, samples: CalibrationSamples) -> None:
    function.renew()
    for kept, writes in ((samples.reads, False), (samples.writes, True)):
        function.log(f"{'writes to' if writes else 'reads from'} S3, as many as it answers, {plan.limit_s:g} s")
        kept.extend(
            function.at_once(
                "requests", plan.n_starts, seconds=plan.limit_s, connections=32, object_bytes=1024, writes=writes
            )
        )


def local_rounds_per_s(seconds: float) -> float:
    """Return how quick one core of this machine is at what `training.probe.processor` computes.

    A process of its own, because NumPy's threads are chosen when it is imported.

    Raises:
        HarnessError: It does not end.
    """
    program = f"from training.probe.processor import training_rounds; print(training_rounds({seconds!r}))"
    environment = {**os.environ, "OPENBLAS_NUM_THREADS": "1", "PYTHONPATH": str(BUNDLE / "lambdas")}
    with tempfile.TemporaryDirectory() as folder:
        try:
            done = subprocess.run(
                [sys.executable, "-c", program],
                env=environment,
                cwd=Path(folder),
                capture_output=True,
                text=True,
                check=True,
                timeout=_LOCAL_WITHIN_S,
            )
        except (subprocess.CalledProcessError, subprocess.TimeoutExpired) as error:
            raise HarnessError("this machine's processor could not be measured", str(error)[:400]) from error
    return msgspec.convert(done.stdout.strip(), float, strict=False)

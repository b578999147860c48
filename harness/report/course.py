"""The course of a run around its rounds, sampled: starts, loading and storing, with a draw for each wait of each rank.

    invoked - coordinator starts - reads, checks, writes job.json - invokes the workers
              rank 0    start, imports - reads its rows - decodes them |          | writes its results
              rank 1       start, imports ------ reads - decodes ------| rounds   | writes
              ...                                                      |          |
                                       the slowest rank begins the first round    the slowest rank ends the run

Each array has a line for a sample; a second axis is the ranks.
"""

from dataclasses import dataclass
from typing import Literal

import numpy as np

from harness.presets.distribution import Constant
from harness.report.assumptions import Assumptions
from harness.report.measurements import Measured
from harness.report.samples import Floats

MB = 1e6
# Requests to S3 one behind the other: the coordinator lists the partitions and reads their manifest, then writes
# job.json; a worker reads its rows while it lists the run's folder, and writes its telemetry before its record; rank 0
# writes model and result in that time.
COORDINATOR_READS, COORDINATOR_WRITES = 2, 1
# Requests to S3 that are paid for. The coordinator: a read, a list, job.json and invoked.json.
COORDINATOR_PAID_GETS, COORDINATOR_PAID_PUTS = 1, 3
# A worker: its rows; a list of the run's folder, code.json, telemetry and record. Rank 0: model and result.
WORKER_PAID_GETS, WORKER_PAID_PUTS, RESULT_PAID_PUTS = 1, 4, 2
# A larger partition is read by several requests (`training.run.results`).
RANGE_BYTES = 8 << 20
# The coordinator's own work, at full speed.
COORDINATOR_S = 0.02
Kind = Literal["cold_start_zip", "cold_start_image"]


@dataclass(frozen=True, slots=True)
class Course:
    """Samples of what is around the rounds, in seconds.

    Attributes:
        coordinator_init: The billed start of the coordinator.
        coordinator: From the coordinator's first line until it has invoked all workers.
        init: The billed start of each rank.
        started: When each rank's handler begins, from the invocation of the coordinator.
        ready: When each rank has its rows.
        store: How long each rank stores its results.
    """

    coordinator_init: Floats
    coordinator: Floats
    init: Floats
    started: Floats
    ready: Floats
    store: Floats


def sample_course(
    run: Measured, workers: int, slower: float, assumptions: Assumptions, rng: np.random.Generator, samples: int
) -> Course:
    """Draw what is around the rounds.

    Args:
        run: The measurements.
        workers: The number of workers.
        slower: How many times as long a worker computes as in the run.
        assumptions: AWS's figures.
        rng: The generator.
        samples: How many to draw.
    """
    kind: Kind = "cold_start_image" if run.image else "cold_start_zip"
    read, write = assumptions.varying("s3_latency"), assumptions.varying("s3_write_latency")

    def reads(*shape: int) -> Floats:
        return 1e-3 * read.sample(rng, shape)

    def writes(*shape: int) -> Floats:
        return 1e-3 * write.sample(rng, shape)

    coordinator_init = _init(run, kind, assumptions, rng, (samples,))
    coordinator = (
        COORDINATOR_S + reads(samples, COORDINATOR_READS).sum(axis=1) + writes(samples, COORDINATOR_WRITES).sum(axis=1)
    )
    invoked = _not_before(1, assumptions)[0] + coordinator_init + coordinator
    init = _init(run, kind, assumptions, rng, (samples, workers))
    started = invoked[:, None] + _not_before(workers, assumptions) + init
    part = run.data_bytes / workers
    rows = reads(samples, workers) + _s3_seconds(part, workers, assumptions)
    if part > RANGE_BYTES:
        rows += reads(samples, workers)
    listed = reads(samples, workers)
    ready = started + np.maximum(rows, listed) + slower * run.decode_s / workers
    telemetry, record = writes(samples, workers), writes(samples, workers)
    model_s = run.part_bytes / (MB * assumptions.number("s3_write_bandwidth"))
    # All write at the same time, below one prefix.
    telemetry += workers / assumptions.number("s3_writes")
    results = writes(samples) + model_s + writes(samples)
    telemetry[:, 0] = np.maximum(telemetry[:, 0], results)
    return Course(coordinator_init, coordinator, init, started, ready, telemetry + record)


def _init(
    run: Measured, kind: Kind, assumptions: Assumptions, rng: np.random.Generator, shape: tuple[int, ...]
) -> Floats:
    """Draw starts of environments, with the imports that the run measured; imports have the full CPU at any size."""
    scale = assumptions.number("start_scale")
    if not scale:
        return np.zeros(shape)  # functions that are warm have imported all
    larger_ms = assumptions.image_mb * assumptions.number("cold_start_image_mb") if kind == "cold_start_image" else 0.0
    return run.imports_s + scale * 1e-3 * (larger_ms + assumptions.varying(kind).sample(rng, shape))


def _not_before(workers: int, assumptions: Assumptions) -> Floats:
    """Return when the start of each of so many functions begins, by the order of their calls.

    The table's times contain the start of an environment from a zip, which is drawn for each: its median is taken off.
    """
    table, scale = assumptions.by_count("fan_out"), assumptions.number("start_scale")
    if isinstance(table, Constant):
        return np.full(workers, scale * max(0.0, table.value))
    seconds = np.array([table.at(count) for count in range(1, workers + 1)])
    return scale * np.maximum(0.0, seconds - 1e-3 * assumptions.number("cold_start_zip"))


def _s3_seconds(size: float, workers: int, assumptions: Assumptions) -> float:
    """Return how long so many bytes take from S3: by its bandwidth, and by the function's own after its burst."""
    burst = MB * assumptions.number("function_burst")
    burst_rate, base_rate = (
        MB * assumptions.number("function_burst_bandwidth"),
        MB * assumptions.function_bandwidth(workers),
    )
    own_s = min(size, burst) / burst_rate + max(0.0, size - burst) / base_rate
    return max(size / (MB * assumptions.number("s3_bandwidth")), own_s, workers / assumptions.number("s3_reads"))

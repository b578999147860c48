"""What a run costs, part by part: each an array with a value for each sample, in USD."""

from dataclasses import dataclass

import numpy as np

from harness.report.assumptions import Assumptions
from harness.report.course import (
    COORDINATOR_PAID_GETS,
    COORDINATOR_PAID_PUTS,
    RESULT_PAID_PUTS,
    WORKER_PAID_GETS,
    WORKER_PAID_PUTS,
    Course,
)
from harness.report.samples import Floats

# Those of the parts that Lambda bills.
OF_LAMBDA = ("functions", "init", "requests")


@dataclass(frozen=True, slots=True)
class BilledRun:
    """What is billed of a run.

    Attributes:
        workers: The number of workers.
        memory_mb: The memory size of each.
        course: Its course around the rounds.
        seconds: How long it takes, for each sample.
        moved_bytes: The bytes that functions in other zones than the cache's send and receive.
        reads: The reads of a worker's rows.
    """

    workers: int
    memory_mb: int
    course: Course
    seconds: Floats
    moved_bytes: float
    reads: int = WORKER_PAID_GETS


def costs(run: BilledRun, assumptions: Assumptions) -> dict[str, Floats]:
    """Return what each part of a run costs.

    The parts: `functions` (handlers), `init` (starts, billed as handlers are), `requests` (invocations), `cache` (its
    nodes for the run's time), `endpoint` (the functions' interface endpoint for that time), `s3` (requests), `zones`
    (traffic with the cache's zone).
    """
    rates, course, n = assumptions.rates, run.course, run.workers
    gb_s, gb_s_coordinator = (
        rates.lambda_price * memory_mb / 1024 for memory_mb in (run.memory_mb, assumptions.coordinator_mb)
    )
    hours = run.seconds / 3600
    handlers_s = n * run.seconds - course.started.sum(axis=1)
    puts = COORDINATOR_PAID_PUTS + n * WORKER_PAID_PUTS + RESULT_PAID_PUTS
    gets = COORDINATOR_PAID_GETS + n * run.reads
    constant = np.ones_like(run.seconds)
    return {
        "functions": gb_s * handlers_s + gb_s_coordinator * course.coordinator,
        "init": gb_s * course.init.sum(axis=1) + gb_s_coordinator * course.coordinator_init,
        "requests": constant * (n + 1) * rates.request_price / 1e6,
        "cache": hours * rates.store_price * assumptions.nodes,
        "endpoint": hours * rates.endpoint_price * assumptions.zones,
        "s3": constant * (gets * rates.s3_get_price + puts * rates.s3_put_price) / 1e3,
        "zones": constant * run.moved_bytes / 1e9 * rates.zone_price,
    }

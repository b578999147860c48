"""Every fault by name: the run ends with the undisturbed run's model, bit for bit.

A fault's address is (rank, round, step, attempt); `harness run --fault` takes the same texts.
"""

import time
from dataclasses import dataclass, field

import pytest

from tests.support.fault_jobs import BIG, JOBS, PATTERNS


@dataclass(frozen=True)
class Scenario:
    """One thing that goes wrong.

    Attributes:
        name: What goes wrong.
        faults: The same as a plan.
        job: Job keys of its own.
        limit_s: When the run counts as hanging.
        attempts: How many tries each rank must have needed; those left out 1, None for any number.
        patterns: The collectives to which it applies.
        daily: Whether one combination of it belongs to the daily tests.
    """

    name: str
    faults: tuple[str, ...]
    job: dict[str, object] = field(default_factory=dict)
    limit_s: float = 30
    attempts: dict[int, int] | None = field(default_factory=dict)
    patterns: tuple[str, ...] = PATTERNS
    daily: bool = True


SLOW_COMMANDS = "delay ms=5"

SCENARIOS = [
    Scenario("memcached restarts empty", ("restart memcached round=5",)),
    Scenario("memcached is away for 1 s", ("restart memcached round=5 down_s=1",), daily=False),
    Scenario("all frames of a round evicted", ("evict round=5",)),
    Scenario("a frame corrupted", ("corrupt rank=1 round=5",)),
    Scenario("the merged frame corrupted", ("corrupt rank=0 round=5 step=1",), patterns=("reduce", "reduce_scatter")),
    Scenario("a store refused", ("refuse rank=1 round=5",)),
    Scenario("a piece above the item limit evicted", ("evict rank=1 round=2",), job=BIG, daily=False),
    Scenario("killed before its put", ("kill rank=1 round=5",), attempts={1: 2}),
    Scenario("killed after its put", ("kill rank=1 round=5 when=after-put",), attempts={1: 2}),
    Scenario(
        "killed between two chunks", ("kill rank=1 round=2 when=between-chunks",), job=BIG, attempts={1: 2}, daily=False
    ),
    Scenario("killed while the others join", ("kill rank=1 round=0",), attempts={1: 2}),
    Scenario("out of memory", ("kill rank=2 round=5 how=oom",), attempts={2: 2}, daily=False),
    Scenario("exits by itself", ("kill rank=2 round=5 how=exit",), attempts={2: 2}, daily=False),
    Scenario("rank 0 killed", ("kill rank=0 round=5",), attempts={0: 2}),
    Scenario(
        "two ranks killed at once", ("kill rank=1 round=5", "kill rank=2 round=5"), attempts={1: 2, 2: 2}, daily=False
    ),
    Scenario("all ranks killed", ("kill rank=all round=5",), attempts={0: 2, 1: 2, 2: 2}),
    Scenario(
        "a rank killed twice",
        ("kill rank=1 round=5 attempt=1", "kill rank=1 round=8 attempt=2"),
        attempts={1: 3},
        daily=False,
    ),
    Scenario("an event delivered twice at once", ("duplicate rank=1",)),
    Scenario("an event delivered again meanwhile", ("duplicate rank=1 delay_s=0.3", SLOW_COMMANDS)),
    Scenario("a straggler of 10x", ("freeze rank=1 factor=10 round=1",)),
    Scenario("a rank stands still for 2 s", ("freeze rank=1 round=5 s=2",), attempts=None, daily=False),
    Scenario("a late cold start", ("cold-start rank=1 delay_s=1.5",), daily=False),
    Scenario("a cold start lost", ("cold-start rank=1 lost",), attempts=None),
    Scenario("no room for an event", ("throttle rank=1 n=2",)),
    Scenario("S3 answers 503", ("503 s3 n=4",)),
    Scenario("S3 is slow", ("delay s3 ms=50",)),
    Scenario("S3 is cut off", ("cut s3 s=0.5 round=1",), attempts=None, daily=False),
    Scenario("the network cut for 3 s", ("cut s=3 round=5",), daily=False),
    Scenario("the network silent for 1 s", ("blackhole s=1 round=5",)),
    Scenario("rank 1 cut off from the cache for 1 s", ("cut rank=1 round=5 s=1",), attempts=None),
    Scenario("rank 0 cut off from the cache for 3 s", ("cut rank=0 round=5 s=3",), attempts=None, daily=False),
    Scenario("a rank's network silent for 1 s", ("blackhole rank=2 round=5 s=1",), attempts=None, daily=False),
    Scenario("a rank cut off from S3 for 0.5 s", ("cut s3 rank=1 s=0.5",), attempts=None),
    Scenario("delays that vary", ("delay ms=4 jitter_ms=4",), daily=False),
    Scenario("replies in slices", ("slice bytes=50 delay_us=100",)),
    Scenario("connections end after 20 kB", ("limit bytes=20000",)),
    Scenario("a cut noticed late", ("slow-close delay_ms=300", "cut round=5 s=0.2"), daily=False),
    Scenario("slow and narrow", ("delay ms=1", "bandwidth kbps=20000"), daily=False),
]
COMBINATIONS = [(algorithm, pattern) for algorithm in JOBS for pattern in PATTERNS]
# Every algorithm and every pattern, and no more undisturbed runs to compare with than that takes.
DAILY_COMBINATIONS = list(zip(JOBS, PATTERNS, strict=True))


def parameters():
    """Every scenario with every combination to which it applies; of each, one is quick enough for daily tests."""
    for number, scenario in enumerate(SCENARIOS):
        applies = [(algorithm, pattern) for algorithm, pattern in COMBINATIONS if pattern in scenario.patterns]
        daily_ones = [combination for combination in DAILY_COMBINATIONS if combination in applies]
        today = daily_ones[number % len(daily_ones)]
        for algorithm, pattern in applies:
            daily = scenario.daily and (algorithm, pattern) == today
            marks = [
                pytest.mark.timeout(scenario.limit_s + 30),
                # One process does all of a combination, and so computes its undisturbed run once.
                pytest.mark.xdist_group(f"{algorithm} {pattern}"),
                *([] if daily else [pytest.mark.slow]),
            ]
            yield pytest.param(scenario, algorithm, pattern, marks=marks, id=f"{scenario.name}-{algorithm}-{pattern}")


@pytest.mark.parametrize(("scenario", "algorithm", "pattern"), list(parameters()))
def test_the_model_is_the_same(scenario, algorithm, pattern, play, undisturbed, entry):
    """The run meets its fault and ends with the bits of a run that met none."""
    entry(scenario=scenario.name, algorithm=algorithm, pattern=pattern)
    sha256, seconds = undisturbed(algorithm, pattern, **scenario.job)
    started = time.perf_counter()

    summary = play(algorithm, pattern, scenario.faults, **scenario.job)

    took = time.perf_counter() - started
    entry(outcome="same model", cost=f"{took - seconds:+.2f}")
    assert all(event["times"] for event in summary.events if event["event"] == "fault"), summary.events
    assert sha256 == summary.model["sha256"]
    assert took < scenario.limit_s
    if scenario.attempts is not None:
        expected = [scenario.attempts.get(rank, 1) for rank in range(len(summary.workers))]
        assert expected == [worker.attempts for worker in summary.workers]

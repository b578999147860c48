"""Measure what the page costs: following a run in a browser, and one update of a large run's view."""

import asyncio
import itertools
import json
import threading
from collections.abc import Iterator
from typing import Self

import httpx
import msgspec
import psutil

from benchmarks.figure import BenchmarkError, Figure, Goal
from benchmarks.stage import Run, Stage, stage
from benchmarks.turns import in_turns, scaled
from harness.page.address import PageAddress
from harness.page.live_runs import LiveRun, PageLine
from harness.page.opening import end_server, ensure_server

WORKERS, REPETITIONS = 4, 5
JOB = ("--data", "synthetic:rows=100000,features=28", "--n-workers", str(WORKERS), "--batch-size", "1000")
EPOCHS = 60
RANKS, ROUNDS, ROUNDS_A_LINE, UPDATES = 64, 10_000, 40, 10
START = 1_700_000_000.0


def page() -> Iterator[Figure]:
    """Measure the page."""
    with stage(s3="moto") as own:
        _run(own)  # warm environments
        address = ensure_server(own.settings)
        try:
            without, followed, run_cpu, both_cpu = [], [], [], []
            for _ in range(REPETITIONS):
                without.append(_train_s(_run(own)))
                with Reader(address) as reader:
                    before = _cpu_of_stack(own), _cpu_of(address.pid)
                    run = _run(own)
                    spent = _cpu_of_stack(own) - before[0]
                    followed.append(_train_s(run))
                    run_cpu.append(spent)
                    both_cpu.append(spent + _cpu_of(address.pid) - before[1])
        finally:
            end_server(own.settings)
    yield Figure(
        name=f"processor time of a run of {WORKERS} workers and of its page",
        unit="s",
        floor_name="the run's alone",
        floor=tuple(run_cpu),
        ours=tuple(both_cpu),
        goal=Goal(1.02),
        note=f"{reader.views} views in the last run",
    )
    yield Figure(
        name=f"training of {WORKERS} workers with the page in a browser",
        unit="s",
        floor_name="the same without a browser",
        floor=tuple(without),
        ours=tuple(followed),
        note="other cores' time counts, too",
    )
    yield _update()


def _run(own: Stage) -> Run:
    return own.run(*JOB, "--n-epochs", str(EPOCHS))


def _train_s(run: Run) -> float:
    return max(float(worker["seconds"]) for worker in run.workers)


def _cpu_of(pid: int) -> float:
    times = psutil.Process(pid).cpu_times()
    return float(times.user + times.system + times.children_user + times.children_system)


def _cpu_of_stack(own: Stage) -> float:
    """Return the processor time of the stack's processes, environments included, so far."""
    total = 0.0
    for process in [psutil.Process(own.stack.pid), *psutil.Process(own.stack.pid).children(recursive=True)]:
        try:
            times = process.cpu_times()
        except psutil.NoSuchProcess:
            continue
        total += times.user + times.system
    return total


class Reader:
    """A browser: listens to the events, and asks for the view of a run that has changed.

    Args:
        address: Where the page is served.
    """

    def __init__(self, address: PageAddress) -> None:
        self._client = httpx.Client(
            base_url=f"http://127.0.0.1:{address.port}",
            headers={"Authorization": f"Bearer {address.token}"},
            trust_env=False,
            timeout=60.0,
        )
        self._listening, self._ended = threading.Event(), threading.Event()
        self._thread = threading.Thread(target=self._read)
        self.views = 0

    def __enter__(self) -> Self:
        self._thread.start()
        if not self._listening.wait(30.0):
            raise BenchmarkError("the page's server sends no events")
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join()
        self._client.close()

    def _read(self) -> None:
        with self._client.stream("GET", "/api/events") as answer:
            kind = ""
            for line in answer.iter_lines():
                self._listening.set()
                field, _, value = line.partition(": ")
                if field == "event":
                    kind = value
                elif field == "data" and kind == "run":
                    self._client.get(f"/api/runs/{json.loads(value)['run_id']}")
                    self.views += 1
                if self._ended.is_set():
                    return


def _update() -> Figure:
    """Measure one update of a large run under way: new lines are read, the view is made and encoded."""
    run = LiveRun("large", START)
    job = {"request_id": "c", "job": {"n_workers": RANKS, "model": "lr"}}
    run.add_object("job.json", json.dumps(job).encode())
    numbers = itertools.count(ROUNDS)
    for number in range(0, ROUNDS, ROUNDS_A_LINE):
        _print_progress(run, number)

    async def update() -> bytes:
        _print_progress(run, next(numbers))
        return msgspec.json.encode(await run.view())

    size = len(asyncio.run(update()))
    floor, ours = in_turns(UPDATES, lambda: _read_lines(run), lambda: asyncio.run(update()))
    return Figure(
        name=f"one update of a view of {RANKS} ranks and {ROUNDS:,} rounds",
        unit="ms",
        floor_name="reading the run's lines from JSON",
        floor=scaled(floor, 1e3),
        ours=scaled(ours, 1e3),
        goal=Goal(100, "value"),
        note=f"{size / 1e6:.2f} MB",
    )


def _read_lines(run: LiveRun) -> None:
    for line in run.lines:
        msgspec.json.decode(line.text)


def _print_progress(run: LiveRun, number: int) -> None:
    """Let each rank print the line of progress after this round."""
    for rank in range(RANKS):
        line = {
            "event": "progress",
            "run_id": run.run_id,
            "rank": rank,
            "attempt": 1,
            "request_id": f"r{rank}",
            "round": number + ROUNDS_A_LINE,
            "rounds": 2 * ROUNDS,
            "loss": 1.0 / (1 + number),
            "rows_per_s": 1000.0,
            "first_round": number + 1,
            "compute_s": 0.3,
            "wait_s": 0.1 + 0.001 * rank,
            "waited_for": (rank + 1) % RANKS,
            "rss_mb": 60.0,
            "sent_bytes": 10_000,
            "received_bytes": 10_000,
            "round_p50_ms": 12.0,
        }
        at = START + 0.5 * (number / ROUNDS_A_LINE + 1)
        run.add_line(PageLine(at, "linear_ec_2", f"r{rank}", rank, run.run_id, json.dumps(line)))

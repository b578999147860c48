"""Draw the view of a run of 64 ranks and 10,000 rounds: when it is over, of a window of it, and while it goes on."""

from collections.abc import Iterator
from itertools import count

import msgspec
import numpy as np

from benchmarks.figure import Figure, Goal
from benchmarks.turns import in_turns, scaled
from harness.insight.recorder import RunRecorder

RANKS, ROUNDS, ROUND_MS, LINES = 64, 10_000, 15.0, 300
RUN_ID, STARTED_AT = "bench", 1_796_000_000.0
TURNS = 15
MOST_MS = 100


def views() -> Iterator[Figure]:
    """Measure how long one update of the page takes to compute."""
    stored, live = _stored(), _live()
    whole = stored.view()
    windows = count()

    def window() -> None:
        start = 0.5 * next(windows)  # another one each time: the last one is remembered
        stored.view(window=(start, start + 20.0))

    for name, ours in (
        ("view of a run that is over", stored.view),
        ("view of a window of it", window),
        ("view of a run that goes on", lambda: live.view(now=STARTED_AT + 200)),
    ):
        floor_s, ours_s = in_turns(TURNS, lambda: msgspec.json.encode(whole), ours)
        yield Figure(
            name=f"{name}, {RANKS} ranks, {ROUNDS:,} rounds",
            unit="ms",
            floor_name="the view as JSON",
            floor=scaled(floor_s, 1e3),
            ours=scaled(ours_s, 1e3),
            goal=Goal(MOST_MS, of="value"),
        )


def _stored() -> RunRecorder:
    recorder, random = RunRecorder(RUN_ID, live=False), np.random.default_rng(0)
    recorder.add_record("job.json", msgspec.json.encode({"request_id": "c", "job": {"n_workers": RANKS}}))
    for rank in range(RANKS):
        waits = np.minimum(random.exponential(2.0, ROUNDS), ROUND_MS).round(3)
        timings = {
            "version": 2,
            "started_at": STARTED_AT,
            "first_round": 1,
            "round_at_ms": (ROUND_MS * np.arange(ROUNDS)).tolist(),
            "round_ms": [ROUND_MS - 0.5] * ROUNDS,
            "wait_ms": waits.tolist(),
            "waited_for": [(rank + 1) % RANKS] * ROUNDS,
            "all_reduce_ms": (waits + 1.0).tolist(),
            "memory": [[500.0 * at, 80.0] for at in range(LINES)],
        }
        worker = {"rank": rank, "started_at": STARTED_AT, "seconds": ROUNDS * ROUND_MS / 1e3, "phases": {}}
        recorder.add_record(f"telemetry/{rank}.1.json", msgspec.json.encode(timings))
        recorder.add_record(f"workers/{rank}.1.json", msgspec.json.encode(worker))
    return recorder


def _live() -> RunRecorder:
    recorder = RunRecorder(RUN_ID)
    per_line = ROUNDS // LINES
    for rank in range(RANKS):
        request_id = f"request-{rank}"
        labels = {"run_id": RUN_ID, "rank": rank, "attempt": 1, "request_id": request_id}
        for at in range(LINES):
            rounds = {"first_round": per_line * at + 1, "round": per_line * (at + 1), "rounds": ROUNDS, "loss": 0.5}
            figures = {"compute_s": 0.2, "wait_s": 0.3, "waited_for": (rank + 1) % RANKS, "rss_mb": 70.0}
            line = msgspec.json.encode({"event": "progress", **labels, **rounds, **figures}).decode()
            recorder.add_line(STARTED_AT + 0.5 * at, request_id, line)
    return recorder

"""Views of runs for tests: made by hand, so that every figure is known."""

import msgspec

from harness.insight.view import (
    Attempt,
    Batch,
    Bucket,
    Epoch,
    Interval,
    InvocationView,
    Mark,
    Rank,
    Rounds,
    RunView,
    Straggler,
)

STARTED_AT = 1_790_000_000.0


def small_view(**changes):
    """A run of two ranks and three rounds, whose rank 1 died once and was waited for."""
    died = Attempt(
        attempt=1,
        request_id="req-1",
        started=1.0,
        ended=1.5,
        outcome="died",
        cause="killed",
        cold_start={"imports": 0.2},
    )
    back = Attempt(
        attempt=2,
        request_id="req-1",
        started=2.0,
        ended=4.0,
        outcome="finished",
        intervals=[Interval("load", 2.0, 2.4), Interval("join", 2.1, 2.5), Interval("store", 3.8, 4.0)],
        buckets=[Bucket(2.5, 3.0, 1, 1, 0.5, 0.0), Bucket(3.0, 3.8, 2, 2, 0.8, 0.0)],
        memory=[(2.5, 90.0), (3.5, 95.5)],
        complete=True,
    )
    first = Attempt(
        attempt=1,
        request_id="req-0",
        started=1.0,
        ended=4.1,
        outcome="finished",
        cold_start={"interpreter": 0.1, "imports": 0.2},
        intervals=[
            Interval("start", 0.7, 0.8, "interpreter"),
            Interval("start", 0.8, 1.0, "imports"),
            Interval("load", 1.0, 1.3),
            Interval("store", 3.9, 4.1),
        ],
        buckets=[Bucket(1.3, 3.0, 1, 1, 0.2, 1.5, 1), Bucket(3.0, 3.9, 2, 2, 0.5, 0.4, 1)],
        memory=[(1.3, 88.0)],
        complete=True,
    )
    view = RunView(
        run_id="small",
        status="succeeded",
        mode="process",
        started_at=STARTED_AT,
        seconds=4.2,
        job={"model": "lr", "n_workers": 2, "lr": 0.1, "class_weights": None},
        versions={"harness": "0.1.0"},
        summary={"cost_usd": 0.00012, "test": {"loss": 0.7, "metrics": {"auc": 0.9}}},
        epochs=[
            Epoch(epoch=1, at=3.0, loss=0.6, metrics={"accuracy": 0.7}, validation={"loss": 0.65, "accuracy": 0.68}),
            Epoch(epoch=2, at=3.8, loss=0.5, metrics={"accuracy": 0.8}, validation={"loss": 0.6, "accuracy": 0.75}),
        ],
        batches=[Batch(2.9, 1, 0.69), Batch(3.4, 2, 0.61)],
        ranks=[
            Rank(rank=0, state="finished", round=3, rows=50, compute_s=0.7, wait_s=1.9, attempts=[first]),
            Rank(rank=1, state="finished", round=3, rows=50, compute_s=1.3, blamed_s=1.9, attempts=[died, back]),
        ],
        rounds=Rounds(done=3, planned=3, p50_ms=450.0, p99_ms=1700.0, series=[(1, 3.0, 1700.0), (2, 3.4, 400.0)]),
        marks=[Mark(at=1.5, kind="death", text="rank 1 was killed", rank=1, round=1, cost_s=1.5)],
        straggler=Straggler(rank=1, waited_s=1.9, share=0.7, rounds=3, first_round=1, last_round=3, text="rank 1"),
        invocations=[
            InvocationView(
                function="linear_ec_1", request_id="req-c", state="succeeded", environment="env-c",
                queued=0.0, started=0.3, ended=0.6, init_ms=250.0, billed_ms=301,
            ),
            InvocationView(
                function="linear_ec_2", request_id="req-0", rank=0, state="succeeded", environment="env-0",
                queued=0.6, started=1.0, ended=4.1, init_ms=300.0, billed_ms=3101,
            ),
            InvocationView(
                function="linear_ec_2", request_id="req-1", rank=1, state="failed", environment="env-1",
                queued=0.6, started=1.0, ended=1.5, init_ms=300.0, error="Runtime.ExitError",
            ),
            InvocationView(
                function="linear_ec_2", request_id="req-1", attempt=2, rank=1, state="succeeded", environment="env-2",
                queued=1.6, started=2.0, ended=4.0, init_ms=300.0,
            ),
        ],
    )  # fmt: skip
    return msgspec.structs.replace(view, **changes)

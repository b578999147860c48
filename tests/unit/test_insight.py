"""The view of a run, from recorded runs and from small records: complete, partly missing, malformed, in any order."""

import json
from pathlib import Path
from typing import Any

import msgspec
import pytest

from harness.history.folder import KeptFolder
from harness.insight.folder import read_records, read_view
from harness.insight.recorder import RunRecorder
from harness.insight.view import RunView

RECORDED = Path(__file__).parents[1] / "fixtures_runs"
ZERO = 1_796_000_000.0


class RecordsInMemory:
    """A run's folder in memory."""

    def __init__(self, objects: dict[str, Any], run_id: str = "a-run") -> None:
        self.run_id = run_id
        self.objects = {
            name: body if isinstance(body, bytes) else json.dumps(body).encode() for name, body in objects.items()
        }

    def read(self, name: str) -> bytes | None:
        """Return an object."""
        return self.objects.get(name)

    def names(self, folder: str) -> list[str]:
        """Return the names that begin so."""
        return sorted(name for name in self.objects if name.startswith(folder))


def telemetry(waits: list[tuple[float, int]], *, started_at: float = ZERO + 1, round_ms: float = 100.0) -> Any:
    """Return stored timings of rounds that follow each other."""
    return {
        "version": 2,
        "started_at": started_at,
        "first_round": 1,
        "rounds_per_entry": 1,
        "round_at_ms": [200.0 + round_ms * at for at in range(len(waits))],
        "round_ms": [round_ms] * len(waits),
        "wait_ms": [ms for ms, _ in waits],
        "waited_for": [peer for _, peer in waits],
        "all_reduce_ms": [ms + 10.0 for ms, _ in waits],
        "intervals": [["load", 0.0, 150.0], ["join", 50.0, 200.0]],
        "memory": [[0.0, 60.0], [500.0, 80.5]],
        "sent_bytes": 100,
        "received_bytes": 200,
        "cold_start": {"interpreter": 0.1, "imports": 0.3},
    }


def worker(rank: int, started_at: float = ZERO + 1, seconds: float = 1.3, **more: Any) -> Any:
    """Return the record of a finished worker."""
    record = {"rank": rank, "attempt": 1, "link": 1, "rows": 50, "started_at": started_at, "seconds": seconds}
    return {**record, "cpu_seconds": 0.5, "phases": {"load": 0.15, "store": 0.1}, "max_rss_mb": 81.0, **more}


def two_ranks(**changes: Any) -> dict[str, Any]:
    """Return the folder of a run of two ranks, in which rank 0 waits 50 of 100 ms for rank 1 in each of 10 rounds."""
    objects = {
        "run.json": {"run_id": "a-run", "status": "succeeded", "started_at": ZERO, "seconds": 2.5, "mode": "process"},
        "job.json": {"request_id": "req-c", "job": {"n_workers": 2, "sync_mode": "auto", "lr": 0.1}},
        "result.json": {
            "rounds": 10,
            "loss": 0.5,
            "epochs": [{"epoch": 1, "rounds": 10, "loss": 0.5, "accuracy": 0.9}],
        },
        "workers/0.1.json": worker(0),
        "workers/1.1.json": worker(1),
        "telemetry/0.1.json": telemetry([(50.0, 1)] * 10),
        "telemetry/1.1.json": telemetry([(0.0, -1)] * 10),
        "log.jsonl": b"",
    }
    return {name: body for name, body in {**objects, **changes}.items() if body is not None}


def line(event: str, rank: int, at: float, **values: Any) -> tuple[float, str, str]:
    """Return a worker's log line as the recorder takes it."""
    record = {"event": event, "run_id": "a-run", "rank": rank, "attempt": 1, "request_id": f"req-{rank}", **values}
    return ZERO + at, f"req-{rank}", json.dumps(record)


def seconds_by_share(view: RunView) -> dict[str, float]:
    """Return the seconds of each share."""
    return {share.name: share.seconds for share in view.shares}


@pytest.mark.parametrize(
    ("run_id", "rank"), [("sample-slow-rank", 2), ("sample-killed-rank", 2), ("sample-frozen-rank", 1)]
)
def test_a_recorded_run_names_the_rank_that_was_disturbed(run_id: str, rank: int) -> None:
    """A real run with a slow, killed or frozen rank: its straggler, its advice, and shares that add up."""
    view = read_view(KeptFolder(RECORDED / run_id))
    assert view.straggler is not None
    assert view.straggler.rank == rank
    assert f"rank {rank} was disturbed on purpose" in view.advice
    assert sum(share.seconds for share in view.shares) == pytest.approx(view.seconds)
    assert f"rank {rank} " in next(share.text for share in view.shares if share.name == "wait")
    assert view.gaps == []
    assert [one.rank for one in view.ranks] == [0, 1, 2, 3]
    assert all(one.state == "finished" for one in view.ranks)
    assert sum(one.rank is not None for one in view.invocations) >= 4
    assert msgspec.json.decode(msgspec.json.encode(view), type=RunView) == view


def test_a_killed_rank_has_two_attempts_and_its_marks() -> None:
    """The attempt that died comes from the log alone; death, retry and recovery are marked with their rank."""
    view = read_view(KeptFolder(RECORDED / "sample-killed-rank"))
    died, back = view.ranks[2].attempts
    assert (died.outcome, died.complete, back.outcome, back.complete) == ("died", False, "finished", True)
    assert died.ended is not None
    assert died.ended < back.started
    assert "Runtime.ExitError" in died.cause
    kinds = [(mark.kind, mark.rank) for mark in view.marks]
    assert ("fault", 2) in kinds
    assert kinds.index(("death", 2)) < kinds.index(("retry", 2))
    assert ("recovery", 2) in kinds


def test_the_order_of_records_does_not_matter() -> None:
    """Log lines may come before the job that they belong to, and the newest first."""
    folder = KeptFolder(RECORDED / "sample-killed-rank")
    expected = read_view(folder)
    recorder = RunRecorder(folder.run_id, live=False)
    lines = [json.loads(text) for text in (folder.read("log.jsonl") or b"").splitlines()]
    for one in reversed(lines):
        recorder.add_line(one["at"], one["request_id"], one["text"])
    recorder.add_summary(json.loads(folder.read("summary.json") or b""))
    for text in (folder.read("invocations.jsonl") or b"").splitlines():
        recorder.add_invocation(json.loads(text))
    for name in reversed(folder.names("")):
        recorder.add_record(name, folder.read(name) or b"")
    assert recorder.view() == expected


def test_the_time_of_a_run_is_divided() -> None:
    """Start, load, wait, exchange, compute and store of a run whose times are known."""
    view = read_view(RecordsInMemory(two_ranks()))
    assert view.status == "succeeded"
    assert seconds_by_share(view) == pytest.approx(
        {"start": 1.0, "load": 0.2, "wait": 0.5, "exchange": 0.1, "compute": 0.4, "store": 0.3}
    )
    rank = view.ranks[0]
    assert (rank.wait_s, rank.compute_s, rank.sent_bytes) == pytest.approx((0.5, 0.5, 100))
    assert view.ranks[1].blamed_s == pytest.approx(0.5)
    assert (view.rounds.done, view.rounds.p50_ms) == pytest.approx((10, 100.0))
    attempt = rank.attempts[0]
    assert [(span.phase, span.note) for span in attempt.intervals[:3]] == [
        ("start", "interpreter"),
        ("start", "imports"),
        ("load", ""),
    ]
    assert (attempt.intervals[0].start, attempt.intervals[1].end) == pytest.approx((0.6, 1.0))
    assert attempt.buckets[0].waited_for == 1
    assert "rank 1" in view.advice


def test_an_older_run_has_no_waits_and_says_so() -> None:
    """Timings without a version tell rounds and all-reduces alone."""
    old = {"round_ms": [100.0] * 10, "all_reduce_ms": [60.0] * 10, "cold_start": None}
    view = read_view(RecordsInMemory(two_ranks(**{"telemetry/0.1.json": old, "telemetry/1.1.json": old})))
    assert view.straggler is None
    assert seconds_by_share(view)["exchange"] == pytest.approx(0.6)
    assert len(view.ranks[0].attempts[0].buckets) == 10
    assert any("rank 0, 1 stored timings of an older version" in gap for gap in view.gaps)


@pytest.mark.parametrize(
    ("changes", "gap"),
    [
        ({"telemetry/1.1.json": None}, "rank 1 stored no timings of rounds"),
        ({"telemetry/1.1.json": None, "workers/1.1.json": None}, "rank 1 left no record"),
        ({"telemetry/1.1.json": b"\x00{"}, "telemetry/1.1.json is not what a run leaves there"),
        ({"telemetry/1.1.json": b"[" * 100_000}, "telemetry/1.1.json is not what a run leaves there"),
        ({"workers/1.1.json": b"[1, 2]"}, "workers/1.1.json is not what a run leaves there"),
        ({"log.jsonl": b'{"at": 1}\n{"at": "x"}\nnothing'}, "3 lines of log.jsonl"),
        ({"job.json": None}, "the run's job is not known"),
        ({"summary.json": b"[]"}, "summary.json is not what a run leaves there"),
        ({"invocations.jsonl": b'{"number": "x"}'}, "a record of an invocation has no number"),
    ],
)
def test_what_is_missing_or_malformed_is_said(changes: dict[str, Any], gap: str) -> None:
    """Everything else is there."""
    view = read_view(RecordsInMemory(two_ranks(**changes)))
    assert any(gap in said for said in view.gaps), view.gaps
    assert view.ranks[0].attempts[0].buckets
    assert sum(share.seconds for share in view.shares) == pytest.approx(view.seconds)


STRANGE: list[Any] = [None, "x", -1, 1e400, [], {}, True, [None], ["x"], [[1]], [1e308] * 10, [0] * 10]


@pytest.mark.parametrize("key", sorted(telemetry([])))
def test_any_value_of_any_key_of_a_record_is_borne(key: str) -> None:
    """A malformed field is left out; the view is made, and can be sent as JSON."""
    for value in STRANGE:
        body = json.dumps({**telemetry([(50.0, 1)] * 10), key: value}).encode()
        view = read_view(RecordsInMemory(two_ranks(**{"telemetry/0.1.json": body})))
        decoded = msgspec.json.decode(msgspec.json.encode(view))
        assert len(decoded["ranks"]) == 2, value
        assert view.ranks[1].attempts[0].buckets, value


@pytest.mark.parametrize(("target", "ahead"), [("aws", True), ("local", False)])
def test_a_clock_that_is_ahead_is_set_right(target: str, ahead: bool) -> None:  # noqa: FBT001 - a case
    """Ranks end each round together, so a lasting difference is that of their clocks; on one machine there is one."""
    waits = [(10.0, 1)] * 10
    objects = two_ranks() | {
        "job.json": {"request_id": "req-c", "job": {"n_workers": 3}},
        "workers/2.1.json": worker(2, ZERO + 31),
        "telemetry/2.1.json": telemetry(waits, started_at=ZERO + 31),
    }
    objects["run.json"] = {**objects.get("run.json", {}), "target": target}
    view = read_view(RecordsInMemory(objects))
    line = "the clock of rank 2 is 30.00 s ahead of the others': its times are moved by as much"
    assert (line in view.gaps) == ahead
    by = view.ranks[2].attempts[0].buckets[0].start - view.ranks[0].attempts[0].buckets[0].start
    assert by == pytest.approx(0.0 if ahead else 30.0)
    assert view.seconds == 2.5


def test_a_running_run_is_drawn_from_its_progress_lines() -> None:
    """Rounds, waits, memory, batch losses and the straggler, before any rank has stored anything."""
    recorder = RunRecorder("a-run")
    recorder.add_record("job.json", json.dumps({"request_id": "req-c", "job": {"n_workers": 3}}).encode())
    recorder.add_line(ZERO, "req-c", "START RequestId: req-c")
    for rank in range(2):
        recorder.add_line(*line("started", rank, 1.0, link=1, started_at=ZERO + 0.8, cold_start={"imports": 0.2}))
        for at in range(1, 5):
            figures = (
                {"compute_s": 0.1, "wait_s": 0.4, "waited_for": 1} if rank == 0 else {"compute_s": 0.5, "wait_s": 0}
            )
            more = {"first_round": 10 * at - 9, "rss_mb": 70.0, "sent_bytes": 5, "received_bytes": 7}
            values = {"round": 10 * at, "rounds": 100, "loss": 1 / at, **figures, **more}
            recorder.add_line(*line("progress", rank, 1.0 + 0.5 * at, **values))
    view = recorder.view(now=ZERO + 4)
    assert (view.status, view.seconds) == ("running", 4.0)
    assert [rank.state for rank in view.ranks] == ["training", "training", "invoked"]
    assert (view.rounds.done, view.rounds.planned) == (40, 100)
    assert [batch.loss for batch in view.batches] == [1.0, 0.5, pytest.approx(1 / 3), 0.25]
    assert view.straggler is not None
    assert (view.straggler.rank, view.straggler.first_round) == (1, 1)
    assert view.ranks[0].wait_s == pytest.approx(1.6)
    assert view.ranks[0].sent_bytes == 20
    assert view.ranks[0].max_rss_mb == 70.0
    assert len(view.ranks[0].attempts[0].buckets) == 4
    assert view.gaps == ["ranks have not stored their timings yet: rounds are means between two progress lines"]
    assert sum(share.seconds for share in view.shares) == pytest.approx(4.0)
    texts = {share.name: share.text for share in view.shares}
    assert "store" not in texts
    assert texts["other"] == "between rounds, since the last report"
    assert "exchanges" in texts["compute"]
    assert "twice" not in view.advice


def test_a_zone_is_known_from_the_first_line_of_a_worker_or_its_records() -> None:
    """So that of an attempt that was killed is known; what is no zone is left out."""
    recorder = RunRecorder("a-run")
    for rank, zone in enumerate(["use1-az2", "\x1b[31m", 7]):
        recorder.add_line(*line("started", rank, 1.0, link=1, zone=zone))
    recorder.add_record("telemetry/2.1.json", json.dumps(telemetry([(0.0, -1)]) | {"zone": "use1-az4"}).encode())

    assert [rank.zone for rank in recorder.view(now=ZERO + 2).ranks] == ["use1-az2", "", "use1-az4"]


def test_a_run_without_any_news_is_a_view_too() -> None:
    """As the page shows it in the moment of the invocation."""
    view = RunRecorder("a-run").view(now=ZERO)
    assert (view.status, view.ranks, view.shares) == ("running", [], [])


def test_a_failed_run_names_its_first_cause() -> None:
    """What other ranks say of the abort is not the cause."""
    failed = {"rank": 1, "kind": "InputError", "cause": "row 7 has no label", "final": True, "time": ZERO + 1.5}
    aborted = {"rank": 0, "kind": "RunAborted", "cause": "rank 1: row 7", "final": True, "time": ZERO + 1.4}
    objects = {"job.json": two_ranks()["job.json"], "failed/0.1.json": aborted, "failed/1.1.json": failed}
    view = read_view(RecordsInMemory(objects))
    assert (view.status, view.cause) == ("failed", "rank 1: row 7 has no label")
    assert [rank.state for rank in view.ranks] == ["failed", "failed"]
    assert [mark.kind for mark in view.marks] == ["death", "death"]
    assert view.advice == "see why it failed: `harness logs --run a-run`"


def test_a_failed_run_stored_nothing_after_its_last_round() -> None:
    """The time between the last round and the failure, such as that of Lambda's retries, is not that of storing."""
    failed = [{"rank": rank, "kind": "Died", "cause": "gone", "final": True, "time": ZERO + 9} for rank in range(2)]
    run = {"run_id": "a-run", "status": "failed", "started_at": ZERO, "seconds": 10.0, "mode": "process"}
    changes = {"run.json": run, "failed/0.1.json": failed[0], "failed/1.1.json": failed[1]}
    view = read_view(RecordsInMemory(two_ranks(**changes, **{"workers/0.1.json": None, "workers/1.1.json": None})))
    assert view.shares[0].name == "other"
    assert "after the last round" in view.shares[0].text
    assert "store" not in seconds_by_share(view)


def test_texts_of_strangers_stay_on_one_line() -> None:
    """A cause, a fault's text and a log line may hold anything; none of it breaks a view's lines."""
    nasty = "</script>\u2028\x1b[31m\n\nmore"
    failed = {"rank": 1, "kind": nasty, "cause": nasty * 100, "final": True, "time": ZERO + 1.5}
    objects = two_ranks() | {
        "run.json": {"run_id": "a-run", "status": "failed", "started_at": ZERO, "seconds": 2, "cause": nasty},
        "failed/1.2.json": failed,
        "summary.json": {"events": [{"event": "fault", "fault": nasty, "at_s": 1.0}, {"event": "fault"}, 7]},
        "log.jsonl": json.dumps({"at": ZERO, "request_id": nasty, "text": nasty}).encode(),
    }
    view = read_view(RecordsInMemory(objects))
    said = [
        view.cause,
        view.advice,
        *view.gaps,
        *(mark.text for mark in view.marks),
        *(one.text for one in view.shares),
    ]
    assert all("\n" not in text and len(text) <= 400 for text in said)


def test_going_back_is_a_mark_that_says_why() -> None:
    """Each rank's own, with the round that it left and the rank that had lost its state."""
    recorder = RunRecorder("a-run")
    said = {"round": 8, "generation": 1, "lost_by": 1}
    for one in (line("started", 0, 1.0, link=1), line("rolled_back", 0, 2.0, **said)):
        recorder.add_line(*one)
    marks = [(mark.kind, mark.rank, mark.round, mark.text) for mark in recorder.view(now=ZERO + 3).marks]
    assert marks == [("recovery", 0, 8, "rank 0 goes back with all ranks: rank 1 has lost its private state")]


@pytest.mark.parametrize("ending", ["", "\n", "\n\nmore", " \u2028", "Runtime.ExitError\nmore"])
def test_a_death_is_told_whatever_the_platform_prints_of_it(ending: str) -> None:
    """A function may print what looks like the platform's line, with any text behind it, or none."""
    request_id = "0" * 8 + "-0000-0000-0000-" + "0" * 12
    recorder = RunRecorder("a-run")
    at, _, text = line("started", 0, 1.0, link=1)
    recorder.add_line(at, request_id, text.replace("req-0", request_id))
    recorder.add_line(ZERO + 2, request_id, f"RequestId: {request_id} Error: {ending}")
    view = recorder.view(now=ZERO + 3)
    assert view.ranks[0].state == "died"
    assert view.ranks[0].attempts[0].cause in {"Runtime.ExitError", "an error without a text"}


def test_lines_of_other_runs_are_ignored() -> None:
    """All runs share the workers' log."""
    recorder = RunRecorder("a-run")
    at, request_id, text = line("started", 0, 1.0, link=1)
    recorder.add_line(at, request_id, text.replace("a-run", "another"))
    assert recorder.view(now=ZERO).ranks == []


def test_links_of_a_chain_are_attempts_of_one_rank() -> None:
    """A worker that ran low on time handed over to the next link; a mark says where."""
    second = telemetry([(0.0, -1)] * 4, started_at=ZERO + 3) | {"first_round": 11}
    logged = [
        line("handed_on", 0, 2.2, round=10, link=2, next_request_id="req-0b"),
        line("resumed", 0, 3.1, round=10, attempt=2),
    ]
    log = "\n".join(json.dumps({"at": at, "request_id": one, "text": text}) for at, one, text in logged)
    link = {"rank": 0, "attempt": 1, "link": 1, "round": 10, "started_at": ZERO + 1, "seconds": 1.2}
    objects = two_ranks() | {
        "workers/0.1.json": b"",
        "links/0.1.json": link | {"next_request_id": "req-0b"},
        "workers/0.2.json": worker(0, ZERO + 3, 0.7, link=2, attempt=2),
        "telemetry/0.2.json": second,
        "log.jsonl": log.encode(),
    }
    view = read_view(RecordsInMemory(objects))
    assert [(one.link, one.outcome) for one in view.ranks[0].attempts] == [(1, "handed_on"), (2, "finished")]
    assert view.ranks[0].round == 14
    marks = [(mark.kind, mark.text) for mark in view.marks]
    assert marks == [("link", "link 2 of the chain takes over after round 10")]


def test_a_long_run_is_thinned_and_its_longest_rounds_stay() -> None:
    """A view stays small, and a window of it is drawn more finely."""
    waits = [(1.0, 1)] * 5000
    long = telemetry(waits, round_ms=10.0)
    long["round_ms"][3456] = 9.0e3
    report = {"rounds": 1, "loss": 0.5, "accuracy": None}
    objects = two_ranks() | {
        "result.json": {"rounds": 5000, "loss": 1, "epochs": [{"epoch": at, **report} for at in range(1, 9001)]},
        "telemetry/0.1.json": long,
        "telemetry/1.1.json": telemetry([(0.0, -1)] * 5000, round_ms=10.0),
    }
    recorder = read_records(RecordsInMemory(objects))
    view = recorder.view()
    buckets = view.ranks[0].attempts[0].buckets
    assert len(buckets) <= 200
    assert sum(bucket.rounds for bucket in buckets) == 5000
    assert len(view.epochs) == 2000
    assert (view.epochs[0].epoch, view.epochs[-1].epoch) == (1, 9000)
    assert len(view.rounds.series) <= 1000
    assert max(ms for _, _, ms in view.rounds.series) == 9.0e3
    assert sum(count for *_, count in view.rounds.histogram) == 5000
    closer = recorder.view(window=(2.0, 3.0)).ranks[0].attempts[0].buckets
    assert len(closer) > 90
    assert all(bucket.end >= 2.0 and bucket.start <= 3.0 for bucket in closer)


def advice_of(changes: dict[str, Any], **job: Any) -> str:
    """Return the advice for a run of two ranks."""
    record = {"request_id": "req-c", "job": {"n_workers": 2, "sync_mode": "auto", **job}}
    return read_view(RecordsInMemory(two_ranks(**{"job.json": record, **changes}))).advice


def test_the_advice_fits_what_slows_the_run() -> None:
    """Uneven rows, a rank that computes longer, a cold start, an exchange that is longer than the computing."""
    assert "deal the rows evenly: rank 1 has" in advice_of({"workers/1.1.json": worker(1, rows=150)})
    assert "look at rank 1: it computed 2.0 times as long as the median of the others" in advice_of({})
    even = {"telemetry/0.1.json": telemetry([(5.0, 1)] * 10), "telemetry/1.1.json": telemetry([(5.0, 0)] * 10)}
    crowded = advice_of(even | {"workers/0.1.json": worker(0, cpu_seconds=0.2), "workers/1.1.json": worker(1)})
    assert crowded.startswith("fewer workers, or a machine with more cores")
    busy = {f"workers/{rank}.1.json": worker(rank, cpu_seconds=1.2) for rank in range(2)}
    assert advice_of(even | busy).startswith("twice the workers (4): each computes half as long")
    exchanging = {**telemetry([(5.0, 1)] * 10), "all_reduce_ms": [95.0] * 10, "cold_start": None}
    slow = busy | {"telemetry/0.1.json": exchanging, "telemetry/1.1.json": {**exchanging, "waited_for": [0] * 10}}
    assert advice_of(slow, optim="grad_avg", batch_size=100).startswith("twice the batch (--batch-size 200)")
    cold = {**telemetry([(5.0, 1)] * 10), "cold_start": {"imports": 0.9}}
    assert advice_of(busy | {"telemetry/0.1.json": cold, "telemetry/1.1.json": cold}).startswith("warm starts")

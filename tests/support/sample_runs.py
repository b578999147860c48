"""Views of runs that never ran: plausible figures from a seeded generator, for the page, the report and the formats."""

import random
from dataclasses import dataclass
from typing import Any

from harness.insight.view import (
    NOBODY,
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
    Share,
    Straggler,
)

STARTED_AT = 1_796_000_000.0
HOSTILE = "</script><script>globalThis.hostile = 1</script><img src=x onerror='globalThis.hostile = 1'>\u2028${1}\"'"


@dataclass(frozen=True)
class Sample:
    """What a run of the generator looks like.

    Attributes:
        run_id: Its name.
        n_ranks: How many ranks it has.
        n_epochs: How many epochs they train.
        n_rounds: How many rounds they have in all.
        n_buckets: Into how many buckets an attempt's rounds are thinned.
        round_s: The time of a round.
        straggler: The rank that the others wait for; None for nobody.
        killed: The rank that dies in the middle and comes back; None for nobody.
        seed: Of the generator.
        hostile: Whether names and texts try to be HTML.
    """

    run_id: str = "20261201-101500-a1b2c3"
    n_ranks: int = 4
    n_epochs: int = 20
    n_rounds: int = 400
    n_buckets: int = 100
    round_s: float = 0.02
    straggler: int | None = None
    killed: int | None = None
    seed: int = 0
    hostile: bool = False


def buckets_of(sample: Sample, rank: int, span: tuple[float, float], rounds: tuple[int, int]) -> list[Bucket]:
    """Rounds `rounds` of a rank between two moments, as buckets of the same length."""
    generator = random.Random(f"{sample.seed} {rank} {span}")
    (start, end), (first, last) = span, rounds
    number = max(1, min(sample.n_buckets, last - first))
    found = []
    for index in range(number):
        begins, ends = (start + (end - start) * at / number for at in (index, index + 1))
        at = first + (last - first) * index // number
        share = generator.uniform(0.45, 0.7)
        wait = generator.uniform(0.05, 0.2)
        waited_for = generator.choice([other for other in range(sample.n_ranks) if other != rank] or [NOBODY])
        if sample.straggler is not None and index > number // 3:
            share, wait = (0.9, 0.02) if rank == sample.straggler else (share / 2, 0.55 + wait / 2)
            waited_for = NOBODY if rank == sample.straggler else sample.straggler
        found.append(
            Bucket(
                start=begins,
                end=ends,
                first_round=at,
                rounds=max(1, first + (last - first) * (index + 1) // number - at),
                compute_s=(ends - begins) * share,
                wait_s=(ends - begins) * wait,
                waited_for=waited_for,
            )
        )
    return found


def attempts_of(sample: Sample, rank: int) -> list[Attempt]:
    """The attempts of a rank: one, or two if it is killed."""
    generator = random.Random(f"{sample.seed} {rank}")
    started = 0.35 + generator.uniform(0, 0.3)
    cold = {"interpreter": 0.04, "imports": 0.3 * generator.uniform(0.6, 1.4), "s3_client": 0.07}
    loaded = started + generator.uniform(0.3, 0.5)
    trains = 1.5
    over = trains + sample.n_rounds * sample.round_s
    middle = (trains + over) / 2

    def attempt(number: int, begins: float, ready: float, ends: float, rounds: tuple[int, int]) -> Attempt:
        dies = rank == sample.killed and number == 1
        phases = [
            Interval("start", begins - sum(cold.values()), begins, "interpreter, imports, s3_client"),
            Interval("load", begins, ready - 0.05),
            Interval("join", ready - 0.05, trains if number == 1 else ready),
        ]
        evaluations = (
            [] if dies else [Interval("evaluate", ends, ends + 0.08), Interval("store", ends + 0.08, ends + 0.2)]
        )
        checkpoint = [Interval("checkpoint", middle - 0.1, middle - 0.05)] if rank == 0 else []
        finish = ends if dies else ends + (0.6 if rank else 0.3)
        return Attempt(
            attempt=number,
            request_id=f"{rank:08x}-0000-4000-8000-{number:012x}",
            started=begins,
            ended=finish,
            outcome="died" if dies else "finished",
            cause="Runtime.ExitError: signal: killed" if dies else "",
            cold_start=cold,
            intervals=[*phases, *checkpoint, *evaluations, *([] if dies else [Interval("stay", ends + 0.2, finish)])],
            buckets=buckets_of(sample, rank, (trains if number == 1 else ready, ends), rounds),
            memory=[
                (begins + index * 0.5, 60 + 20 * min(1, index / 4) + generator.uniform(0, 2))
                for index in range(int((finish - begins) / 0.5) + 1)
            ],
            complete=not dies,
        )

    if rank != sample.killed:
        return [attempt(1, started, loaded, over, (1, sample.n_rounds))]
    return [
        attempt(1, started, loaded, middle, (1, sample.n_rounds // 2)),
        attempt(2, middle + 0.5, middle + 0.8, over, (sample.n_rounds // 2, sample.n_rounds)),
    ]


def rank_of(sample: Sample, rank: int) -> Rank:
    """One rank, its sums from its attempts."""
    attempts = attempts_of(sample, rank)
    buckets = [bucket for attempt in attempts for bucket in attempt.buckets]
    blamed = rank == sample.straggler
    return Rank(
        rank=rank,
        state="finished",
        round=sample.n_rounds,
        rows=25_000 + rank % 2,
        compute_s=sum(bucket.compute_s for bucket in buckets),
        wait_s=sum(bucket.wait_s for bucket in buckets),
        blamed_s=sample.n_rounds * sample.round_s * 0.4 if blamed else 0.02,
        sent_bytes=sample.n_rounds * 120_000,
        received_bytes=sample.n_rounds * 120_000 * (3 if rank == 0 else 1),
        max_rss_mb=max((mb for attempt in attempts for _, mb in attempt.memory), default=0.0),
        cpu_s=sum(bucket.compute_s for bucket in buckets) * 0.9,
        attempts=attempts,
    )


def marks_of(sample: Sample) -> list[Mark]:
    """A checkpoint; the death and the return of the rank that is killed; a fault of the straggler."""
    middle = 1.5 + sample.n_rounds * sample.round_s / 2
    half = sample.n_rounds // 2
    marks = [
        Mark(at=middle - 0.1, kind="checkpoint", text="checkpoint after round " + str(half - 5), rank=0, round=half - 5)
    ]
    if (rank := sample.killed) is not None:
        marks += [
            Mark(at=middle, kind="fault", text=f"kill rank={rank},round={half}", rank=rank, round=half, cost_s=0.81),
            Mark(at=middle + 0.001, kind="death", text=f"rank {rank} died: Runtime.ExitError", rank=rank, round=half),
            Mark(at=middle + 0.4, kind="retry", text=f"rank {rank} is invoked again, attempt 2", rank=rank),
            Mark(
                at=middle + 0.8,
                kind="recovery",
                text=f"rank {rank} continues from rank 0's state",
                rank=rank,
                round=half,
            ),
        ]
    if (rank := sample.straggler) is not None:
        marks.append(
            Mark(at=middle / 2, kind="fault", text=f"slow rank={rank}", rank=rank, round=half // 2, cost_s=1.9)
        )
    if sample.hostile:
        marks.append(Mark(at=middle, kind="restart", text=HOSTILE))
    return sorted(marks, key=lambda mark: mark.at)


def epochs_of(sample: Sample) -> list[Epoch]:
    """Losses that fall, with a little noise, and the validation's above them."""
    generator = random.Random(sample.seed)
    over = sample.n_rounds * sample.round_s
    epochs = []
    for epoch in range(1, sample.n_epochs + 1):
        loss = 0.31 + 0.38 / (1 + epoch * 0.4) + generator.uniform(0, 0.004)
        epochs.append(
            Epoch(
                epoch=epoch,
                at=1.5 + over * epoch / sample.n_epochs,
                loss=loss,
                metrics={"accuracy": 0.9 - loss / 2},
                validation={"loss": loss * 1.04 + 0.004, "accuracy": 0.89 - loss / 2},
            )
        )
    return epochs


def rounds_of(sample: Sample) -> Rounds:
    """Round times around their median, and a few long ones."""
    generator = random.Random(sample.seed)
    p50 = sample.round_s * 1000
    times = sorted(
        p50 * generator.lognormvariate(0, 0.18) + (p50 * 5 if generator.random() < 0.01 else 0)
        for _ in range(sample.n_rounds)
    )
    low, high = times[0], times[-1]
    width = (high - low) / 40 or 1.0
    counts = [0] * 40
    for time in times:
        counts[min(39, int((time - low) / width))] += 1
    step = max(1, sample.n_rounds // 500)
    return Rounds(
        done=sample.n_rounds,
        planned=sample.n_rounds,
        p50_ms=times[len(times) // 2],
        p99_ms=times[int(len(times) * 0.99)],
        histogram=[(low + width * index, low + width * (index + 1), count) for index, count in enumerate(counts)],
        series=[
            (number, 1.5 + number * sample.round_s, p50 * generator.lognormvariate(0, 0.18))
            for number in range(1, sample.n_rounds + 1, step)
        ],
    )


def job_of(sample: Sample) -> dict[str, Any]:
    """The keys of a job that people look at."""
    return {
        "model": HOSTILE if sample.hostile else "lr",
        "dataset": "synthetic:rows=100000,features=28",
        "optim": "grad_avg",
        "sync_mode": "auto",
        "n_workers": sample.n_ranks,
        "n_epochs": sample.n_epochs,
        "batch_size": 1000,
        "lr": 0.1 + sample.seed / 100,
        "valid_ratio": 0.2,
        "seed": sample.seed,
        "channel": "memcached",
    }


def sample_view(sample: Sample) -> RunView:
    """The view of a run that is over."""
    seconds = 1.5 + sample.n_rounds * sample.round_s + 0.7
    trains = sample.n_rounds * sample.round_s
    straggler = sample.straggler
    waits = trains * (0.4 if straggler is not None else 0.15)
    return RunView(
        run_id=sample.run_id,
        status="succeeded",
        mode="process",
        started_at=STARTED_AT,
        seconds=seconds,
        job=job_of(sample),
        chosen={"model": "lr", "lr": 0.1, "batch_size": 1000},
        versions={"harness": "0.1.0", "python": "3.11.2", "code_sha256": "0f" * 16 + f"{sample.seed:02x}"},
        summary={
            "model": {"location": f"s3://lambda-harness-runs/runs/{sample.run_id}/model.npz", "sha256": "ab" * 32},
            "loss": 0.3512,
            "cost_usd": 0.0000816,
            "rows_per_s": 1_099_743.4,
            "warnings": [HOSTILE] if sample.hostile else [],
        },
        epochs=epochs_of(sample),
        batches=[
            Batch(
                1.5 + trains * index / 200,
                index * sample.n_rounds // 200,
                0.34 + 0.35 / (1 + index / 20) + random.Random(index).uniform(-0.02, 0.02),
            )
            for index in range(200)
        ],
        ranks=[rank_of(sample, rank) for rank in range(sample.n_ranks)],
        rounds=rounds_of(sample),
        marks=marks_of(sample),
        straggler=None
        if straggler is None
        else Straggler(
            rank=straggler,
            waited_s=trains * 0.4,
            share=0.4,
            rounds=sample.n_rounds * 2 // 3,
            first_round=sample.n_rounds // 3,
            last_round=sample.n_rounds,
            text=f"rank {straggler}: the others waited {trains * 0.4:.1f} s for it, 40 % of the time in rounds",
        ),
        shares=[
            Share(name="compute", seconds=trains * 0.5, text="the ranks computed"),
            Share(name="wait", seconds=waits, text=f"the ranks waited, longest for rank {straggler or 0}"),
            Share(name="exchange", seconds=trains * 0.5 - waits, text="frames went through the channel"),
            Share(name="start", seconds=0.65, text="cold starts; imports took longest"),
            Share(name="load", seconds=0.6, text="partitions were read and parsed"),
            Share(name="evaluate", seconds=0.25, text="metrics of all rows"),
            Share(name="store", seconds=0.35, text="model and results were stored"),
            Share(name="other", seconds=0.35, text="between invocation and the first rank"),
        ],
        advice=""
        if straggler is None
        else f"Look at rank {straggler}: without its delays the run would take {trains * 0.4:.1f} s less.",
        invocations=[
            InvocationView(
                function="linear_ec_2",
                request_id=f"{rank:08x}-0000-4000-8000-000000000001",
                rank=rank,
                state="succeeded",
                queued=0.1,
                started=0.2,
                ended=seconds - 0.3,
                billed_ms=8000,
                used_mb=80,
            )
            for rank in range(sample.n_ranks)
        ],
        gaps=["rank 2, attempt 1: its timings were not stored; its rounds come from its log"]
        if sample.killed is not None
        else [],
    )


def sample_log(view: RunView) -> list[dict[str, Any]]:
    """A few lines of each rank."""
    lines = []
    for rank in view.ranks:
        for attempt in rank.attempts:
            events = [(attempt.started, f'{{"event": "started", "rank": {rank.rank}}}')]
            events += [
                (bucket.start, f'{{"event": "progress", "rank": {rank.rank}, "round": {bucket.first_round}}}')
                for bucket in attempt.buckets[::10]
            ]
            events.append((attempt.ended or view.seconds, f'{{"event": "{attempt.outcome}", "rank": {rank.rank}}}'))
            lines += [
                {
                    "at": view.started_at + at,
                    "function": "linear_ec_2",
                    "request_id": attempt.request_id,
                    "rank": rank.rank,
                    "run_id": view.run_id,
                    "text": text,
                }
                for at, text in events
            ]
    return sorted(lines, key=lambda line: line["at"])

"""The view of a run: what the page draws, what a report holds, and what every open format exports.

    a run's records (S3, or kept ones), its log lines, its invocations  --recorder-->  RunView
    RunView  -->  page, report, `harness why`, `harness runs --compare`, traces and tables for other viewers

All times are seconds since `started_at`, the invocation of the coordinator. Lists that grow with the number of rounds
are thinned, so a view of 64 ranks and 10,000 rounds stays small; `Telemetry` in the run's folder has every round.
What is missing is said in `gaps`, and everything else is there.
"""

from typing import Any, Literal

import msgspec

VERSION = 1

# Whom nobody waited for.
NOBODY = -1

Phase = Literal["start", "load", "join", "compute", "wait", "evaluate", "checkpoint", "store", "stay"]
RunStatus = Literal["running", "succeeded", "failed", "stopped", "unfinished", "damaged"]
AttemptOutcome = Literal["running", "finished", "handed_on", "failed", "died", "superfluous"]
MarkKind = Literal["fault", "death", "retry", "recovery", "checkpoint", "link", "restart"]


class Interval(msgspec.Struct, frozen=True, array_like=True):
    """A phase of an attempt other than its rounds.

    Attributes:
        phase: What the rank did. `start` is the environment's cold start, `stay` the wait behind the results until no
            other rank needs this one.
        start: When it began, seconds.
        end: When it ended, seconds.
        note: What it was in particular, such as `imports` within a cold start; may be empty.
    """

    phase: Phase
    start: float
    end: float
    note: str = ""


class Bucket(msgspec.Struct, frozen=True, array_like=True):
    """Rounds of one attempt that follow each other, drawn as one bar.

    Attributes:
        start: When the first of them began, seconds.
        end: When the last of them ended, seconds.
        first_round: The first of them.
        rounds: How many there are.
        compute_s: Seconds of them in which the rank did not wait: it computed, stored and read frames.
        wait_s: Seconds of them in which it waited for other ranks.
        waited_for: The rank that it waited for longest; `NOBODY` if it did not wait.
    """

    start: float
    end: float
    first_round: int
    rounds: int
    compute_s: float
    wait_s: float
    waited_for: int = NOBODY


class Attempt(msgspec.Struct, frozen=True, kw_only=True):
    """One attempt of a rank's event: one invocation.

    Attributes:
        attempt: Counts the rank's attempts over all links, from 1.
        link: Which function of the chain it belongs to, from 1.
        request_id: The invocation's request id; empty if unknown.
        started: When its handler began, seconds.
        ended: When it ended, seconds; None while it runs, or if nobody knows.
        outcome: How it ended.
        cause: Why it failed, one line; empty if it did not.
        cold_start: Seconds by phase before the handler ran for the first time; None in a warm environment.
        intervals: Its phases, in the order of their start.
        buckets: Its rounds, thinned.
        memory: Pairs of seconds and resident MB.
        complete: Whether its timings were stored; those of an attempt that died come from its log alone.
    """

    attempt: int
    link: int = 1
    request_id: str = ""
    started: float
    ended: float | None = None
    outcome: AttemptOutcome = "running"
    cause: str = ""
    cold_start: dict[str, float] | None = None
    intervals: list[Interval] = []
    buckets: list[Bucket] = []
    memory: list[tuple[float, float]] = []
    complete: bool = False


class Rank(msgspec.Struct, frozen=True, kw_only=True):
    """One rank.

    Attributes:
        rank: The rank.
        state: What it does now, or how it ended: `invoked`, `training`, `waiting`, `finished`, `failed`, `died`.
        round: Its last round.
        rows: Its training rows; 0 while unknown.
        compute_s: Seconds of its rounds in which it did not wait: it computed, stored and read frames.
        wait_s: Seconds of its rounds in which it waited for others.
        blamed_s: Seconds for which one other rank waited for it at most, while it waited for nobody.
        sent_bytes: Bytes that it stored in the channel.
        received_bytes: Bytes that it read from the channel.
        max_rss_mb: The largest resident size of its attempts.
        cpu_s: Processor time of its attempts, as far as known.
        zone: The ID of the zone of its last attempt; empty if unknown.
        attempts: Its attempts, the oldest first.
    """

    rank: int
    state: str = "invoked"
    round: int = 0
    rows: int = 0
    compute_s: float = 0.0
    wait_s: float = 0.0
    blamed_s: float = 0.0
    sent_bytes: int = 0
    received_bytes: int = 0
    max_rss_mb: float = 0.0
    cpu_s: float = 0.0
    zone: str = ""
    attempts: list[Attempt] = []


class Epoch(msgspec.Struct, frozen=True, kw_only=True):
    """The figures after an epoch.

    Attributes:
        epoch: The epoch, from 1.
        at: When it ended, seconds; None if the log does not tell.
        loss: What is minimised, over all training rows.
        metrics: Accuracy, RMSE and so on, of the training rows.
        validation: The validation rows' loss and metrics; None without such rows.
    """

    epoch: int
    at: float | None = None
    loss: float
    metrics: dict[str, float] = {}
    validation: dict[str, float] | None = None


class Batch(msgspec.Struct, frozen=True, array_like=True):
    """The loss of one round's global batch, as rank 0 printed it."""

    at: float
    round: int
    loss: float


class Rounds(msgspec.Struct, frozen=True, kw_only=True):
    """The rounds of the run, by rank 0.

    Attributes:
        done: How many are done.
        planned: How many there will be at most; 0 if unknown.
        p50_ms: The median of their times.
        p99_ms: The 99th percentile.
        histogram: Triples of a bin's lower and upper edge, ms, and the number of rounds in it.
        series: Triples of round, its end in seconds, and its time in ms; thinned, the longest rounds kept.
    """

    done: int = 0
    planned: int = 0
    p50_ms: float = 0.0
    p99_ms: float = 0.0
    histogram: list[tuple[float, float, int]] = []
    series: list[tuple[int, float, float]] = []


class Mark(msgspec.Struct, frozen=True, kw_only=True):
    """Something that happened at one moment: a fault, a death, a retry, a recovery, a checkpoint, a restart.

    Attributes:
        at: When, seconds.
        kind: What kind of event.
        text: One line.
        rank: Whom it concerned; None for the run as a whole.
        round: In which round; None if in none.
        cost_s: What it cost, measured against undisturbed rounds; None if unknown.
    """

    at: float
    kind: MarkKind
    text: str
    rank: int | None = None
    round: int | None = None
    cost_s: float | None = None


class Straggler(msgspec.Struct, frozen=True, kw_only=True):
    """The rank that the others waited for longest.

    Attributes:
        rank: The rank.
        waited_s: Seconds that the run lost in waiting for it: the most that any one rank waited for it.
        share: Their share of the time in rounds, from 0 to 1.
        rounds: In how many rounds it was waited for.
        first_round: The first of them.
        last_round: The last of them.
        text: One line that names it.
    """

    rank: int
    waited_s: float
    share: float
    rounds: int
    first_round: int
    last_round: int
    text: str


class Share(msgspec.Struct, frozen=True, kw_only=True):
    """A part of the run's time; the shares of a run add up to its seconds.

    Attributes:
        name: `start`, `load`, `compute`, `wait`, `exchange`, `evaluate`, `store`, `other`.
        seconds: How long.
        text: One line: what it was, and for whom the run waited.
    """

    name: str
    seconds: float
    text: str


class InvocationView(msgspec.Struct, frozen=True, kw_only=True):
    """One attempt of one invocation, as the Lambda service saw it.

    Attributes:
        function: The function's name.
        request_id: Its request id; a retried event keeps it.
        attempt: Which attempt of this request it was, from 1.
        rank: The rank that it ran; None for the coordinator.
        state: `queued`, `running`, `waiting` for a retry, `throttled`, `succeeded`, `failed`, `given_up`.
        environment: Which environment ran it; empty if none has yet.
        queued: When it was accepted, seconds.
        started: When the attempt began, seconds; None while it has not.
        ended: When the attempt ended, seconds; None while it has not.
        init_ms: How long the start of its environment took; None if the environment was warm.
        billed_ms: The duration that AWS would bill.
        used_mb: The most memory that the environment has used.
        error: The type of its error; empty if it succeeded.
    """

    function: str
    request_id: str
    attempt: int = 1
    rank: int | None = None
    state: str = "queued"
    environment: str = ""
    queued: float
    started: float | None = None
    ended: float | None = None
    init_ms: float | None = None
    billed_ms: int = 0
    used_mb: int = 0
    error: str = ""


class RunView(msgspec.Struct, frozen=True, kw_only=True):
    """A run, running or over.

    Attributes:
        version: The version of this record.
        run_id: The run.
        status: Its status.
        target: Where it ran: `local`, `rehearsal` or `aws`.
        mode: How its functions ran: `process`, `container`, or as the summary says.
        started_at: When the coordinator was invoked, seconds since the epoch.
        seconds: From then to the last result, or to now.
        cause: Why it failed, one line; empty if it did not.
        job: The job as the coordinator received it.
        chosen: The keys of the job that follow from the data.
        versions: What it ran on: `harness`, `python`, `code_sha256`, and an entry for each image.
        summary: What `harness run --json` printed; None if the run has not succeeded.
        epochs: One entry per epoch; thinned beyond 2,000.
        batches: Rank 0's batch losses; thinned.
        ranks: One entry per rank.
        rounds: The rounds, by rank 0.
        marks: What happened, the oldest first.
        straggler: Whom the others waited for; None if nobody stood out.
        shares: Where the time went, the largest part first.
        advice: What would help most, one line; empty if nothing would.
        invocations: The run's invocations; empty if the service is not there to ask.
        gaps: What this view lacks, and why; one line each.
    """

    version: int = VERSION
    run_id: str
    status: RunStatus
    target: str = "local"
    mode: str = ""
    started_at: float
    seconds: float
    cause: str = ""
    job: dict[str, Any] = {}
    chosen: dict[str, Any] = {}
    versions: dict[str, str] = {}
    summary: dict[str, Any] | None = None
    epochs: list[Epoch] = []
    batches: list[Batch] = []
    ranks: list[Rank] = []
    rounds: Rounds = Rounds()
    marks: list[Mark] = []
    straggler: Straggler | None = None
    shares: list[Share] = []
    advice: str = ""
    invocations: list[InvocationView] = []
    gaps: list[str] = []

"""A run's records, gathered as they come, and the view of them."""

from typing import Any

from harness.insight.advice import advice_of
from harness.insight.attempts import AttemptFacts, put_together
from harness.insight.curves import batches_of, epochs_of, rounds_of
from harness.insight.facts import Key, RunFacts
from harness.insight.gaps import gaps_of
from harness.insight.invocations import invocation_views
from harness.insight.marks import marks_of
from harness.insight.ranks import Window, attempt_view, rank_view
from harness.insight.shares import shares_of, spent_of
from harness.insight.status import Status, status_of
from harness.insight.stored import StoredRounds, stored_rounds
from harness.insight.timeline import ComparedRounds, Timeline, compare_clocks, moved, seconds_of, who_waited, zero_of
from harness.insight.view import Attempt, Rank, RunView

# Bars of an attempt's rounds, unless a window is looked at more closely.
BUCKETS = 200


class RunRecorder:
    """Gathers what is known of a run; in any order, and from as much as there is.

    Args:
        run_id: The run.
        target: Where it runs: `local`, `rehearsal` or `aws`.
        live: Whether the run is being followed: what nobody calls over is running then, else unfinished.
    """

    def __init__(self, run_id: str, *, target: str = "local", live: bool = True) -> None:
        self._facts, self._target, self._live = RunFacts(run_id), target, live
        self._stored: dict[Key, StoredRounds] = {}
        self._compared: tuple[list[Key], dict[int, float], ComparedRounds | None] | None = None
        self._attempts: dict[tuple[Any, ...], Attempt] = {}

    def add_line(self, at_epoch_s: float, request_id: str, text: str) -> None:
        """Take in a line of the coordinator's log or of a worker's; all runs share these, so other runs' are ignored.

        Args:
            at_epoch_s: When it was written, seconds since the epoch.
            request_id: The invocation that wrote it; empty if unknown.
            text: The line.
        """
        self._facts.add_line(at_epoch_s, request_id, text)

    def add_record(self, name: str, body: bytes) -> None:
        """Take in an object of the run's folder, by its name such as `telemetry/2.1.json`; others are ignored."""
        self._facts.add_record(name, body)
        for key in self._facts.timings.keys() - self._stored.keys():
            self._stored[key] = stored_rounds(self._facts.timings[key])

    def add_invocation(self, record: dict[str, Any]) -> None:
        """Take in the Lambda service's record of an attempt of an invocation; a newer state replaces an older one."""
        self._facts.add_invocation(record)

    def add_summary(self, summary: dict[str, Any]) -> None:
        """Take in what `harness run --json` prints."""
        self._facts.summary = summary

    def add_problem(self, name: str, problem: str) -> None:
        """Note that a record cannot be read.

        Args:
            name: The record.
            problem: A clause that says so.
        """
        self._facts.problems[name] = problem

    def view(self, now: float | None = None, *, window: Window | None = None, buckets: int = BUCKETS) -> RunView:
        """Return the view of what is known so far.

        Args:
            now: The time, seconds since the epoch, up to which a running run is drawn; None for what was last heard.
            window: Draw only the rounds between these seconds, more finely; None for all.
            buckets: At most so many bars for the rounds of each attempt.
        """
        facts = self._facts
        status = status_of(facts, self._target, live=self._live)
        timeline = self._timeline(status, now)
        marks = marks_of(facts, timeline.attempts, timeline.zero)
        straggler = None if timeline.waited is None else timeline.waited.straggler
        spent = spent_of(timeline)
        lowest = next((each for each in timeline.attempts.values() if any(len(one.entries.start) for one in each)), [])
        return RunView(
            run_id=facts.run_id,
            status=status.status,
            target=status.target,
            mode=status.mode,
            started_at=timeline.zero,
            seconds=timeline.seconds,
            cause=status.cause,
            job=status.job,
            chosen=status.chosen,
            versions=status.versions,
            summary=facts.summary,
            epochs=epochs_of(facts, timeline.zero),
            batches=batches_of(facts, timeline.zero),
            ranks=self._ranks(timeline, status, window, buckets),
            rounds=rounds_of(facts, lowest, timeline.zero),
            marks=marks,
            straggler=straggler,
            shares=shares_of(facts, timeline, spent),
            advice=advice_of(facts, timeline, spent, marks, status),
            invocations=invocation_views(facts, timeline.zero),
            gaps=gaps_of(facts, timeline, status),
        )

    def _timeline(self, status: Status, now: float | None) -> Timeline:
        attempts = put_together(self._facts, self._stored, over=status.over)
        skews, waited = self._compare(attempts, status)
        attempts = moved(attempts, skews)
        zero = zero_of(self._facts, attempts, now)
        seconds = seconds_of(self._facts, attempts, zero, None if status.over else now)
        return Timeline(zero, seconds, attempts, waited, skews)

    def _compare(
        self, attempts: dict[int, list[AttemptFacts]], status: Status
    ) -> tuple[dict[int, float], ComparedRounds | None]:
        """Compare the ranks' clocks and rounds; what stored timings tell is remembered until there are more of them."""
        stored = [(one.rank, one.attempt) for each in attempts.values() for one in each if one.complete]
        if stored and self._compared is not None and self._compared[0] == stored:
            return self._compared[1:]
        # Ranks on one machine have one clock; those of `async` do not end their rounds together.
        own_clocks = status.target == "aws" and status.job.get("sync_mode") != "async"
        skews = compare_clocks(attempts) if own_clocks else {}
        self._compared = (stored, skews, who_waited(attempts))
        return self._compared[1:]

    def _ranks(self, timeline: Timeline, status: Status, window: Window | None, most: int) -> list[Rank]:
        blamed_s: dict[int, float] = {}
        if (waited := timeline.waited) is not None:
            blamed_s = dict(zip(waited.waits.ranks.tolist(), waited.blame.of_row.tolist(), strict=True))
        # A rank that nobody has heard of waits to be started.
        known = {*timeline.attempts, *range(status.n_workers), *self._facts.requests.values()}
        return [
            rank_view(
                rank,
                timeline.attempts.get(rank, []),
                self._facts,
                blamed_s.get(rank, 0.0),
                lambda one: self._drawn(one, timeline.zero, window, most),
            )
            for rank in sorted(known)
        ]

    def _drawn(self, one: AttemptFacts, zero: float, window: Window | None, most: int) -> Attempt:
        """Return an attempt as it is drawn; those whose timings are stored and that have ended are remembered."""
        if not one.complete or one.ended is None:
            return attempt_view(one, zero, most, window)
        key = (one.rank, one.attempt, one.started - zero, one.ended, one.outcome, window, most)
        if key not in self._attempts:
            if window is not None:  # of windows, only the last one is likely to be asked for again
                self._attempts = {known: drawn for known, drawn in self._attempts.items() if known[5] in {None, window}}
            self._attempts[key] = attempt_view(one, zero, most, window)
        return self._attempts[key]

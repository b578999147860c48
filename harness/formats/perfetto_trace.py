"""A run as a trace that Perfetto opens: https://ui.perfetto.dev, or `trace_processor`.

    process "run <id>"      a track of the run's epochs and events, a track per rank, a counter of its memory
    process "environments"  a track per environment, with the invocations that it ran

A flow leads from the rank that was waited for to the rank that waited: from the value's `put` to its `get`.
The format: https://perfetto.dev/docs/reference/synthetic-track-event
"""

import itertools
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

from perfetto.protos.perfetto.trace.perfetto_trace_pb2 import TracePacket, TrackDescriptor, TrackEvent
from perfetto.trace_builder.proto_builder import StreamingTraceProtoBuilder

from harness.formats.scalars import LATEST_NS
from harness.insight.view import NOBODY, Attempt, Bucket, InvocationView, Rank, RunView

_SEQUENCE = 1
_RUN, _ENVIRONMENTS = 1, 2
# Track ids: one for the run's own events, then ranks, their counters, and environments in ranges of their own.
_EVENTS, _EPOCHS, _RANKS, _MEMORY, _ENVIRONMENT = 3, 4, 1_000, 2_000_000, 4_000_000
# Tracks of one rank: loading overlaps joining, and an attempt may overlap the one that takes over from it.
_LANES = 4
# Viewers draw a flow to the beginning of a slice, so the `get` at the end of a wait is a slice of its own.
_MOMENT_S = 1e-6
# https://android.googlesource.com/platform/external/perfetto/+/refs/heads/main/protos/perfetto/common/builtin_clock.proto
_REALTIME, _BOOTTIME = 1, 6


@dataclass(frozen=True, slots=True)
class Slice:
    """A bar on a track, from its beginning to its end in seconds after the run's start; a flow may end in it."""

    start: float
    end: float
    name: str
    arguments: Mapping[str, Any] = field(default_factory=dict)
    ends_flow: int | None = None


def lanes(slices: Iterable[Slice]) -> list[list[Slice]]:
    """Deal slices to as few tracks as they need: on one track they follow or contain each other, and never cross."""
    dealt: list[list[Slice]] = []
    open_: list[list[Slice]] = []
    for one in sorted(slices, key=lambda each: (each.start, -each.end)):
        for stack in open_:
            while stack and stack[-1].end <= one.start:
                stack.pop()
        free = (number for number, stack in enumerate(open_) if not stack or one.end <= stack[-1].end)
        lane = next(free, len(dealt))
        if lane == len(dealt):
            dealt.append([])
            open_.append([])
        dealt[lane].append(one)
        open_[lane].append(one)
    return dealt


class TraceFile:
    """A trace as it is written: tracks, slices on them, instants, counters and flows.

    Args:
        file: The open file.
        origin: The run's start, seconds since the epoch.
    """

    def __init__(self, file: IO[bytes], origin: float) -> None:
        self._builder, self._origin = StreamingTraceProtoBuilder(file), origin
        packet = self._packet(0.0)
        packet.sequence_flags = TracePacket.SEQ_INCREMENTAL_STATE_CLEARED
        for clock in (_REALTIME, _BOOTTIME):
            snapshot = packet.clock_snapshot.clocks.add()
            snapshot.clock_id, snapshot.timestamp = clock, packet.timestamp
        self._builder.write_packet(packet)

    def process(self, uuid: int, pid: int, name: str) -> None:
        """Declare a group of tracks."""
        packet = self._packet(0.0)
        packet.track_descriptor.uuid = uuid
        packet.track_descriptor.process.pid = pid
        packet.track_descriptor.process.process_name = name
        packet.track_descriptor.child_ordering = TrackDescriptor.EXPLICIT
        self._builder.write_packet(packet)

    def track(self, uuid: int, parent: int, name: str, order: int, *, unit: str = "") -> None:
        """Declare a track; with a unit, one of a counter."""
        packet = self._packet(0.0)
        descriptor = packet.track_descriptor
        descriptor.uuid, descriptor.parent_uuid, descriptor.name = uuid, parent, name
        descriptor.sibling_order_rank = order
        if unit:
            descriptor.counter.unit_name = unit
        self._builder.write_packet(packet)

    def slices(self, track: int, slices: Sequence[Slice]) -> None:
        """Write slices that follow or contain each other, sorted by their start."""
        open_: list[Slice] = []
        for one in slices:
            while open_ and open_[-1].end <= one.start:
                self._end(track, open_.pop().end)
            packet = self._event(one.start, track, TrackEvent.TYPE_SLICE_BEGIN)
            packet.track_event.name = one.name
            _annotate(packet.track_event, one.arguments)
            if one.ends_flow is not None:
                packet.track_event.terminating_flow_ids.append(one.ends_flow)
            self._builder.write_packet(packet)
            open_.append(one)
        while open_:
            self._end(track, open_.pop().end)

    def instant(
        self, track: int, at: float, name: str, arguments: Mapping[str, Any] | None = None, *, flow: int | None = None
    ) -> None:
        """Write something that happened at one moment; a flow may begin there."""
        packet = self._event(at, track, TrackEvent.TYPE_INSTANT)
        packet.track_event.name = name
        _annotate(packet.track_event, arguments or {})
        if flow is not None:
            packet.track_event.flow_ids.append(flow)
        self._builder.write_packet(packet)

    def count(self, track: int, at: float, value: float) -> None:
        """Write a counter's value."""
        packet = self._event(at, track, TrackEvent.TYPE_COUNTER)
        packet.track_event.double_counter_value = value
        self._builder.write_packet(packet)

    def _end(self, track: int, at: float) -> None:
        self._builder.write_packet(self._event(at, track, TrackEvent.TYPE_SLICE_END))

    def _event(self, at: float, track: int, kind: int) -> TracePacket:
        packet = self._packet(at)
        packet.track_event.track_uuid, packet.track_event.type = track, kind
        return packet

    def _packet(self, at: float) -> TracePacket:
        packet = self._builder.create_packet()
        packet.timestamp = min(max(0, round(1e9 * (self._origin + at))), LATEST_NS)
        packet.timestamp_clock_id = _BOOTTIME
        packet.trusted_packet_sequence_id = _SEQUENCE
        return packet


def write_trace(view: RunView, path: Path) -> None:
    """Write a run's trace.

    Args:
        view: The run; its buckets become slices, so a view with fine ones gives a fine trace.
        path: The file; it is replaced.
    """
    with path.open("wb") as file:
        trace = TraceFile(file, view.started_at)
        trace.process(_RUN, 1, f"run {view.run_id}")
        trace.track(_EPOCHS, _RUN, "epochs", 0)
        trace.track(_EVENTS, _RUN, "events", 1)
        _write_epochs(trace, view)
        for mark in view.marks:
            arguments = {"kind": mark.kind, "rank": mark.rank, "round": mark.round, "cost_s": mark.cost_s}
            trace.instant(_EVENTS, mark.at, mark.text, arguments)
        for rank in view.ranks:
            _write_rank(trace, rank)
        if view.invocations:
            _write_environments(trace, view.invocations)


def _write_epochs(trace: TraceFile, view: RunView) -> None:
    start, slices = 0.0, []
    for epoch in view.epochs:
        if epoch.at is not None:
            slices.append(
                Slice(start, max(start, epoch.at), f"epoch {epoch.epoch}", {"loss": epoch.loss, **epoch.metrics})
            )
            start = epoch.at
    trace.slices(_EPOCHS, slices)


def _write_rank(trace: TraceFile, rank: Rank) -> None:
    first, memory = _RANKS + rank.rank * _LANES, _MEMORY + rank.rank
    slices: list[Slice] = []
    for attempt in rank.attempts:
        slices += _phases(attempt)
        for number, bucket in enumerate(attempt.buckets):
            slices += _rounds(trace, rank.rank, bucket, (rank.rank << 40) + (attempt.attempt << 24) + number)
    for lane, dealt in enumerate(lanes(slices)[:_LANES]):
        name = f"rank {rank.rank}" if lane == 0 else f"rank {rank.rank} at the same time"
        trace.track(first + lane, _RUN, name, 2 + rank.rank * (_LANES + 1) + lane)
        trace.slices(first + lane, dealt)
    trace.track(memory, _RUN, f"rank {rank.rank} memory", 2 + rank.rank * (_LANES + 1) + _LANES, unit="MB")
    for attempt in rank.attempts:
        for at, megabytes in attempt.memory:
            trace.count(memory, at, megabytes)
        if attempt.outcome in {"failed", "died"} and attempt.ended is not None:
            trace.instant(
                first, attempt.ended, f"attempt {attempt.attempt} {attempt.outcome}", {"cause": attempt.cause}
            )


def _phases(attempt: Attempt) -> Iterator[Slice]:
    for interval in attempt.intervals:
        name = f"{interval.phase}: {interval.note}" if interval.note else interval.phase
        about = {"attempt": attempt.attempt, "link": attempt.link}
        yield Slice(interval.start, max(interval.start, interval.end), name, about)


def _rounds(trace: TraceFile, rank: int, bucket: Bucket, flow: int) -> Iterator[Slice]:
    """Yield rounds as computing, then waiting; a flow leads to the end of the wait from whom it was for."""
    last = bucket.first_round + bucket.rounds - 1
    rounds = f"round {bucket.first_round}" if bucket.rounds == 1 else f"rounds {bucket.first_round} to {last}"
    waits_from = max(bucket.start, bucket.end - bucket.wait_s)
    yield Slice(bucket.start, waits_from, f"compute {rounds}", {"compute_s": bucket.compute_s})
    if bucket.wait_s <= 0:
        return
    if bucket.waited_for == NOBODY:
        yield Slice(waits_from, bucket.end, "wait", {"wait_s": bucket.wait_s})
        return
    about = {"wait_s": bucket.wait_s, "waited_for": bucket.waited_for}
    yield Slice(waits_from, bucket.end, f"wait for rank {bucket.waited_for}", about)
    got = max(waits_from, bucket.end - _MOMENT_S)
    trace.instant(_RANKS + bucket.waited_for * _LANES, got, f"put for rank {rank}", flow=flow)
    yield Slice(got, bucket.end, f"get from rank {bucket.waited_for}", ends_flow=flow)


def _write_environments(trace: TraceFile, invocations: Sequence[InvocationView]) -> None:
    trace.process(_ENVIRONMENTS, 2, "environments")
    slices: dict[tuple[str, str], list[Slice]] = {}
    for one in invocations:
        if one.environment and one.started is not None:
            slices.setdefault((one.function, one.environment), []).extend(_invocation(one, one.started))
    tracks = itertools.count(_ENVIRONMENT)
    for (function, environment), own in sorted(slices.items()):
        for dealt in lanes(own):
            track = next(tracks)
            trace.track(track, _ENVIRONMENTS, f"{function} {environment[:8]}", track - _ENVIRONMENT)
            trace.slices(track, dealt)


def _invocation(one: InvocationView, started: float) -> Iterator[Slice]:
    if one.init_ms is not None:
        yield Slice(started - one.init_ms / 1e3, started, "cold start")
    rank = "" if one.rank is None else f" rank {one.rank}"
    about = {
        "request_id": one.request_id,
        "attempt": one.attempt,
        "state": one.state,
        "error": one.error,
        "queued_s": started - one.queued,
        "billed_ms": one.billed_ms,
    }
    yield Slice(started, max(started, started if one.ended is None else one.ended), f"{one.function}{rank}", about)


def _annotate(event: TrackEvent, arguments: Mapping[str, Any]) -> None:
    for name, value in arguments.items():
        if value is None or value == "":
            continue
        annotation = event.debug_annotations.add()
        annotation.name = name
        if isinstance(value, int):
            annotation.int_value = value
        elif isinstance(value, float):
            annotation.double_value = value
        else:
            annotation.string_value = str(value)

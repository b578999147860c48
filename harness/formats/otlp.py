"""A run as OpenTelemetry spans, in OTLP's JSON: the run, its invocations, what ranks did in them, rounds sampled.

    run <id>
      linear_ec_1                         the coordinator's invocation
      linear_ec_2 rank 0                  an attempt of a worker's event
        start, load, join, store ...      its phases
        rounds 1 to 50                    its rounds, as sampled as the view is; computing and waiting as attributes

The format: https://opentelemetry.io/docs/specs/otlp/#json-protobuf-encoding,
as a file: https://opentelemetry.io/docs/specs/otel/protocol/file-exporter/
"""

import hashlib
import json
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
from google.protobuf.json_format import MessageToDict
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue
from opentelemetry.proto.trace.v1.trace_pb2 import ScopeSpans, Span, Status

from harness.errors import HarnessError
from harness.formats.scalars import LATEST_NS, final_metrics
from harness.insight.view import NOBODY, Attempt, Rank, RunView

SCOPE = "lambda-harness"
SENT_WITHIN_S = 10.0
# Spans in one request: collectors refuse bodies beyond some MB.
_MOST_SPANS = 5_000
_MOST_ANSWER_BYTES = 1 << 20


class SpanMaker:
    """Makes the spans of one run; their ids follow from the run's, so that writing twice gives the same.

    Args:
        view: The run.
    """

    def __init__(self, view: RunView) -> None:
        self._run_id, self._origin = view.run_id, view.started_at
        self._trace_id = hashlib.sha256(f"{view.run_id} {view.started_at}".encode()).digest()[:16]
        self._made = 0

    def span(
        self,
        name: str,
        start: float,
        end: float,
        parent: bytes = b"",
        attributes: Mapping[str, Any] | None = None,
        cause: str = "",
    ) -> Span:
        """Return a span from `start` to `end`, in seconds after the run's start; with a cause, a failed one."""
        self._made += 1
        span_id = hashlib.sha256(self._trace_id + self._made.to_bytes(8)).digest()[:8]
        return Span(
            trace_id=self._trace_id,
            span_id=span_id,
            parent_span_id=parent,
            name=name,
            kind=Span.SPAN_KIND_INTERNAL,
            start_time_unix_nano=self.nanoseconds(start),
            end_time_unix_nano=self.nanoseconds(max(start, end)),
            attributes=_attributes(attributes or {}),
            status=Status(code=Status.STATUS_CODE_ERROR, message=cause) if cause else Status(),
        )

    def nanoseconds(self, at: float) -> int:
        """Return a moment of the run in nanoseconds since the epoch."""
        return min(max(0, round(1e9 * (self._origin + at))), LATEST_NS)


def spans_of(view: RunView) -> Iterator[Span]:
    """Yield the spans of a run, parents first."""
    maker = SpanMaker(view)
    facts = {
        "run.id": view.run_id,
        "run.status": view.status,
        "run.target": view.target,
        "run.workers": len(view.ranks),
    }
    run = maker.span(f"run {view.run_id}", 0.0, view.seconds, attributes=facts | final_metrics(view), cause=view.cause)
    for mark in view.marks:
        event = run.events.add(time_unix_nano=maker.nanoseconds(mark.at), name=mark.text)
        about = {"kind": mark.kind, "rank": mark.rank, "round": mark.round, "cost_s": mark.cost_s}
        event.attributes.extend(_attributes(about))
    yield run
    of_workers = {attempt.request_id for rank in view.ranks for attempt in rank.attempts}
    for one in view.invocations:
        # A worker's invocations are its attempts, below.
        if one.request_id in of_workers:
            continue
        facts = {
            "faas.name": one.function,
            "faas.invocation_id": one.request_id,
            "faas.coldstart": one.init_ms is not None,
        }
        start = one.queued if one.started is None else one.started
        yield maker.span(
            one.function, start, start if one.ended is None else one.ended, run.span_id, facts, cause=one.error
        )
    for rank in view.ranks:
        for attempt in rank.attempts:
            yield from _attempt(maker, view, run.span_id, rank, attempt)


def write_otlp(view: RunView, target: str) -> None:
    """Write a run's spans to a file, or send them to a collector.

    Args:
        view: The run.
        target: A file, which is replaced; or the address of a collector, `http://HOST:4318`, whose path is
            `/v1/traces` unless it names another one.

    Raises:
        HarnessError: The collector does not answer, or refuses the spans.
    """
    requests = list(_requests(view))
    if not target.startswith(("http://", "https://")):
        lines = "".join(json.dumps(request) + "\n" for request in requests)
        Path(target).write_text(lines, encoding="utf-8")
        return
    address = target if urlsplit(target).path.strip("/") else f"{target.rstrip('/')}/v1/traces"
    for request in requests:
        try:
            rejected = _send(target, address, request)
        except (httpx.HTTPError, httpx.InvalidURL, TimeoutError) as error:
            raise HarnessError(
                f"--otlp {target} does not answer: {error}", remedy="start the collector, or name a file"
            ) from error
        if rejected:
            raise HarnessError(f"--otlp {target} rejected {rejected} spans", remedy="its own log says why")


def _send(target: str, address: str, request: Mapping[str, Any]) -> int:
    """Send a request to a collector, and return how many of its spans were rejected.

    Raises:
        HarnessError: The collector refuses the request.
        httpx.HTTPError: It does not answer.
        TimeoutError: Its answer does not end.
    """
    until = time.monotonic() + SENT_WITHIN_S
    with httpx.stream("POST", address, json=request, timeout=SENT_WITHIN_S) as answer:
        body = bytearray()
        for chunk in answer.iter_bytes():
            body += chunk
            if time.monotonic() > until or len(body) > _MOST_ANSWER_BYTES:
                raise TimeoutError("its answer does not end")
    if not answer.is_success:
        raise HarnessError(
            f"--otlp {target} refused the spans with status {answer.status_code}",
            body[:200].decode(errors="replace").strip(),
        )
    try:
        return int(json.loads(body)["partialSuccess"]["rejectedSpans"])
    except (ValueError, KeyError, TypeError, RecursionError):
        return 0  # all were taken, or the answer is not in JSON


def _attempt(maker: SpanMaker, view: RunView, parent: bytes, rank: Rank, attempt: Attempt) -> Iterator[Span]:
    facts = {
        "faas.invocation_id": attempt.request_id,
        "faas.coldstart": attempt.cold_start is not None,
        "rank": rank.rank,
        "attempt": attempt.attempt,
        "link": attempt.link,
        "outcome": attempt.outcome,
    }
    ended = view.seconds if attempt.ended is None else attempt.ended
    # A cold start precedes the handler.
    started = min([attempt.started, *(interval.start for interval in attempt.intervals)])
    own = maker.span(f"rank {rank.rank}", started, ended, parent, facts, cause=attempt.cause)
    yield own
    for interval in attempt.intervals:
        about = {"note": interval.note}
        yield maker.span(interval.phase, interval.start, interval.end, own.span_id, about)
    for bucket in attempt.buckets:
        of_rounds: dict[str, Any] = {
            "first_round": bucket.first_round,
            "rounds": bucket.rounds,
            "compute_s": bucket.compute_s,
            "wait_s": bucket.wait_s,
            "waited_for": None if bucket.waited_for == NOBODY else bucket.waited_for,
        }
        yield maker.span("rounds", bucket.start, bucket.end, own.span_id, of_rounds)


def _requests(view: RunView) -> Iterator[dict[str, Any]]:
    """Yield OTLP's requests as JSON, each with a bounded number of spans."""
    spans = list(spans_of(view))
    resource = _attributes({"service.name": SCOPE, "service.instance.id": view.run_id, **view.versions})
    for first in range(0, len(spans), _MOST_SPANS):
        request = ExportTraceServiceRequest()
        group = request.resource_spans.add()
        group.resource.attributes.extend(resource)
        group.scope_spans.append(ScopeSpans(spans=spans[first : first + _MOST_SPANS]))
        group.scope_spans[0].scope.name = SCOPE
        yield _with_hexadecimal_ids(MessageToDict(request, use_integers_for_enums=True), group.scope_spans[0].spans)


def _with_hexadecimal_ids(encoded: dict[str, Any], spans: Any) -> dict[str, Any]:  # noqa: ANN401 - a repeated field
    """Return the JSON with ids in hexadecimal digits: OTLP's JSON differs there from protobuf's own."""
    for record, span in zip(encoded["resourceSpans"][0]["scopeSpans"][0]["spans"], spans, strict=True):
        record["traceId"], record["spanId"] = span.trace_id.hex(), span.span_id.hex()
        if span.parent_span_id:
            record["parentSpanId"] = span.parent_span_id.hex()
    return encoded


def _attributes(values: Mapping[str, Any]) -> list[KeyValue]:
    return [KeyValue(key=key, value=_any_value(value)) for key, value in values.items() if value not in (None, "")]


def _any_value(value: object) -> AnyValue:
    if isinstance(value, bool):
        return AnyValue(bool_value=value)
    if isinstance(value, int):
        return AnyValue(int_value=value)
    if isinstance(value, float):
        return AnyValue(double_value=value)
    return AnyValue(string_value=str(value))

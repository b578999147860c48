"""The invocations of a run, from the records of the Lambda service."""

from typing import Any

from harness.insight.facts import RunFacts
from harness.insight.timings import number_of
from harness.insight.view import InvocationView


def invocation_views(facts: RunFacts, zero: float) -> list[InvocationView]:
    """Return the run's invocations, in the order in which they were accepted."""
    found = [_view(record, facts, zero) for _, record in sorted(facts.invocations.items())]
    return sorted((one for one in found if one is not None), key=lambda one: one.queued)


def _view(record: dict[str, Any], facts: RunFacts, zero: float) -> InvocationView | None:
    request_id = str(record.get("request_id", ""))
    queued = number_of(record.get("queued_at"))
    if queued is None:
        return None
    return InvocationView(
        function=str(record.get("function", "")),
        request_id=request_id,
        attempt=int(number_of(record.get("attempt")) or 1),
        rank=facts.requests.get(request_id),
        state=str(record.get("state", "queued")),
        environment=str(record.get("environment") or ""),
        queued=round(queued - zero, 6),
        started=_after(record.get("started_at"), zero),
        ended=_after(record.get("ended_at"), zero),
        init_ms=number_of(record.get("init_ms")),
        billed_ms=int(number_of(record.get("billed_ms")) or 0),
        used_mb=int(number_of(record.get("used_mb")) or 0),
        error=str(record.get("error") or ""),
    )


def _after(value: object, zero: float) -> float | None:
    at = number_of(value)
    return None if at is None else round(at - zero, 6)

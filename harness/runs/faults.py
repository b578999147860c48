"""Faults of a run: its plan handed to the stack before the start, and told in the summary afterwards."""

import statistics
from typing import Any

import httpx
import msgspec

from harness.errors import HarnessError
from harness.faults import Plan, check_plan
from harness.faults.strikes import Event
from harness.stack.state import StackState
from training.job import Job
from training.results import RunFolder

ANSWER_WITHIN_S = 10.0


def check_faults(plan: Plan, job: Job) -> None:
    """Compares the addresses of a plan with the job, before anything is started.

    Raises:
        HarnessError: No run of this job can come to an address.
    """
    # How many batches an epoch has, only the data tells.
    rounds = {"model_avg": job.n_epochs, "admm": job.n_admm_epochs}.get(job.optim)
    check_plan(plan, n_workers=job.n_workers, rounds=rounds)


def post_plan(stack: StackState, run_id: str, n_workers: int, plan: Plan) -> None:
    """Hands a run's plan to its stack.

    Raises:
        HarnessError: The stack cannot bring faults about.
    """
    if stack.endpoints.faults is None:
        raise HarnessError("this stack brings no faults about", str(stack.directory), "start one that does")
    body = msgspec.json.encode({"n_workers": n_workers, "plan": plan})
    answer = httpx.put(f"{stack.endpoints.faults}/runs/{run_id}", content=body, timeout=ANSWER_WITHIN_S)
    if not answer.is_success:
        raise HarnessError(answer.text, stack.endpoints.faults)


def read_events(stack: StackState, run_id: str) -> list[Event]:
    """What became of the plan so far, in its order."""
    answer = httpx.get(f"{stack.endpoints.faults}/runs/{run_id}", timeout=ANSWER_WITHIN_S)
    return msgspec.json.decode(answer.raise_for_status().content, type=list[Event])


def fault_records(events: list[Event], folder: RunFolder, *, rounds: int, invoked_at: float) -> list[dict[str, Any]]:
    """The entries of a summary: what, where, when, and what it cost.

    `cost_s` is how much longer than the median the round of the first strike and the next one took (a rank that
    dies after its put is missed in the next), by the rank whose own record is the longest.
    It is null for a fault without a round, and counts all faults of the same rounds together.

    Args:
        events: What became of the plan.
        folder: The run's folder, complete.
        rounds: How many rounds the run had.
        invoked_at: When the coordinator was invoked, seconds since the epoch.
    """
    records = [folder.read_json(name)["round_ms"] for name in folder.names("telemetry/")]
    round_ms: list[float] = max(records, key=len, default=[])
    return [_record(event, round_ms, rounds, invoked_at) for event in events]


def _record(event: Event, round_ms: list[float], rounds: int, invoked_at: float) -> dict[str, Any]:
    record: dict[str, Any] = {"event": "fault", "fault": event.fault, "times": event.times}
    if not event.times or event.at is None:
        return record | {"note": f"did not strike: the run had {rounds} rounds"}
    place = {key: getattr(event, key) for key in ("rank", "round", "step", "attempt")}
    record |= {key: value for key, value in place.items() if value is not None}
    return record | {"at_s": round(event.at - invoked_at, 3), "cost_s": _cost_s(round_ms, rounds, event.round)}


def _cost_s(round_ms: list[float], rounds: int, number: int | None) -> float | None:
    if number is None or not round_ms:
        return None
    # A rank that came back has a record of the last rounds only.
    first = rounds - len(round_ms) + 1
    concerned = [ms for at, ms in enumerate(round_ms, start=first) if at in (number, number + 1)]
    extra_ms = sum(ms - statistics.median(round_ms) for ms in concerned)
    return round(max(0.0, extra_ms) / 1000, 4) if concerned else None

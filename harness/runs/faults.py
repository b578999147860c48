"""Faults of a run: the stack receives the plan before the start, and the summary lists the faults afterwards."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any

import msgspec

from harness.errors import HarnessError
from harness.faults import Plan, check_plan
from harness.faults.injections import Event
from harness.guard import authorization
from harness.insight.timings import Timings
from harness.runs.fault_costs import costs
from harness.stack.state import StackState
from harness.system.process_identity import own_identity
from training.job import Job
from training.job_fields import MOST_WORKERS

if TYPE_CHECKING:
    import httpx

ANSWER_WITHIN_S = 10.0


def check_faults(plan: Plan, job: Job, event: Mapping[str, Any]) -> None:
    """Compare the addresses of a plan with the job, before anything is started.

    Args:
        plan: The plan.
        job: The job as far as it is known; its number of workers is 0 until the partitions are counted.
        event: The keys of it that the user set.

    Raises:
        HarnessError: No run of this job can come to an address.
    """
    # Only the data says how many batches an epoch has, and how many epochs a run has by default.
    rounds = {"model_avg": event.get("n_epochs"), "admm": job.n_admm_epochs}.get(job.optim)
    # No plan is refused for a number of workers that is not known yet.
    check_plan(plan, n_workers=job.n_workers or MOST_WORKERS, rounds=rounds)


def post_plan(stack: StackState, run_id: str, n_workers: int, plan: Plan) -> None:
    """Send a run's plan to its stack.

    Raises:
        HarnessError: The stack cannot inject faults.
    """
    if stack.endpoints.faults is None:
        raise HarnessError("this stack brings no faults about", str(stack.directory), "start one that does")
    # No container sees the processes of this machine; a private stack ends with its owner in any case.
    owner = own_identity() if stack.mode == "process" else None
    body = msgspec.json.encode({"n_workers": n_workers, "plan": plan, "owner": owner})
    answer = _ask(stack, "PUT", run_id, body)
    if not answer.is_success:
        raise HarnessError(answer.text, stack.endpoints.faults)


@contextmanager
def in_force(stack: StackState, run_id: str, n_workers: int, plan: Plan | None) -> Iterator[None]:
    """Keep a run's plan in force for the length of the block; without a plan, do nothing.

    Raises:
        HarnessError: The stack cannot inject faults.
    """
    if not plan:
        yield
        return
    post_plan(stack, run_id, n_workers, plan)
    try:
        yield
    finally:
        _withdraw_plan(stack, run_id)


def read_events(stack: StackState, run_id: str) -> list[Event]:
    """Return what has happened to each fault of the plan so far, in the plan's order."""
    answer = _ask(stack, "GET", run_id)
    return msgspec.json.decode(answer.raise_for_status().content, type=list[Event])


def _withdraw_plan(stack: StackState, run_id: str) -> None:
    import httpx  # noqa: PLC0415 - see `_ask`

    # A stack that is down injects nothing any more.
    with suppress(httpx.HTTPError):
        _ask(stack, "DELETE", run_id)


def _ask(stack: StackState, method: str, run_id: str, body: bytes | None = None) -> "httpx.Response":
    import httpx  # noqa: PLC0415 - it takes a tenth of a second to import, and most runs have no plan

    url, headers = f"{stack.endpoints.faults}/runs/{run_id}", authorization(stack.endpoints.access_key)
    # The user's proxies and certificates are for other hosts than this one.
    return httpx.request(method, url, content=body, headers=headers, timeout=ANSWER_WITHIN_S, trust_env=False)


def fault_records(
    events: list[Event],
    timings: Mapping[int, Sequence[Timings]],
    *,
    rounds: int,
    invoked_at: float,
    ended_at: float,
) -> list[dict[str, Any]]:
    """Return a summary's entries for faults: what was injected, where, when, and at what cost.

    Args:
        events: What has happened to each fault of the plan.
        timings: The timings of each rank's attempts.
        rounds: The number of rounds of the run.
        invoked_at: When the coordinator was invoked, seconds since the epoch.
        ended_at: When the last result was stored, seconds since the epoch.
    """
    found = zip(events, costs(events, timings, ended_at), strict=True)
    return [_record(event, cost_s, rounds, invoked_at) for event, cost_s in found]


def _record(event: Event, cost_s: float | None, rounds: int, invoked_at: float) -> dict[str, Any]:
    record: dict[str, Any] = {"event": "fault", "fault": event.fault, "times": event.times}
    if not event.times or event.at is None:
        return record | {"note": f"did not strike: the run had {rounds} rounds"}
    place = {key: getattr(event, key) for key in ("rank", "round", "step", "attempt")}
    record |= {key: value for key, value in place.items() if value is not None}
    return record | {"at_s": round(event.at - invoked_at, 3), "cost_s": cost_s}

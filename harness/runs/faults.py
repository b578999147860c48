"""Faults of a run: the stack receives the plan before the start, and the summary lists the faults afterwards."""

import statistics
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec

from harness.errors import HarnessError
from harness.faults import Plan, check_plan
from harness.faults.injections import Event
from harness.guard import authorization
from harness.runs.records import damage_named, rank_of
from harness.stack.state import StackState
from harness.system.process_identity import own_identity
from training.job import MOST_WORKERS, Job
from training.run.results import RunFolder

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
    body = msgspec.json.encode({"n_workers": n_workers, "plan": plan, "owner": own_identity()})
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
    events: list[Event], folder: RunFolder, *, rounds: int, invoked_at: float, ended_at: float
) -> list[dict[str, Any]]:
    """Return a summary's entries for faults: what was injected, where, when, and at what cost.

    `cost_s` is by how much the round of the first injection and the next round exceeded the median (a rank that dies
    after its put is missed in the next round), in the longest record of a rank that was running at the injection.
    If no such rank remains, because all have died, it is the time from the injection to the end of the run, less the
    time that the remaining rounds would have taken.
    It is null for a fault without a round, and includes all faults of the same rounds.

    Args:
        events: What has happened to each fault of the plan.
        folder: The run's folder, complete.
        rounds: The number of rounds of the run.
        invoked_at: When the coordinator was invoked, seconds since the epoch.
        ended_at: When the last result was stored, seconds since the epoch.
    """
    with damage_named(folder):
        names = [name for name in folder.names("workers/") if rank_of(name) is not None]
        workers = [(name, folder.read_json(name)["started_at"]) for name in names]
        tries = [
            _Try(started_at, folder.read_json(name.replace("workers/", "telemetry/"))["round_ms"])
            for name, started_at in workers
        ]
    run = _Run(sorted(tries, key=lambda one: len(one.round_ms)), rounds, invoked_at, ended_at)
    return [_record(event, run) for event in events]


class _Try(NamedTuple):
    started_at: float
    round_ms: list[float]


class _Run(NamedTuple):
    tries: list[_Try]
    rounds: int
    invoked_at: float
    ended_at: float


def _record(event: Event, run: _Run) -> dict[str, Any]:
    record: dict[str, Any] = {"event": "fault", "fault": event.fault, "times": event.times}
    if not event.times or event.at is None:
        return record | {"note": f"did not strike: the run had {run.rounds} rounds"}
    place = {key: getattr(event, key) for key in ("rank", "round", "step", "attempt")}
    record |= {key: value for key, value in place.items() if value is not None}
    return record | {"at_s": round(event.at - run.invoked_at, 3), "cost_s": _cost_s(event.round, event.at, run)}


def _cost_s(number: int | None, at: float, run: _Run) -> float | None:
    if number is None or not run.tries:
        return None
    present = [one.round_ms for one in run.tries if one.started_at < at]
    round_ms = present[-1] if present else run.tries[-1].round_ms
    median = statistics.median(round_ms)
    if present:
        # A rank that came back has a record of the last rounds only.
        first = run.rounds - len(round_ms) + 1
        extra_ms = sum(ms - median for at, ms in enumerate(round_ms, start=first) if at in (number, number + 1))
    else:
        extra_ms = 1000 * (run.ended_at - at) - median * (run.rounds - number)
    return round(max(0.0, extra_ms) / 1000, 4)

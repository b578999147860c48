"""Faults of the Lambda service: environments that die, freeze or start late, events that are duplicated or throttled.

    network's proxy sees a put of rank 2 in round 17 ---POST .../strike---> the rank's process is killed
    an event of the run is accepted --------------------------------------> delivered twice, throttled, the coordinator
                                                                            killed in the middle of its fan-out

The payload identifies an invocation's run and rank: `run_id` and, for a worker, `worker_index`.
Without a plan, nothing here has any effect.
"""

import asyncio
import contextlib
import json
import os
import signal
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Annotated, Any

import msgspec
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from harness.errors import HarnessError
from harness.faults.functions import FunctionFault, FunctionFaults, check_function_fault
from harness.faults.injections import Event, new_event
from harness.faults.plan import Fault, Plan, check_fault, check_plan
from harness.gateway.environment import Environment
from harness.gateway.errors import invalid_parameter, too_many_requests
from harness.gateway.experiments import Experiments
from harness.gateway.names import Identifier
from harness.gateway.requests import decode
from harness.gateway.zone_losses import ZoneLosses
from harness.system.process_identity import ProcessIdentity

# A straggler is stopped for a share of each period.
STRAGGLER_PERIOD_S = 0.05
# How often a kill is tried until the handler has a process.
KILL_POLL_S = 0.005
# Bounds the memory of a stack that serves many runs.
RUNS_KEPT = 64


class InjectionRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A fault that the proxy asks the gateway to inject.

    Attributes:
        fault: The fault.
        ranks: The ranks to which it applies.
    """

    fault: Fault
    ranks: tuple[int, ...]


class FaultPlanRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A run's fault plan.

    Attributes:
        n_workers: The number of ranks.
        plan: The plan.
        owner: The process that will end the plan; if it dies first, the network's proxy ends the plan.
    """

    n_workers: Annotated[int, msgspec.Meta(ge=1)]
    plan: Plan
    owner: ProcessIdentity | None = None

    def check(self) -> None:
        """Check what the types of the fields do not guarantee.

        Raises:
            HarnessError: A fault is invalid, or no run can reach its address.
        """
        for fault in self.plan.faults:
            check_fault(fault)
        check_plan(self.plan, n_workers=self.n_workers, rounds=None)


@dataclass(frozen=True, slots=True)
class Owner:
    """The run and the rank that an invocation belongs to; the rank is None for the coordinator."""

    run_id: str
    rank: int | None


@dataclass
class _FaultedRun:
    n_workers: int
    faults: tuple[Fault, ...]
    events: list[Event]
    invoked: int = 0
    throttled: Counter[int] = field(default_factory=Counter)


@dataclass
class InvocationFaults:
    """The faults of all runs, and of single functions, that the Lambda service injects."""

    functions: FunctionFaults = field(default_factory=FunctionFaults)
    experiments: Experiments = field(default_factory=Experiments)
    losses: ZoneLosses | None = None
    _runs: dict[str, _FaultedRun] = field(default_factory=dict)
    _past: dict[str, _FaultedRun] = field(default_factory=dict)
    _running: list[tuple[Owner, Environment]] = field(default_factory=list)
    _tasks: set[asyncio.Task[None]] = field(default_factory=set)

    def post(self, run_id: str, request: FaultPlanRequest) -> None:
        """Activate a run's plan."""
        faults = request.plan.faults
        self._runs[run_id] = _FaultedRun(request.n_workers, faults, [new_event(fault) for fault in faults])

    def lift(self, run_id: str) -> None:
        """End a run's plan; its outcome is kept for a while."""
        if self.losses is not None:
            self.losses.restore(run_id)
        if run_id in self._runs:
            self._past[run_id] = self._runs.pop(run_id)
        while len(self._past) > RUNS_KEPT:
            del self._past[next(iter(self._past))]

    def clear(self) -> None:
        """Forget all plans."""
        if self.losses is not None:
            self.losses.restore_all()
        self._runs.clear()
        self._past.clear()
        self.functions.clear()
        self.experiments.clear()
        for task in self._tasks:
            task.cancel()

    def events(self, run_id: str) -> list[Event]:
        """Return the outcomes of a run's faults, one entry for each."""
        run = self._runs.get(run_id) or self._past.get(run_id)
        return run.events if run else []

    def ranks(self, run_id: str) -> dict[str, int]:
        """Return the rank of a run that each environment works for now, by the environment's name."""
        running = ((environment.name, owner) for owner, environment in self._running)
        return {name: owner.rank for name, owner in running if owner.run_id == run_id and owner.rank is not None}

    async def on_event(self, function: str, payload: bytes) -> list[float]:
        """Inject the faults that an accepted event triggers; return the delays of its extra deliveries, seconds."""
        duplicate = self.functions.take("duplicate", function)
        again = [duplicate.delay_s] if duplicate else []
        owner = self._owner(payload)
        if owner is None or owner.rank is None:
            return again
        run = self._runs[owner.run_id]
        run.invoked += 1
        for number, fault in enumerate(run.faults):
            if fault.target == "coordinator" and run.invoked == (fault.after or (run.n_workers + 1) // 2):
                await self._kill(Owner(owner.run_id, None), fault)
                run.events[number].record()
            if fault.action == "duplicate" and fault.rank in (None, owner.rank) and not run.events[number].times:
                run.events[number].record(rank=owner.rank)
                again.append(fault.delay_s or 0.0)
        return again

    async def before_start(self, function: str, payload: bytes, attempt: int) -> None:
        """Inject the faults that apply before an environment is assigned to an invocation.

        Raises:
            LambdaApiError: The plan throttles the invocation (429).
            TimeoutError: The plan loses the cold start.
        """
        if self.functions.take("throttle", function, attempt):
            raise too_many_requests()
        if late := self.functions.take("cold-start", function, attempt):
            await _start_late(late.delay_s, lost=late.lost)
        owner = self._owner(payload)
        if owner is None or owner.rank is None:
            return
        run = self._runs[owner.run_id]
        for number, fault in enumerate(run.faults):
            if fault.rank not in (None, owner.rank) or fault.attempt not in (None, attempt):
                continue
            event = run.events[number]
            if fault.action == "throttle" and event.times < (fault.n or 1):
                event.record(rank=owner.rank, attempt=attempt)
                raise too_many_requests()
            if fault.action == "cold-start" and not event.times:
                event.record(rank=owner.rank, attempt=attempt)
                await _start_late(fault.delay_s or 0.0, lost=fault.lost)

    def impair(self, environment: Environment, identifier: Identifier, request_id: str) -> None:
        """Prepare an environment for what the experiments in progress do to its next invocation, if anything."""
        as_json = environment.function.logging.is_json
        environment.impairment = self.experiments.impairment(identifier, request_id, as_json=as_json)

    @contextlib.contextmanager
    def running(self, payload: bytes, environment: Environment, attempt: int) -> Iterator[None]:
        """Register, within the block, that an environment works on an invocation."""
        kill = self.functions.take("kill", environment.function.name, attempt)
        if kill is None:
            with self._registered(payload, environment):
                yield
            return
        task = asyncio.create_task(_kill_until_cancelled(environment, kill))
        try:
            with self._registered(payload, environment):
                yield
        finally:
            task.cancel()

    @contextlib.contextmanager
    def _registered(self, payload: bytes, environment: Environment) -> Iterator[None]:
        owner = self._owner(payload)
        if owner is None:
            yield
            return
        entry = (owner, environment)
        self._running.append(entry)
        try:
            yield
        finally:
            self._running.remove(entry)

    async def inject(self, run_id: str, request: InjectionRequest) -> None:
        """Kill or freeze ranks, lose a zone, or kill this whole process; return when that is done."""
        if request.fault.target == "gateway":
            os.kill(os.getpid(), signal.SIGKILL)
            # The kernel does not let the first process of a container end so.
            os._exit(128 + signal.SIGKILL)
        if request.fault.target == "zone" and self.losses is not None:
            await self.losses.lose(run_id, request.fault.zone or "", request.fault.s)
            return
        for rank in request.ranks:
            owner = Owner(run_id, rank)
            if request.fault.action == "kill":
                await self._kill(owner, request.fault)
            else:
                await self._freeze(owner, request.fault)

    async def _kill(self, owner: Owner, fault: Fault) -> None:
        for environment in self._environments(owner):
            await environment.kill(fault.how)

    async def _freeze(self, owner: Owner, fault: Fault) -> None:
        for entry in [entry for entry in self._running if entry[0] == owner]:
            await self._signal(entry, signal.SIGSTOP)
            task = asyncio.create_task(self._thaw(entry, fault))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _thaw(self, entry: tuple[Owner, Environment], fault: Fault) -> None:
        try:
            if fault.s is not None:
                await asyncio.sleep(fault.s)
                return
            running = 1 / (fault.factor or 1.0)
            while self._goes_on(entry):
                took_s = await self._timed_signal(entry, signal.SIGSTOP)
                # A signal to a container takes a good part of a short period.
                period_s = max(STRAGGLER_PERIOD_S, 2 * took_s / max(1e-3, min(running, 1 - running)))
                await asyncio.sleep(max(0.0, period_s * (1 - running) - took_s))
                took_s = await self._timed_signal(entry, signal.SIGCONT)
                await asyncio.sleep(max(0.0, period_s * running - took_s))
        finally:
            await self._signal(entry, signal.SIGCONT)

    async def _timed_signal(self, entry: tuple[Owner, Environment], number: signal.Signals) -> float:
        """Send a signal; return how long that took, s: the next one will take as long."""
        begun = time.monotonic()
        await self._signal(entry, number)
        return time.monotonic() - begun

    async def _signal(self, entry: tuple[Owner, Environment], number: signal.Signals) -> None:
        # After its invocation, the environment may have begun another one, which is none of this fault's.
        if self._goes_on(entry):
            await entry[1].sandbox.signal(number)
            if number is signal.SIGSTOP and not self._goes_on(entry):
                # A signal to a container takes its time, in which the invocation has ended.
                await entry[1].sandbox.signal(signal.SIGCONT)

    def _goes_on(self, entry: tuple[Owner, Environment]) -> bool:
        """Return whether this very invocation still runs; one of the same rank may have followed it."""
        return any(entry is one for one in self._running)

    def _environments(self, owner: Owner) -> list[Environment]:
        return [environment for its_owner, environment in self._running if its_owner == owner]

    def _owner(self, payload: bytes) -> Owner | None:
        """Return the run and rank of an invocation; None if no plan applies to it."""
        if not self._runs:
            return None
        content: Any = json.loads(payload)
        if not isinstance(content, dict):
            return None
        run_id, rank = content.get("run_id"), content.get("worker_index")
        if not isinstance(run_id, str) or run_id not in self._runs:
            return None
        return Owner(run_id, rank if isinstance(rank, int) else None)


async def _start_late(delay_s: float, *, lost: bool) -> None:
    if lost:
        raise TimeoutError("the cold start was lost, as planned")
    await asyncio.sleep(delay_s)


async def _kill_until_cancelled(environment: Environment, fault: FunctionFault) -> None:
    """Kill the handler's process as soon as there is one; the invocation's end cancels this."""
    await asyncio.sleep(fault.delay_s)
    while True:
        await environment.kill(fault.how)
        await asyncio.sleep(KILL_POLL_S)


@contextlib.contextmanager
def _as_invalid_parameter() -> Iterator[None]:
    try:
        yield
    except HarnessError as error:
        raise invalid_parameter(str(error)) from error


def control_routes(faults: InvocationFaults) -> list[Route]:
    """Return the routes by which the network's proxy sends plans and requests injections."""

    async def put(request: Request) -> Response:
        plan_request = decode(await request.body(), FaultPlanRequest)
        with _as_invalid_parameter():
            plan_request.check()
        faults.post(request.path_params["run_id"], plan_request)
        return Response(status_code=204)

    async def get(request: Request) -> Response:
        events = faults.events(request.path_params["run_id"])
        return Response(msgspec.json.encode(events), media_type="application/json")

    async def delete(request: Request) -> Response:
        faults.lift(request.path_params["run_id"])
        return Response(status_code=204)

    async def inject(request: Request) -> Response:
        injection = decode(await request.body(), InjectionRequest)
        with _as_invalid_parameter():
            check_fault(injection.fault)
        await faults.inject(request.path_params["run_id"], injection)
        return Response(status_code=204)

    async def ranks(request: Request) -> Response:
        found = faults.ranks(request.path_params["run_id"])
        return Response(msgspec.json.encode(found), media_type="application/json")

    async def add(request: Request) -> Response:
        fault = decode(await request.body(), FunctionFault)
        with _as_invalid_parameter():
            check_function_fault(fault)
        faults.functions.add(fault)
        return Response(status_code=204)

    async def injected(_request: Request) -> Response:
        return Response(msgspec.json.encode(faults.functions.injected), media_type="application/json")

    path = "/_harness/faults/{run_id}"
    return [
        Route("/_harness/function-faults", add, methods=["POST"]),
        Route("/_harness/function-faults", injected, methods=["GET"]),
        Route(path, put, methods=["PUT"]),
        Route(path, get, methods=["GET"]),
        Route(path, delete, methods=["DELETE"]),
        Route(path + "/strike", inject, methods=["POST"]),
        Route(path + "/ranks", ranks, methods=["GET"]),
    ]

"""AWS FIS's experiments on functions: invocations that begin late, fail, or answer what the experiment says.

    PUT    /_harness/experiments/{id}   the emulated FIS starts an experiment; its actions begin and end by themselves
    DELETE /_harness/experiments/{id}   it stops one

Without an experiment, an invocation pays for one look at an empty dictionary.
https://docs.aws.amazon.com/fis/latest/userguide/use-lambda-actions.html
"""

import asyncio
import json
import random
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Annotated, Literal

import msgspec
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from harness.gateway.answers import LATE, Answer
from harness.gateway.names import LATEST, Identifier
from harness.gateway.requests import decode

ROUTE = "/_harness/experiments"
EXTENSION = "AWS FIS EXTENSION"
# AWS documents neither; callers see them as the function's error.
ERROR_TYPE, ERROR_MESSAGE = "FaultInjectedByFIS", "AWS FIS injected an error into this invocation"

Seconds = Annotated[float, msgspec.Meta(ge=0)]


class ExperimentAction(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One action of an experiment.

    Attributes:
        kind: `delay` lets the handler begin late, `error` fails the invocation, `response` replaces its answer.
        functions: The names of its targets.
        qualifier: The version or alias by which an invocation must name its function; empty for any.
        begins_in_s: Seconds until it begins.
        lasts_s: Seconds from its begin to its end.
        percentage: The share of the invocations that it strikes, %.
        delay_s: How late the handler begins.
        prevents: Whether the handler does not run at all.
        status: The status code of the answer, for a caller that speaks HTTP.
        content_type: The content type of that answer.
    """

    kind: Literal["delay", "error", "response"]
    functions: tuple[str, ...]
    qualifier: str = ""
    begins_in_s: Seconds = 0.0
    lasts_s: Seconds
    percentage: Annotated[float, msgspec.Meta(gt=0, le=100)] = 100.0
    delay_s: Seconds = 0.0
    prevents: bool = False
    status: int = 200
    content_type: str = ""

    def aims_at(self, identifier: Identifier) -> bool:
        """Return whether an invocation of this function, under this qualifier, may be struck."""
        if identifier.name not in self.functions:
            return False
        return self.qualifier in ("", identifier.qualifier or LATEST)

    def answer(self) -> Answer:
        """Return the outcome of an invocation in place of the function's own."""
        if self.kind == "error":
            return Answer(json.dumps({"errorType": ERROR_TYPE, "errorMessage": ERROR_MESSAGE}).encode(), "Unhandled")
        # https://docs.aws.amazon.com/apigateway/latest/developerguide/set-up-lambda-proxy-integrations.html
        content = {"statusCode": self.status, "headers": {"Content-Type": self.content_type}, "body": ""}
        return Answer(json.dumps({**content, "isBase64Encoded": False}).encode())


class ExperimentRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The actions of an experiment that starts."""

    actions: tuple[ExperimentAction, ...]


@dataclass(frozen=True, slots=True)
class Impairment:
    """What experiments do to one invocation.

    Attributes:
        request_id: The invocation's id.
        as_json: Whether the function's log is in JSON.
        delay_s: How late its handler begins.
        replaced: The action that decides its outcome, if any.
    """

    request_id: str
    as_json: bool
    delay_s: float
    replaced: ExperimentAction | None

    @property
    def prevents(self) -> bool:
        """Return whether the handler does not run."""
        return self.replaced is not None and self.replaced.prevents

    async def apply(
        self, run: Callable[[float], Awaitable[Answer]], left_s: float, write: Callable[[str], None]
    ) -> Answer:
        """Run the handler as the experiments want it, and return the outcome.

        The delay counts against the function's time limit, and is billed.

        Args:
            run: Runs the handler within so many seconds.
            left_s: The time until the function's limit.
            write: Takes lines of the function's log.
        """
        if self.delay_s:
            write(self._line(f"adding {round(1e3 * self.delay_s)} milliseconds of latency to function invocation"))
            await asyncio.sleep(min(self.delay_s, left_s))
            left_s -= self.delay_s
            if left_s <= 0:
                return LATE
        answer = Answer(b"null") if self.prevents else await run(left_s)
        if self.replaced is None or answer.error is not None or not answer.usable:
            return answer
        write(self._line("returning an error" if self.replaced.kind == "error" else "replacing the response"))
        return self.replaced.answer()

    def _line(self, message: str) -> str:
        """Return a line of the log of AWS's extension.

        https://docs.aws.amazon.com/fis/latest/userguide/use-lambda-actions.html
        """
        at = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
        if not self.as_json:
            return f"{at} INFO {EXTENSION} - {message}\n"
        fields = {"message": f"{EXTENSION} - {message}", "requestId": self.request_id}
        return json.dumps({"timestamp": at, "level": "INFO", "fields": fields}) + "\n"


@dataclass(frozen=True, slots=True)
class _Running:
    action: ExperimentAction
    begins: float
    ends: float
    draws: random.Random


class Experiments:
    """The experiments in progress.

    Args:
        seed: Seed of the choice of invocations; the same experiment strikes the same ones again. None for another
            choice at each start.
    """

    def __init__(self, seed: int | None = None) -> None:
        self._seed = seed
        self._running: dict[str, list[_Running]] = {}

    def start(self, experiment: str, request: ExperimentRequest) -> None:
        """Begin an experiment."""
        now = time.monotonic()
        self._running[experiment] = [
            _Running(
                action,
                now + action.begins_in_s,
                now + action.begins_in_s + action.lasts_s,
                random.Random(None if self._seed is None else f"{self._seed}/{number}"),
            )
            for number, action in enumerate(request.actions)
        ]

    def stop(self, experiment: str) -> None:
        """End an experiment before its time; nothing happens if it has ended."""
        self._running.pop(experiment, None)

    def clear(self) -> None:
        """Forget all experiments."""
        self._running.clear()

    def impairment(self, identifier: Identifier, request_id: str, *, as_json: bool) -> Impairment | None:
        """Return what happens to the invocation that begins now; None for nothing.

        Actions that differ are all applied. Of those that conflict, the one that has begun first is.
        https://docs.aws.amazon.com/fis/latest/userguide/use-lambda-actions.html#understanding-concurrency

        Args:
            identifier: The function, as the invocation names it.
            request_id: The invocation's id.
            as_json: Whether the function's log is in JSON.
        """
        if not self._running:
            return None
        now = time.monotonic()
        for experiment in [name for name, actions in self._running.items() if all(one.ends <= now for one in actions)]:
            del self._running[experiment]
        due = sorted(
            (
                one
                for actions in self._running.values()
                for one in actions
                if one.begins <= now < one.ends and one.action.aims_at(identifier)
            ),
            key=lambda one: one.begins,
        )
        delay = next((one for one in due if one.action.kind == "delay"), None)
        outcome = next((one for one in due if one.action.kind != "delay"), None)
        delay_s = delay.action.delay_s if delay is not None and _strikes(delay) else 0.0
        replaced = outcome.action if outcome is not None and _strikes(outcome) else None
        return Impairment(request_id, as_json, delay_s, replaced) if delay_s or replaced is not None else None


def _strikes(running: _Running) -> bool:
    return running.draws.random() * 100 < running.action.percentage


def experiment_routes(experiments: Experiments) -> list[Route]:
    """Return the routes by which the emulated FIS starts and stops experiments."""

    async def put(request: Request) -> Response:
        experiments.start(request.path_params["id"], decode(await request.body(), ExperimentRequest))
        return Response(status_code=204)

    async def delete(request: Request) -> Response:
        experiments.stop(request.path_params["id"])
        return Response(status_code=204)

    path = ROUTE + "/{id}"
    return [Route(path, put, methods=["PUT"]), Route(path, delete, methods=["DELETE"])]

"""`lambda_stack`: deploy, invoke and observe functions, and use AWS's other services, on this machine."""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, Self, cast

from botocore.config import Config

from harness.aws.clients import CONTROL_TIMEOUT_S, INVOKE_READ_TIMEOUT_S, emulation_session
from harness.aws.function_deployer import DesiredFunction, create_or_update
from harness.aws.stack_session import DIRECT
from harness.explore.cases import MOST_OVERLAPS
from harness.explore.schedule import Schedule
from harness.pytest_plugin.control import Control
from harness.pytest_plugin.lambda_events import LambdaEvent, LambdaEvents, RetryClock
from harness.pytest_plugin.lambda_explore import LambdaExploration, explore_source
from harness.pytest_plugin.lambda_faults import LambdaFaults
from harness.pytest_plugin.lambda_logs import LambdaLogRecord, LambdaLogs
from harness.pytest_plugin.results import LambdaResult, result_of
from harness.runs.deployment import FunctionToDeploy, deployment_of
from harness.settings import Settings
from harness.stack.state import Endpoints, StackState, client_environment

ARN = "arn:aws:lambda:us-east-1:123456789012:function:"
# Ended events that a test can look at; the stack forgets older ones.
EVENTS_KEPT = 10_000


@dataclass(frozen=True)
class LambdaFunction:
    """A deployed function.

    Attributes:
        name: Its name.
    """

    name: str
    _stack: "LambdaStack" = field(repr=False)

    @property
    def arn(self) -> str:
        """Return its ARN."""
        return ARN + self.name

    def invoke(self, payload: object = None, *, asynchronous: bool = False, **options: str) -> LambdaResult:
        """Invoke it; see `LambdaStack.invoke`."""
        return self._stack.invoke(self, payload, asynchronous=asynchronous, **options)

    @property
    def logs(self) -> list[LambdaLogRecord]:
        """Return the lines of its log."""
        return self._stack.logs.of(self)

    @property
    def events(self) -> list[LambdaEvent]:
        """Return its asynchronous invocations."""
        return self._stack.events.of(self)


class LambdaStack:
    """A running stack, empty at the beginning of each test.

    Args:
        state: The stack.
        settings: The project's settings.
        check_scope: Refuses a fixture whose work would be erased too early.
    """

    def __init__(self, state: StackState, settings: Settings, check_scope: Callable[[], None]) -> None:
        self._state, self._settings = state, settings
        self._session = emulation_session(state.endpoints)
        self._clients: dict[str, Any] = {}
        self._control = Control(state.endpoints)
        self._logs = LambdaLogs(self._client("logs"), self._control)
        self._events, self._retry_clock = LambdaEvents(self._control), RetryClock(self._control)
        self._faults = LambdaFaults(self._control)
        self._check_scope = check_scope
        self.used = False
        self.reset()

    def __enter__(self) -> Self:
        """Use the stack."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close all connections."""
        for client in self._clients.values():
            client.close()

    @property
    def endpoints(self) -> Endpoints:
        """Return the addresses of the services."""
        return self._state.endpoints

    @property
    def environ(self) -> dict[str, str]:
        """Return the variables that make boto3 use this stack, for a test's own code and for `subprocess`."""
        self._use()
        return client_environment(self._state)

    def deploy(self, source: str | Path | Callable[..., object], *, name: str = "", **config: Any) -> LambdaFunction:  # noqa: ANN401
        """Create a function, or update it if it exists.

        Args:
            source: A function of harness.toml by its name; a folder; a file; or a function of the test module.
                Relative paths start at the project's root.
            name: The function's name; by default that of the source.
            config: Keys of `[functions.NAME]` in harness.toml, such as `handler`, `memory_mb`, `timeout_s`, `retries`
                and `environment`; and of the event invoke configuration: `on_success` and `on_failure` (the ARN of a
                destination that Lambda has), `max_event_age_s`.

        Raises:
            HarnessError: The source or a key is invalid.
        """
        self._use()
        deployment = deployment_of(self._settings, self._state.mode, source, name=name, config=config)
        create_or_update(self._client("lambda"), DesiredFunction(deployment.name, deployment.settings, deployment.code))
        self._set_destinations(deployment)
        return LambdaFunction(deployment.name, self)

    def invoke(
        self,
        function: str | LambdaFunction,
        payload: object = None,
        *,
        asynchronous: bool = False,
        qualifier: str = "",
        client_context: str = "",
    ) -> LambdaResult:
        """Invoke a function.

        Args:
            function: Its name or ARN, or what `deploy` returned.
            payload: The event: anything that JSON can express, or bytes, which are sent as they are.
            asynchronous: Whether to queue the event, as `InvocationType=Event`, instead of waiting for the answer.
            qualifier: A version or an alias.
            client_context: The client context, in base64.

        Raises:
            ClientError: Lambda refuses the call, for example with `TooManyRequestsException`; boto3's own exception.
        """
        self._use()
        options: dict[str, Any] = {"InvocationType": "Event"} if asynchronous else {"LogType": "Tail"}
        if qualifier:
            options["Qualifier"] = qualifier
        if client_context:
            options["ClientContext"] = client_context
        body = payload if isinstance(payload, bytes) else json.dumps({} if payload is None else payload).encode()
        name = function if isinstance(function, str) else function.name
        return result_of(self._client("lambda").invoke(FunctionName=name, Payload=body, **options))

    def explore(  # noqa: PLR0913 - keywords only
        self,
        source: str | Path | Callable[..., object],
        event: object = None,
        *,
        name: str = "",
        prepare: Callable[..., object] | None = None,
        invariant: Callable[..., object] | None = None,
        ignore: Sequence[str] = (),
        normalise: Sequence[tuple[str, str]] = (),
        may_repeat: Sequence[str] = (),
        outside: Sequence[str] = (),
        retry_after_s: float = 0.0,
        overlaps: int = MOST_OVERLAPS,
        seed: int = 0,
        schedule: Schedule | None = None,
        **config: Any,  # noqa: ANN401 - as deploy
    ) -> LambdaExploration:
        """Kill, fail, repeat and overlap an invocation at each of its calls to AWS, on services of its own.

        Args:
            source: As for `deploy`.
            event: The event, or a function that makes it after `prepare`: `event(client)`; `{}` by default.
            name: The function's name; by default that of the source.
            prepare: Makes what the function needs: `prepare(client)`, where `client("s3")` is a boto3 client.
            invariant: Raises `AssertionError`, or returns a text, if the final state is wrong: `invariant(client)`.
            ignore: Patterns of addresses that do not count, such as `s3://inbox/logs/*` and `dynamodb://t/*#at`.
            normalise: Pairs of a regular expression and the text that replaces it.
            may_repeat: Patterns of addresses whose equal entries count once.
            outside: Patterns of `host:port` to which functions may connect past the services.
            retry_after_s: Seconds until Lambda's first retry, for a lease that has to expire before it can succeed.
            overlaps: Let two deliveries overlap in at most this many ways.
            seed: Draws the overlaps, if there are more.
            schedule: Play only this schedule, such as that of a finding.
            config: As for `deploy`.

        Raises:
            HarnessError: The function fails without any fault, makes no call to AWS, is not deterministic, ...
        """
        self._use()
        return explore_source(
            self._settings,
            source,
            {} if event is None else event,
            name=name,
            options={"overlaps": overlaps, "seed": seed, "schedule": schedule},
            preparation={
                "prepare": prepare,
                "invariant": invariant,
                "ignore": ignore,
                "normalise": normalise,
                "may_repeat": may_repeat,
                "outside": outside,
                "retry_after_s": retry_after_s,
            },
            config=config,
        )

    def client(self, service: str, **options: Any) -> Any:  # noqa: ANN401 - boto3's clients have no common type
        """Return a boto3 client of a service of this stack; it stays valid for the whole session.

        Args:
            service: As for `boto3.client`: `s3`, `sqs`, `dynamodb`, `lambda`, ...
            options: As for `boto3.client`.
        """
        self._use()
        return self._client(service, **options)

    def resource(self, service: str, **options: Any) -> Any:  # noqa: ANN401 - as above
        """Return a boto3 resource of a service of this stack.

        Args:
            service: As for `boto3.resource`: `s3`, `dynamodb`, ...
            options: As for `boto3.resource`.
        """
        self._use()
        key = f"resource {service} {options!r}"
        if key not in self._clients:
            found = self._session.resource(
                cast("Any", service), **{"endpoint_url": self._endpoint(service), "config": DIRECT, **options}
            )
            self._clients[key] = found.meta.client
            return found
        return self._session.resource(
            cast("Any", service), **{"endpoint_url": self._endpoint(service), "config": DIRECT, **options}
        )

    @property
    def logs(self) -> LambdaLogs:
        """Return the functions' logs."""
        return self._logs

    @property
    def events(self) -> LambdaEvents:
        """Return the asynchronous invocations of this test."""
        return self._events

    @property
    def retry_clock(self) -> RetryClock:
        """Return Lambda's clock for retries, which the test sets forward."""
        self._use()
        return self._retry_clock

    @property
    def faults(self) -> LambdaFaults:
        """Return the means to inject faults."""
        self._use()
        return self._faults

    def reset(self) -> None:
        """Remove every function, event, fault, log and resource; the plug-in does so after each test."""
        self._control.reset(stopped_clock=True, keep_events=EVENTS_KEPT)
        self._logs.forget()
        self._faults.forget()
        self.used = False

    def _use(self) -> None:
        self._check_scope()
        self.used = True

    def _set_destinations(self, deployment: FunctionToDeploy) -> None:
        if deployment.events:
            self._client("lambda").update_function_event_invoke_config(
                FunctionName=deployment.name, **deployment.events
            )

    def _client(self, service: str, **options: Any) -> Any:  # noqa: ANN401 - as above
        key = f"{service} {options!r}"
        if key not in self._clients:
            config = DIRECT
            if service == "lambda":
                # A function may run for 15 minutes, and must not be invoked again meanwhile.
                patience = Config(
                    connect_timeout=CONTROL_TIMEOUT_S,
                    read_timeout=INVOKE_READ_TIMEOUT_S,
                    retries={"total_max_attempts": 1},
                    max_pool_connections=64,
                )
                config = DIRECT.merge(patience)
            if "config" in options:
                config = config.merge(options["config"])
            given = {"endpoint_url": self._endpoint(service), **options, "config": config}
            self._clients[key] = self._session.client(cast("Any", service), **given)
        return self._clients[key]

    def _endpoint(self, service: str) -> str:
        endpoints = self._state.endpoints
        return {"s3": endpoints.s3, "lambda": endpoints.lambda_}.get(service, endpoints.aws)

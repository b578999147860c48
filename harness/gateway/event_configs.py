"""How events are handled that were sent to a function, a version or an alias; each has its own settings.

https://docs.aws.amazon.com/lambda/latest/dg/invocation-async-configuring.html
"""

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from harness.gateway import limits
from harness.gateway.errors import invalid_parameter, not_found
from harness.gateway.names import LATEST, Identifier, function_arn, parse_identifier
from harness.gateway.records import EventInvokeConfig, Function
from harness.gateway.requests import DestinationConfig, EventInvokeRequest, decode


class EventInvokeConfigs:
    """The settings of all functions.

    Args:
        find: Returns the function or the version with an identifier; raises `LambdaApiError` if there is none.
    """

    def __init__(self, find: Callable[[Identifier], Function]) -> None:
        self._find = find
        self._configs: dict[Identifier, EventInvokeConfig] = {}

    def of(self, identifier: Identifier) -> EventInvokeConfig:
        """Return the settings of a function, a version or an alias; AWS's defaults if none were put."""
        return self._configs.get(_own(identifier), EventInvokeConfig())

    def get(self, identifier: str, qualifier: str | None) -> dict[str, Any]:
        """Perform GetFunctionEventInvokeConfig."""
        key, arn = self._key(identifier, qualifier)
        if key not in self._configs:
            raise not_found(f"The function {arn} doesn't have an EventInvokeConfig")
        return self._configs[key].to_api(arn)

    def list_all(self, name: str) -> list[dict[str, Any]]:
        """Perform ListFunctionEventInvokeConfigs."""
        return [config.to_api(function_arn(*key)) for key, config in self._configs.items() if key.name == name]

    def put(self, identifier: str, qualifier: str | None, body: bytes, *, keep: bool) -> dict[str, Any]:
        """Perform PutFunctionEventInvokeConfig, or with `keep` UpdateFunctionEventInvokeConfig.

        Args:
            identifier: The function.
            qualifier: A version or an alias.
            body: The request.
            keep: Whether settings that the request omits stay unchanged instead of returning to AWS's defaults.
        """
        request = decode(body, EventInvokeRequest)
        key, arn = self._key(identifier, qualifier)
        before = self._configs.get(key, EventInvokeConfig()) if keep else EventInvokeConfig()
        destinations = request.destination_config
        if destinations is None:
            on_failure, on_success = before.on_failure, before.on_success
        else:
            on_failure, on_success = _queues(destinations)
        retries, age = request.maximum_retry_attempts, request.maximum_event_age_in_seconds
        self._configs[key] = EventInvokeConfig(
            before.max_retries if retries is None else retries,
            before.max_age_s if age is None else age,
            on_failure,
            on_success,
            datetime.now(UTC),
        )
        return self._configs[key].to_api(arn)

    def delete(self, identifier: str, qualifier: str | None) -> None:
        """Perform DeleteFunctionEventInvokeConfig."""
        key, arn = self._key(identifier, qualifier)
        if self._configs.pop(key, None) is None:
            raise not_found(f"The function {arn} doesn't have an EventInvokeConfig")

    def remove(self, identifier: Identifier) -> None:
        """Remove the settings of a deleted alias, if it had any."""
        self._configs.pop(identifier, None)

    def remove_all(self, name: str) -> None:
        """Remove the settings of a deleted function, its versions and its aliases."""
        self._configs = {key: config for key, config in self._configs.items() if key.name != name}

    def _key(self, identifier: str, qualifier: str | None) -> tuple[Identifier, str]:
        key = _own(parse_identifier(identifier, qualifier))
        self._find(key)
        return key, function_arn(*key)


def _own(identifier: Identifier) -> Identifier:
    return Identifier(identifier.name, identifier.qualifier or LATEST)


def _queues(destinations: DestinationConfig) -> tuple[str, str]:
    arns = destinations.on_failure.destination or "", destinations.on_success.destination or ""
    for arn in arns:
        if arn and not arn.startswith(f"arn:aws:sqs:{limits.REGION}:"):
            raise invalid_parameter(f"The destination {arn} is not emulated: only SQS queues of {limits.REGION} are.")
    return arns

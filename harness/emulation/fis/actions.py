"""The actions that an experiment can have here, with their parameters.

https://docs.aws.amazon.com/fis/latest/userguide/fis-actions-reference.html#lambda-actions-reference
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

import msgspec

from harness.emulation.fis.errors import ValidationException
from harness.gateway.experiments import ExperimentAction

FUNCTION, FUNCTIONS = "aws:lambda:function", "Functions"
WAIT = "aws:fis:wait"
DELAY = "aws:lambda:invocation-add-delay"
ERROR = "aws:lambda:invocation-error"
RESPONSE = "aws:lambda:invocation-http-integration-response"
_LONGEST_S = 12 * 3600
_LONGEST_DELAY_MS = 900_000


@dataclass(frozen=True, slots=True)
class ParameterSpec:
    """A parameter of an action.

    Attributes:
        description: What it is, for GetAction.
        right: What its value has to be, for an error.
        accepts: Whether a value is that.
        default: Its value if the template has none; None if the template must have one.
    """

    description: str
    right: str
    accepts: Callable[[str], bool]
    default: str | None = None


@dataclass(frozen=True, slots=True)
class ActionSpec:
    """An action.

    Attributes:
        description: What it does, for GetAction.
        targets: The resource type of each target.
        parameters: Its parameters.
    """

    description: str
    parameters: Mapping[str, ParameterSpec]
    targets: Mapping[str, str] = field(default_factory=lambda: {FUNCTIONS: FUNCTION})

    def to_api(self, action: str, account: str, region: str) -> dict[str, Any]:
        """Return the action as GetAction shows it."""
        parameters = {
            name: {"description": one.description, "required": one.default is None}
            for name, one in self.parameters.items()
        }
        return {
            "id": action,
            "arn": f"arn:aws:fis:{region}:{account}:action/{action}",
            "description": self.description,
            "parameters": parameters,
            "targets": {name: {"resourceType": kind} for name, kind in self.targets.items()},
            "tags": {},
        }


def _seconds(text: str) -> float | None:
    """Return the seconds of an ISO 8601 duration; None if it is none."""
    try:
        return msgspec.convert(text, timedelta).total_seconds()
    except msgspec.ValidationError:
        return None


def _is_duration(text: str) -> bool:
    seconds = _seconds(text)
    return seconds is not None and 0 < seconds <= _LONGEST_S


def _is_number(lowest: int, highest: int) -> Callable[[str], bool]:
    return lambda text: re.fullmatch(r"[0-9]{1,9}", text) is not None and lowest <= int(text) <= highest


_DURATION = ParameterSpec(
    "The length of time that the action lasts.", "an ISO 8601 duration of at most 12 hours, such as PT1M", _is_duration
)
_PERCENTAGE = ParameterSpec(
    "The percentage of function invocations to inject the fault into.", "1 to 100", _is_number(1, 100), "100"
)
_PREVENTS = ParameterSpec(
    "Whether the function is not executed.", "true or false", lambda text: text in ("true", "false")
)
_ALWAYS = {"duration": _DURATION, "invocationPercentage": _PERCENTAGE}

ACTIONS: dict[str, ActionSpec] = {
    WAIT: ActionSpec("Waits for a duration.", {"duration": _DURATION}, targets={}),
    DELAY: ActionSpec(
        "Delays starting a function for a number of milliseconds that you specify.",
        {
            **_ALWAYS,
            "startupDelayMilliseconds": ParameterSpec(
                "The time in milliseconds between invocation and execution of function code.",
                "0 to 900000",
                _is_number(0, _LONGEST_DELAY_MS),
                "1000",
            ),
        },
    ),
    ERROR: ActionSpec("Marks Lambda function invocations as failed.", {**_ALWAYS, "preventExecution": _PREVENTS}),
    RESPONSE: ActionSpec(
        "Modifies the response of the function for ALB, API Gateway and VPC Lattice.",
        {
            **_ALWAYS,
            "preventExecution": _PREVENTS,
            "statusCode": ParameterSpec("The HTTP status code to return.", "000 to 999", _is_number(0, 999)),
            "contentTypeHeader": ParameterSpec(
                "The HTTP content type header to return.",
                "a content type, such as application/json",
                lambda text: re.fullmatch(r"[\x21-\x7e][\x20-\x7e]{0,254}", text) is not None,
            ),
        },
    ),
}


def check_action(name: str, action: dict[str, Any]) -> None:
    """Check the id and the parameters of an action in a template.

    Raises:
        ValidationException: FIS or this emulation has no such action, or a parameter is missing, unknown or wrong.
    """
    spec = ACTIONS.get(action["actionId"])
    if spec is None:
        raise ValidationException(
            f'The action "{action["actionId"]}" found in action "{name}" is not emulated: '
            f"there are {', '.join(ACTIONS)}."
        )
    given = action.get("parameters") or {}
    for parameter in given:
        if parameter not in spec.parameters:
            raise ValidationException(f'Unexpected parameter "{parameter}" found in action "{name}".')
    for parameter, its in spec.parameters.items():
        value = given.get(parameter, its.default)
        if value is None:
            raise ValidationException(f'Missing parameter "{parameter}" in action "{name}".')
        if not its.accepts(value):
            raise ValidationException(
                f'Invalid value "{value}" for parameter "{parameter}" in action "{name}": it has to be {its.right}.'
            )


def parameters_of(action: dict[str, Any]) -> dict[str, str]:
    """Return all parameters of a checked action, with their defaults."""
    defaults = {name: one.default or "" for name, one in ACTIONS[action["actionId"]].parameters.items()}
    return {**defaults, **(action.get("parameters") or {})}


def duration_s(action: dict[str, Any]) -> float:
    """Return how long a checked action lasts, seconds."""
    return _seconds(parameters_of(action)["duration"]) or 0.0


def to_gateway(
    action: dict[str, Any], functions: tuple[str, ...], qualifier: str, begins_in_s: float
) -> ExperimentAction | None:
    """Return a checked action as the Lambda service carries it out; None for one that only takes time.

    Args:
        action: The action, as in the template.
        functions: The names of the functions that it strikes.
        qualifier: The version or alias by which they are invoked; empty for any.
        begins_in_s: Seconds until it begins.
    """
    if action["actionId"] == WAIT:
        return None
    given = parameters_of(action)
    kinds = {DELAY: "delay", ERROR: "error", RESPONSE: "response"}
    return ExperimentAction(
        kind=kinds[action["actionId"]],  # type: ignore[arg-type]
        functions=functions,
        qualifier=qualifier,
        begins_in_s=begins_in_s,
        lasts_s=duration_s(action),
        percentage=float(given["invocationPercentage"]),
        delay_s=int(given.get("startupDelayMilliseconds", 0)) / 1e3,
        prevents=given.get("preventExecution") == "true",
        status=int(given.get("statusCode", 200)),
        content_type=given.get("contentTypeHeader", ""),
    )

"""Checks experiment templates: whatever the emulation would not carry out is refused, with its name.

https://docs.aws.amazon.com/fis/latest/APIReference/API_CreateExperimentTemplate.html
"""

import re
from collections.abc import Mapping
from typing import Any

from moto.fis.models import ExperimentTemplate

from harness.emulation.fis.actions import ACTIONS, FUNCTION, check_action
from harness.emulation.fis.errors import ValidationException
from harness.guard import ROLE

# https://docs.aws.amazon.com/fis/latest/userguide/targets.html#target-selection-mode
SELECTION = re.compile(r"ALL|(?P<kind>COUNT|PERCENT)\((?P<n>[1-9]\d{0,5})\)")
QUALIFIER = "functionQualifier"
_ARN = re.compile(r"arn:aws[a-zA-Z-]*:lambda:[a-z0-9-]+:\d{12}:function:[a-zA-Z0-9-_]{1,64}")
_ALARM = "aws:cloudwatch:alarm"
_ALARM_ARN = re.compile(r"arn:aws[a-zA-Z-]*:cloudwatch:[a-z0-9-]+:\d{12}:alarm:.+")
_MOST_PERCENT = 100


def check_template(template: ExperimentTemplate) -> None:
    """Check a template before it is stored.

    Raises:
        ValidationException: Something in it is wrong, or not emulated.
    """
    if re.fullmatch(ROLE, template.role_arn) is None:
        raise ValidationException(f'The role "{template.role_arn}" is not an ARN of a role of IAM.')
    _check_options(template)
    for name, target in template.targets.items():
        _check_target(name, target)
    if not template.actions:
        raise ValidationException("The template must have at least one action.")
    for name, action in template.actions.items():
        check_action(name, action)
        _check_targets_of(name, action, template.targets)
    check_order(template.actions)
    _check_stop_conditions(template.stop_conditions)


def _check_options(template: ExperimentTemplate) -> None:
    options = template.experiment_options or {}
    if options.get("accountTargeting", "single-account") != "single-account":
        raise ValidationException("accountTargeting multi-account is not emulated: the stack has one account.")
    if options.get("emptyTargetResolutionMode", "fail") not in ("fail", "skip"):
        raise ValidationException("emptyTargetResolutionMode must be fail or skip.")
    if template.log_configuration:
        raise ValidationException("logConfiguration is not emulated: read the functions' own logs.")
    if template.experiment_report_configuration:
        raise ValidationException("experimentReportConfiguration is not emulated: there are no reports.")


def _check_target(name: str, target: dict[str, Any]) -> None:
    if target["resourceType"] != FUNCTION:
        raise ValidationException(
            f'The resource type "{target["resourceType"]}" of target "{name}" is not emulated: there is {FUNCTION}.'
        )
    if target.get("filters"):
        raise ValidationException(f'Target "{name}" has filters, which {FUNCTION} does not support.')
    arns, tags = target.get("resourceArns") or [], target.get("resourceTags") or {}
    if bool(arns) == bool(tags):
        raise ValidationException(f'Target "{name}" must have either resourceArns or resourceTags.')
    for arn in arns:
        if _ARN.fullmatch(arn) is None:
            raise ValidationException(f'"{arn}" in target "{name}" is not the ARN of a function without a qualifier.')
    mode = SELECTION.fullmatch(target["selectionMode"])
    if mode is None or (mode["kind"] == "PERCENT" and int(mode["n"]) > _MOST_PERCENT):
        raise ValidationException(
            f'Invalid selectionMode "{target["selectionMode"]}" in target "{name}": '
            "it has to be ALL, COUNT(n) or PERCENT(n)."
        )
    for parameter in target.get("parameters") or {}:
        if parameter != QUALIFIER:
            raise ValidationException(f'Unexpected parameter "{parameter}" found in target "{name}".')


def _check_targets_of(name: str, action: dict[str, Any], targets: Mapping[str, Any]) -> None:
    needed, given = ACTIONS[action["actionId"]].targets, action.get("targets") or {}
    for key, target in given.items():
        if key not in needed:
            # AWS's words, as others recorded them: hashicorp/terraform-provider-aws, issue 26950.
            raise ValidationException(f'Unexpected target "{key}" found in action "{name}".')
        if target not in targets:
            raise ValidationException(f'Action "{name}" refers to target "{target}", which does not exist.')
    for key in needed:
        if key not in given:
            raise ValidationException(f'Missing target "{key}" in action "{name}".')


def check_order(actions: Mapping[str, dict[str, Any]]) -> None:
    """Check that every action can begin.

    Raises:
        ValidationException: One starts after an action that does not exist, or after itself.
    """
    waiting = {name: set(action.get("startAfter") or ()) for name, action in actions.items()}
    for name, others in waiting.items():
        for other in sorted(others - waiting.keys()):
            raise ValidationException(f'Action "{name}" starts after action "{other}", which does not exist.')
    while waiting:
        free = {name for name, others in waiting.items() if not others & waiting.keys()}
        if not free:
            raise ValidationException(f"These actions start after each other: {', '.join(sorted(waiting))}.")
        waiting = {name: others for name, others in waiting.items() if name not in free}


def _check_stop_conditions(conditions: list[dict[str, Any]]) -> None:
    if not conditions:
        raise ValidationException("The template must have a stop condition; its source may be none.")
    for condition in conditions:
        source, value = condition["source"], condition.get("value") or ""
        if source not in ("none", _ALARM):
            raise ValidationException(f'Invalid source "{source}" of a stop condition: it has to be none or {_ALARM}.')
        if source == _ALARM and _ALARM_ARN.fullmatch(value) is None:
            raise ValidationException(f'Invalid value "{value}" of a stop condition: it has to be the ARN of an alarm.')
        if source == "none" and value:
            raise ValidationException("A stop condition with the source none has no value.")


def alarms_of(conditions: list[dict[str, Any]]) -> list[str]:
    """Return the ARNs of the alarms that stop an experiment."""
    return [condition["value"] for condition in conditions if condition["source"] == _ALARM]

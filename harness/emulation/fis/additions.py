"""Puts the additions in place of moto's parts, and adds the operations that moto lacks."""

import json
from typing import Any

from moto.cloudwatch.models import CloudWatchBackend
from moto.fis import models
from moto.fis.exceptions import ResourceNotFoundException
from moto.fis.responses import FISResponse

from harness.emulation.fis.actions import ACTIONS, FUNCTION
from harness.emulation.fis.backend import ALARM, ExperimentBackend
from harness.emulation.fis.experiment import TimedExperiment
from harness.emulation.fis.templates import QUALIFIER

_TARGET_TYPE = {
    "resourceType": FUNCTION,
    "description": "A Lambda function.",
    "parameters": {QUALIFIER: {"description": "The version or alias of the function to target.", "required": False}},
}


def add_to_moto() -> None:
    """Add all of this to moto's FIS."""
    models.fis_backends.backend = ExperimentBackend
    models.Experiment = TimedExperiment  # type: ignore[misc]
    for operation in (_list_actions, _get_action, _list_target_resource_types, _get_target_resource_type):
        setattr(FISResponse, operation.__name__.removeprefix("_"), operation)
    _watch_alarms()


def _watch_alarms() -> None:
    of_moto = CloudWatchBackend.set_alarm_state

    def set_alarm_state(
        self: CloudWatchBackend, alarm_name: str, reason: str, reason_data: str, state_value: str
    ) -> None:
        of_moto(self, alarm_name, reason, reason_data, state_value)
        if state_value == ALARM:
            backend = models.fis_backends[self.account_id][self.region_name]
            assert isinstance(backend, ExperimentBackend)  # noqa: S101 - see above
            backend.stop_for(self.alarms[alarm_name].alarm_arn)

    CloudWatchBackend.set_alarm_state = set_alarm_state  # type: ignore[method-assign]


def _shown(self: FISResponse, action: str) -> dict[str, Any]:
    return ACTIONS[action].to_api(action, self.current_account, self.region)


def _list_actions(self: FISResponse) -> str:
    keys = ("id", "arn", "description", "targets", "tags")
    shown = [_shown(self, action) for action in sorted(ACTIONS)]
    return json.dumps({"actions": [{key: one[key] for key in keys} for one in shown]})


def _get_action(self: FISResponse) -> str:
    action = self._get_param("id")
    if action not in ACTIONS:
        raise ResourceNotFoundException(f"Action {action} does not exist, or is not emulated")
    return json.dumps({"action": _shown(self, action)})


def _list_target_resource_types(self: FISResponse) -> str:
    del self
    keys = ("resourceType", "description")
    return json.dumps({"targetResourceTypes": [{key: _TARGET_TYPE[key] for key in keys}]})


def _get_target_resource_type(self: FISResponse) -> str:
    kind = self._get_param("resourceType")
    if kind != FUNCTION:
        raise ResourceNotFoundException(f"Target resource type {kind} does not exist, or is not emulated")
    return json.dumps({"targetResourceType": _TARGET_TYPE})

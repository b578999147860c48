"""CloudFormation: moto's answers, on stacks that are carried out as AWS does it."""

from typing import Any

from moto.cloudformation import models, responses
from moto.core.responses import ActionResult, EmptyResult

from harness.emulation.plan import PlannedChange
from harness.emulation.stack import Stack, StackResource
from harness.emulation.stack_backend import StackBackend


class ResourceView:
    """A resource as `DescribeStackResources` and `ListStackResources` show it."""

    def __init__(self, stack: Stack, resource: StackResource) -> None:
        self.stack_id, self.stack_name = stack.stack_id, stack.name
        self.logical_resource_id = resource.logical_resource_id
        self.physical_resource_id = resource.physical_resource_id
        self.resource_type = resource.cf_resource_type
        self.resource_status = resource.resource_status
        self.resource_status_reason = resource.resource_status_reason or None
        self.timestamp = self.last_updated_timestamp = resource.timestamp


class ChangeView:
    """A change as `DescribeChangeSet` shows it."""

    def __init__(self, step: PlannedChange) -> None:
        self.type, self.resource_change = "Resource", step


class StackResponses(responses.CloudFormationResponse):
    """Answers where moto's own ignore parts of a request, or invent results."""

    def describe_change_set(self) -> ActionResult:
        """DescribeChangeSet, restricted to the named stack."""
        backend = _backend(self)
        return ActionResult(backend.find_change_set(self._get_param("ChangeSetName"), self._get_param("StackName")))

    def delete_change_set(self) -> ActionResult:
        """DeleteChangeSet."""
        _backend(self).remove_change_set(self._get_param("ChangeSetName"), self._get_param("StackName"))
        return EmptyResult()

    def list_change_sets(self) -> ActionResult:
        """ListChangeSets of one stack."""
        name = self._get_param("StackName")
        found = [one for one in _backend(self).change_sets.values() if name in (one.stack_name, one.stack_id)]
        return ActionResult({"Summaries": found})

    def delete_stack(self) -> ActionResult:
        """DeleteStack."""
        _backend(self).remove_stack(self._get_param("StackName"), self._get_param("RetainResources", []))
        return EmptyResult()

    def list_stack_resources(self) -> ActionResult:
        """ListStackResources, with their current status."""
        stack, found = _backend(self).describe_stack_resources(self._get_param("StackName"))
        return ActionResult({"StackResourceSummaries": [ResourceView(stack, resource) for resource in found]})

    def update_termination_protection(self) -> ActionResult:
        """UpdateTerminationProtection."""
        stack = _backend(self).get_stack(self._get_param("StackName"))
        stack.enable_termination_protection = self._get_bool_param("EnableTerminationProtection")
        return ActionResult({"StackId": stack.stack_id})

    def _validate_different_update(self, *_: Any) -> None:  # noqa: ANN401 - moto's signature
        """Do nothing: differences are found in the resources, not in the template's text."""


def _backend(response: StackResponses) -> StackBackend:
    backend = response.cloudformation_backend
    assert isinstance(backend, StackBackend)  # noqa: S101 - `install` put it there
    return backend


def install(endpoint: str) -> None:
    """Replace moto's implementation; call this before the first request to CloudFormation.

    Args:
        endpoint: The URL of this server.
    """
    StackBackend.endpoint = endpoint
    models.cloudformation_backends.backend = StackBackend
    responses.StackResourceDTO = ResourceView  # type: ignore[assignment,misc]
    responses.ChangeDTO = ChangeView  # type: ignore[assignment,misc]
    StackResponses.RESPONSE_KEY_PATH_TO_TRANSFORMER = {
        **responses.CloudFormationResponse.RESPONSE_KEY_PATH_TO_TRANSFORMER,
        "DescribeChangeSetOutput.Changes": lambda steps: [ChangeView(step) for step in steps],
    }
    for name, value in vars(StackResponses).items():
        if not name.startswith("__"):
            setattr(responses.CloudFormationResponse, name, value)

"""One operation on one stack, as CloudFormation carries it out.

    create     each resource after those that it needs; if one fails, the existing ones are deleted again
    update     resources that differ are changed in place or replaced; if one fails, all changes are reverted
    clean-up   replaced and removed resources are deleted last, when nothing refers to them any more
    delete     in reverse order; resources that cannot be deleted remain, and so does the stack, until the next try

https://docs.aws.amazon.com/AWSCloudFormation/latest/UserGuide/view-stack-events.html
Every step is an event of the stack, with the reason if it failed.
"""

import logging
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError
from moto.cloudformation.exceptions import ValidationError

from harness.emulation.faults import Faults
from harness.emulation.plan import DesiredStack, changed_properties, properties_of
from harness.emulation.resources.base import (
    Api,
    CreatedResource,
    Handler,
    Properties,
    ResourceRefused,
    ResourceRequest,
    ResourceUpdate,
    generated_name,
    reason,
)
from harness.emulation.resources.table import TYPES
from harness.emulation.stack import Stack, StackResource
from harness.emulation.template import outputs_of

logger = logging.getLogger(__name__)


class Failed(Exception):
    """A resource could not be created, changed or deleted; its event gives the reason."""


class StackOperation:
    """Brings a stack to its desired state.

    Args:
        stack: The stack.
        api: The APIs of the services.
        faults: The planned faults.
    """

    def __init__(self, stack: Stack, api: Api, faults: Faults) -> None:
        self._stack, self._api, self._faults = stack, api, faults

    def create(self, wanted: DesiredStack) -> None:
        """Create all resources, or none."""
        stack = self._stack
        try:
            self._apply(wanted, [], [])
            stack.outputs = outputs_of(wanted.template, stack.scope(wanted.template, wanted.parameters))
        except Exception as error:  # noqa: BLE001 - any failure ends as a status of the stack, never as a stack in progress for ever
            if stack.cancelled.is_set():
                return  # the deletion that cancelled it sets the next status
            stack.set_status("ROLLBACK_IN_PROGRESS", self._describe(error))
            left = self._delete_all(list(stack.resources.values()))
            stack.resources = {resource.logical_resource_id: resource for resource in left}
            stack.set_status("ROLLBACK_FAILED" if left else "ROLLBACK_COMPLETE")
            return
        if not stack.cancelled.is_set():
            stack.set_status("CREATE_COMPLETE")

    def update(self, wanted: DesiredStack) -> None:
        """Change everything that differs, or nothing."""
        stack = self._stack
        undo: list[Callable[[], None]] = []
        replaced: list[StackResource] = []
        try:
            self._apply(wanted, undo, replaced)
            outputs = outputs_of(wanted.template, stack.scope(wanted.template, wanted.parameters))
        except Exception as error:  # noqa: BLE001 - as above
            stack.set_status("UPDATE_ROLLBACK_IN_PROGRESS", self._describe(error))
            try:
                for step in reversed(undo):
                    step()
            except Failed as again:
                stack.set_status("UPDATE_ROLLBACK_FAILED", str(again))
            else:
                stack.set_status("UPDATE_ROLLBACK_COMPLETE")
            return
        stack.source, stack.stack_parameters, stack.tags = wanted.template, wanted.parameters, wanted.tags
        stack.outputs, stack.last_updated_time = outputs, datetime.now(UTC)
        stack.set_status("UPDATE_COMPLETE_CLEANUP_IN_PROGRESS")
        order = wanted.template.order(stack.scope(wanted.template, wanted.parameters))
        gone = [resource for name, resource in stack.resources.items() if name not in order]
        for resource in gone:
            del stack.resources[resource.logical_resource_id]
        # As on AWS, a resource that cannot be cleaned up is left behind and no longer belongs to the stack.
        self._delete_all([*gone, *replaced])
        stack.set_status("UPDATE_COMPLETE")

    def delete(self, retain: list[str]) -> bool:
        """Delete all resources except the retained ones; return whether that succeeded."""
        stack = self._stack
        for name in retain:
            stack.resources.pop(name, None)
        left = self._delete_all(list(stack.resources.values()))
        stack.resources = {
            name: resource for name, resource in stack.resources.items() if any(resource is one for one in left)
        }
        if left:
            names = ", ".join(resource.logical_resource_id for resource in left)
            stack.set_status("DELETE_FAILED", f"The following resource(s) failed to delete: [{names}]. ")
            return False
        stack.deletion_time = datetime.now(UTC)
        stack.set_status("DELETE_COMPLETE")
        return True

    def _apply(self, wanted: DesiredStack, undo: list[Callable[[], None]], replaced: list[StackResource]) -> None:
        """Create and change resources that differ; record how to undo each step, and the replaced resources.

        Raises:
            Failed: A resource could not be created or changed.
        """
        stack = self._stack
        scope = stack.scope(wanted.template, wanted.parameters)
        for logical_id in wanted.template.order(scope):
            definition = wanted.template.resources[logical_id]
            existing = stack.resources.get(logical_id)
            if stack.cancelled.is_set():
                raise Failed("Resource creation cancelled")
            made = existing or StackResource(logical_id, definition["Type"], "")
            try:
                properties = properties_of(wanted, logical_id, scope)
                _check_properties(definition["Type"], properties)
            except (ValidationError, ResourceRefused) as error:
                self._fail(made, "CREATE" if existing is None else "UPDATE", str(error))
            retained = definition.get("DeletionPolicy") in ("Retain", "RetainExceptOnCreate")
            if existing is None:
                made = self._create(logical_id, definition["Type"], properties, retained=retained)
                undo.append(lambda made=made: self._undo_creation(made))  # type: ignore[misc]
            else:
                made = self._change_or_replace(existing, definition, properties, undo, replaced)
                made.retained = retained
            scope[logical_id] = made

    def _change_or_replace(
        self,
        existing: StackResource,
        definition: Properties,
        properties: Properties,
        undo: list[Callable[[], None]],
        replaced: list[StackResource],
    ) -> StackResource:
        """Change an existing resource in place, or replace it if that is impossible; return the current resource."""
        changed, kind = changed_properties(existing.properties, properties), definition["Type"]
        if not changed and kind == existing.cf_resource_type:
            return existing
        if kind == existing.cf_resource_type and TYPES[kind].changes_in_place(changed):
            before = existing.properties
            self._update(existing, properties)
            undo.append(lambda: self._update(existing, before))
            return existing
        logical_id = existing.logical_resource_id
        self._stack.set_resource_status(
            existing,
            "UPDATE_IN_PROGRESS",
            "Requested update requires the creation of a new physical resource; hence creating one.",
        )
        made = self._create(logical_id, kind, properties, retained=existing.retained, verb="UPDATE")
        if definition.get("UpdateReplacePolicy") != "Retain":
            replaced.append(existing)

        def restore() -> None:
            self._undo_creation(made)
            self._stack.resources[logical_id] = existing

        undo.append(restore)
        return made

    def _create(
        self, logical_id: str, kind: str, properties: Properties, *, retained: bool, verb: str = "CREATE"
    ) -> StackResource:
        resource = StackResource(logical_id, kind, "", properties=properties, retained=retained)
        self._stack.set_resource_status(resource, f"{verb}_IN_PROGRESS")

        def exists(physical_id: str) -> None:
            resource.physical_resource_id = physical_id

        request = ResourceRequest(self._api, generated_name(self._stack.name, logical_id), properties, exists)
        try:
            made = self._call(resource, verb, lambda handler: handler.create(request))
        except Failed:
            if resource.physical_resource_id:
                resource.retained = False
                self._delete(resource)
            raise
        assert isinstance(made, CreatedResource)  # noqa: S101 - a handler's `create` returns it
        resource.physical_resource_id, resource.attributes = made.physical_id, dict(made.attributes)
        self._stack.resources[logical_id] = resource
        self._stack.set_resource_status(resource, f"{verb}_COMPLETE")
        return resource

    def _update(self, resource: StackResource, properties: Properties) -> None:
        self._stack.set_resource_status(resource, "UPDATE_IN_PROGRESS")
        change = ResourceUpdate(self._api, resource.physical_resource_id, resource.properties, properties)

        def change_in_place(handler: Handler) -> None:
            assert handler.update is not None  # noqa: S101 - `changes_in_place` was checked
            handler.update(change)

        self._call(resource, "UPDATE", change_in_place)
        resource.properties = properties
        self._stack.set_resource_status(resource, "UPDATE_COMPLETE")

    def _undo_creation(self, resource: StackResource) -> None:
        if self._delete_all([resource]):
            raise Failed(f"{resource.logical_resource_id}: {resource.resource_status_reason}")
        if self._stack.resources.get(resource.logical_resource_id) is resource:
            del self._stack.resources[resource.logical_resource_id]

    def _delete_all(self, resources: list[StackResource]) -> list[StackResource]:
        """Delete in reverse order, and repeat while that makes progress; return the resources that are left."""
        left = list(reversed(resources))
        while True:
            still = [resource for resource in left if not self._delete(resource)]
            if not still or len(still) == len(left):
                return still
            left = still

    def _delete(self, resource: StackResource) -> bool:
        if resource.retained:
            self._stack.set_resource_status(resource, "DELETE_SKIPPED")
            return True
        self._stack.set_resource_status(resource, "DELETE_IN_PROGRESS")
        try:
            self._call(
                resource,
                "DELETE",
                lambda handler: handler.delete(self._api, resource.physical_resource_id, resource.properties),
            )
        except Failed:
            return False
        self._stack.set_resource_status(resource, "DELETE_COMPLETE")
        return True

    def _call(self, resource: StackResource, verb: str, call: Callable[[Handler], Any]) -> Any:  # noqa: ANN401
        """Call a resource's handler.

        Raises:
            Failed: The handler fails, or a planned fault makes it fail.
        """
        self._faults.take_time(verb)
        planned = self._faults.failure_of(verb, resource.logical_resource_id)
        if planned is not None:
            self._fail(resource, verb, reason(ResourceRefused(planned)))
        try:
            return call(TYPES[resource.cf_resource_type])
        except ClientError as error:
            if verb == "DELETE" and _is_gone_already(error):
                return None
            self._fail(resource, verb, reason(error))
        except (BotoCoreError, ResourceRefused, KeyError, TypeError, ValueError) as error:
            logger.exception("%s of %s", verb, resource.logical_resource_id)
            missing = isinstance(error, KeyError)
            self._fail(resource, verb, reason(ResourceRefused(f"required key {error} not found") if missing else error))

    def _fail(self, resource: StackResource, verb: str, why: str) -> None:
        """Record the failure in an event and raise `Failed`."""
        self._stack.set_resource_status(resource, f"{verb}_FAILED", why)
        raise Failed(f"The following resource(s) failed to {verb.lower()}: [{resource.logical_resource_id}]. ")

    @staticmethod
    def _describe(error: Exception) -> str:
        if not isinstance(error, Failed):
            logger.error("an operation failed", exc_info=error)
        return str(error)


def _check_properties(kind: str, properties: Properties) -> None:
    handler = TYPES[kind]
    known = handler.properties | ({"Tags"} if handler.taggable else set())
    if unknown := sorted(properties.keys() - known):
        raise ResourceRefused(f"Encountered unsupported property {', '.join(unknown)} (of {kind}, in this emulation)")


def _is_gone_already(error: ClientError) -> bool:
    """Return whether a deletion failed because the resource is gone already, which CloudFormation counts as success."""
    code = error.response["Error"]["Code"]
    return code.endswith((".NotFound", "NotFound", "NotFoundException", "NotFoundFault")) or code in {
        "NoSuchBucket",
        "NoSuchEntity",
        "AWS.SimpleQueueService.NonExistentQueue",
    }

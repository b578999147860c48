"""One operation on one stack, as CloudFormation carries it out.

    create     each resource after those that it needs; when one fails, those that exist are deleted again
    update     what differs is changed in place or replaced; when one fails, everything is changed back
    clean-up   what was replaced, or is no longer in the template, goes last, when nothing refers to it any more
    delete     in the reverse order; what cannot be deleted stays, and the stack with it, until it is tried again

https://docs.aws.amazon.com/AWSCloudFormation/latest/UserGuide/view-stack-events.html
Every step is an event of the stack's, with the reason when it failed.
"""

import logging
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError
from moto.cloudformation.exceptions import UnformattedGetAttTemplateException, ValidationError
from moto.cloudformation.models import Event

from harness.emulation.faults import Faults
from harness.emulation.resources.base import (
    Api,
    Change,
    Handler,
    Made,
    Properties,
    Request,
    ResourceRefused,
    generated_name,
    reason,
)
from harness.emulation.resources.table import TYPES
from harness.emulation.template import EMPTY, Scope, Template, evaluate, make_scope, outputs_of

logger = logging.getLogger(__name__)

UNKNOWN = "{{changeSet:KNOWN_AFTER_APPLY}}"


@dataclass
class Resource:
    """A resource that exists, with the attributes by which moto's answers show it.

    Attributes:
        logical_resource_id: Its name in the template.
        cf_resource_type: Its type.
        physical_resource_id: What `Ref` gives.
        attributes: What `Fn::GetAtt` gives.
        properties: As it was made, the stack's tags among them.
        retained: Whether it stays when it leaves the stack.
        resource_status: The state of the last operation on it.
        resource_status_reason: Why that failed.
        timestamp: When that was.
    """

    logical_resource_id: str
    cf_resource_type: str
    physical_resource_id: str
    attributes: dict[str, str] = field(default_factory=dict)
    properties: Properties = field(default_factory=dict)
    retained: bool = False
    resource_status: str = ""
    resource_status_reason: str = ""
    timestamp: datetime = field(default_factory=lambda: datetime.now(UTC))

    def get_cfn_attribute(self, attribute: str) -> str:
        """What `Fn::GetAtt` gives.

        Raises:
            UnformattedGetAttTemplateException: There is no such attribute.
        """
        if attribute not in self.attributes:
            raise UnformattedGetAttTemplateException
        return self.attributes[attribute]


class NotYetKnown:
    """A resource that a change set will create or replace: what `Ref` and `Fn::GetAtt` will give is not known."""

    physical_resource_id = UNKNOWN

    def get_cfn_attribute(self, _attribute: str) -> str:
        """Not known, either."""
        return UNKNOWN


class Stack:
    """One stack, with the attributes by which moto's answers show it."""

    class Meta:
        """How moto's answers call what is called otherwise here."""

        serialization_aliases = {"Parameters": "parameter_list", "Outputs": "output_list"}  # noqa: RUF012 - moto's convention

    def __init__(self, stack_id: str, name: str, account_id: str, region_name: str) -> None:
        self.stack_id, self.name = stack_id, name
        self.account_id, self.region_name = account_id, region_name
        self.source: Template = EMPTY
        self.stack_parameters: dict[str, str] = {}
        self.tags: dict[str, str] = {}
        self.role_arn: str | None = None
        self.notification_arns: list[str] = []
        self.policy = ""
        self.enable_termination_protection = False
        self.disable_rollback = False
        self.creation_time = datetime.now(UTC)
        self.last_updated_time: datetime | None = None
        self.deletion_time: datetime | None = None
        self.status = "REVIEW_IN_PROGRESS"
        self.status_reason = ""
        self.resources: dict[str, Resource] = {}
        self.outputs: list[dict[str, str]] = []
        self.events: list[Event] = []
        # Set when the stack is deleted while it is still being created.
        self.cancelled = threading.Event()
        self.work: threading.Thread | None = None

    @property
    def template(self) -> str:
        """The template's text."""
        return self.source.body

    @property
    def description(self) -> str:
        """The template's description."""
        return self.source.description

    @property
    def parameter_list(self) -> list[dict[str, str]]:
        """The parameters as `DescribeStacks` lists them."""
        hidden = {name for name, given in (self.source.content.get("Parameters") or {}).items() if given.get("NoEcho")}
        return [
            {"ParameterKey": name, "ParameterValue": "****" if name in hidden else value}
            for name, value in self.stack_parameters.items()
        ]

    @property
    def output_list(self) -> list[dict[str, str]] | None:
        """The outputs as `DescribeStacks` lists them, which leaves an empty list out."""
        return self.outputs or None

    def scope(self, template: Template, parameters: dict[str, str]) -> Scope:
        """What the names in a template stand for, the stack's resources among them."""
        own = {
            "AWS::AccountId": self.account_id,
            "AWS::Region": self.region_name,
            "AWS::StackId": self.stack_id,
            "AWS::StackName": self.name,
            "AWS::URLSuffix": "amazonaws.com",
            "AWS::Partition": "aws",
        }
        scope = make_scope(template, own, parameters)
        scope.update(self.resources)
        return scope

    def turn(self, status: str, why: str = "") -> None:
        """Takes on a state, and says so in an event."""
        self.status, self.status_reason = status, why
        self._event(self.name, self.stack_id, "AWS::CloudFormation::Stack", status, why)

    def turn_resource(self, resource: Resource, status: str, why: str = "") -> None:
        """A resource takes on a state."""
        resource.resource_status, resource.resource_status_reason = status, why
        resource.timestamp = datetime.now(UTC)
        self._event(resource.logical_resource_id, resource.physical_resource_id, resource.cf_resource_type, status, why)

    def _event(self, logical_id: str, physical_id: str, kind: str, status: str, why: str) -> None:
        self.events.append(
            Event(
                stack_id=self.stack_id,
                stack_name=self.name,
                logical_resource_id=logical_id,
                physical_resource_id=physical_id,
                resource_type=kind,
                resource_status=status,
                resource_status_reason=why or None,
                resource_properties=None,
            )
        )


@dataclass(frozen=True)
class Wanted:
    """What a stack is to become.

    Attributes:
        template: Its template.
        parameters: The values of all parameters.
        tags: Tags of the stack, which all its resources get.
    """

    template: Template
    parameters: dict[str, str]
    tags: dict[str, str]


@dataclass(frozen=True)
class Step:
    """One resource that a change set adds, modifies or removes."""

    action: str
    logical_resource_id: str
    resource_type: str
    physical_resource_id: str = ""
    replacement: str | None = None


class Failed(Exception):
    """A resource could not be created, changed or deleted; its event says why."""


def unsupported(template: Template) -> list[str]:
    """The types in a template that are not emulated."""
    return sorted({definition["Type"] for definition in template.resources.values()} - TYPES.keys())


def plan(stack: Stack, wanted: Wanted) -> list[Step]:
    """What would have to be done, as far as it can be known before anything is."""
    scope = stack.scope(wanted.template, wanted.parameters)
    order = wanted.template.order(scope)
    # What the template calls a resource and does not exist is not known yet.
    scope.update({name: NotYetKnown() for name in order if name not in stack.resources})
    steps = []
    for logical_id in order:
        kind = wanted.template.resources[logical_id]["Type"]
        existing = stack.resources.get(logical_id)
        if existing is None:
            steps.append(Step("Add", logical_id, kind))
            continue
        properties = _properties(wanted, logical_id, scope)
        changed = _changed(existing.properties, properties)
        if not changed and kind == existing.cf_resource_type:
            continue
        replaced = kind != existing.cf_resource_type or not TYPES[kind].changes_in_place(changed)
        if replaced:
            scope[logical_id] = NotYetKnown()
        steps.append(Step("Modify", logical_id, kind, existing.physical_resource_id, str(replaced)))
    steps += [
        Step("Remove", name, resource.cf_resource_type, resource.physical_resource_id)
        for name, resource in stack.resources.items()
        if name not in order
    ]
    return steps


def _properties(wanted: Wanted, logical_id: str, scope: Scope) -> Properties:
    """The properties of a resource, evaluated, with the stack's tags beneath its own."""
    definition = wanted.template.resources[logical_id]
    properties: Properties = evaluate(definition.get("Properties", {}), scope)
    if TYPES[definition["Type"]].taggable:
        tags = {**wanted.tags, **{tag["Key"]: str(tag["Value"]) for tag in properties.get("Tags", [])}}
        if tags:
            properties["Tags"] = [{"Key": key, "Value": value} for key, value in tags.items()]
    return properties


def _changed(old: Properties, new: Properties) -> set[str]:
    return {name for name in old.keys() | new.keys() if old.get(name) != new.get(name)}


class Operation:
    """Carries out what is wanted of a stack.

    Args:
        stack: The stack.
        api: The services.
        faults: What is to fail.
    """

    def __init__(self, stack: Stack, api: Api, faults: Faults) -> None:
        self._stack, self._api, self._faults = stack, api, faults

    def create(self, wanted: Wanted) -> None:
        """Creates everything, or nothing."""
        stack = self._stack
        try:
            self._apply(wanted, [], [])
            stack.outputs = outputs_of(wanted.template, stack.scope(wanted.template, wanted.parameters))
        except Exception as error:  # noqa: BLE001 - whatever went wrong, the stack says so and does not stand still
            if stack.cancelled.is_set():
                return  # it is deleted next, and says that it is
            stack.turn("ROLLBACK_IN_PROGRESS", self._told(error))
            left = self._delete_all(list(stack.resources.values()))
            stack.resources = {resource.logical_resource_id: resource for resource in left}
            stack.turn("ROLLBACK_FAILED" if left else "ROLLBACK_COMPLETE")
            return
        if not stack.cancelled.is_set():
            stack.turn("CREATE_COMPLETE")

    def update(self, wanted: Wanted) -> None:
        """Changes everything that differs, or nothing."""
        stack = self._stack
        undo: list[Callable[[], None]] = []
        replaced: list[Resource] = []
        try:
            self._apply(wanted, undo, replaced)
            outputs = outputs_of(wanted.template, stack.scope(wanted.template, wanted.parameters))
        except Exception as error:  # noqa: BLE001 - as above
            stack.turn("UPDATE_ROLLBACK_IN_PROGRESS", self._told(error))
            try:
                for step in reversed(undo):
                    step()
            except Failed as again:
                stack.turn("UPDATE_ROLLBACK_FAILED", str(again))
            else:
                stack.turn("UPDATE_ROLLBACK_COMPLETE")
            return
        stack.turn("UPDATE_COMPLETE_CLEANUP_IN_PROGRESS")
        stack.source, stack.stack_parameters, stack.tags = wanted.template, wanted.parameters, wanted.tags
        stack.outputs, stack.last_updated_time = outputs, datetime.now(UTC)
        order = wanted.template.order(stack.scope(wanted.template, wanted.parameters))
        gone = [resource for name, resource in stack.resources.items() if name not in order]
        for resource in gone:
            del stack.resources[resource.logical_resource_id]
        # What cannot be cleaned up stays behind and is no longer the stack's, as on AWS.
        self._delete_all([*gone, *replaced])
        stack.turn("UPDATE_COMPLETE")

    def delete(self, retain: list[str]) -> bool:
        """Deletes everything but what is to be retained; answers whether nothing else is left."""
        stack = self._stack
        for name in retain:
            stack.resources.pop(name, None)
        left = self._delete_all(list(stack.resources.values()))
        stack.resources = {
            name: resource for name, resource in stack.resources.items() if any(resource is one for one in left)
        }
        if left:
            names = ", ".join(resource.logical_resource_id for resource in left)
            stack.turn("DELETE_FAILED", f"The following resource(s) failed to delete: [{names}]. ")
            return False
        stack.deletion_time = datetime.now(UTC)
        stack.turn("DELETE_COMPLETE")
        return True

    def _apply(self, wanted: Wanted, undo: list[Callable[[], None]], replaced: list[Resource]) -> None:
        """Creates and changes what differs; notes how each step is undone, and what it replaced.

        Raises:
            Failed: A resource refused.
        """
        stack = self._stack
        scope = stack.scope(wanted.template, wanted.parameters)
        for logical_id in wanted.template.order(scope):
            definition = wanted.template.resources[logical_id]
            existing = stack.resources.get(logical_id)
            if stack.cancelled.is_set():
                raise Failed("Resource creation cancelled")
            made = existing or Resource(logical_id, definition["Type"], "")
            try:
                properties = _properties(wanted, logical_id, scope)
                _check_properties(definition["Type"], properties)
            except (ValidationError, ResourceRefused) as error:
                self._fail(made, "CREATE" if existing is None else "UPDATE", str(error))
            retained = definition.get("DeletionPolicy") in ("Retain", "RetainExceptOnCreate")
            if existing is None:
                made = self._create(logical_id, definition["Type"], properties, retained=retained)
                undo.append(lambda made=made: self._undo_creation(made))  # type: ignore[misc]
            else:
                made = self._bring_to(existing, definition, properties, undo, replaced)
                made.retained = retained
            scope[logical_id] = made

    def _bring_to(
        self,
        existing: Resource,
        definition: Properties,
        properties: Properties,
        undo: list[Callable[[], None]],
        replaced: list[Resource],
    ) -> Resource:
        """Makes an existing resource what it is to be; another one takes its place when it cannot become so."""
        changed, kind = _changed(existing.properties, properties), definition["Type"]
        if not changed and kind == existing.cf_resource_type:
            return existing
        if kind == existing.cf_resource_type and TYPES[kind].changes_in_place(changed):
            before = existing.properties
            self._update(existing, properties)
            undo.append(lambda: self._update(existing, before))
            return existing
        logical_id = existing.logical_resource_id
        self._stack.turn_resource(
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
    ) -> Resource:
        resource = Resource(logical_id, kind, "", properties=properties, retained=retained)
        self._stack.turn_resource(resource, f"{verb}_IN_PROGRESS")

        def exists(physical_id: str) -> None:
            resource.physical_resource_id = physical_id

        request = Request(self._api, generated_name(self._stack.name, logical_id), properties, exists)
        try:
            made = self._call(resource, verb, lambda handler: handler.create(request))
        except Failed:
            if resource.physical_resource_id:
                resource.retained = False
                self._delete(resource)
            raise
        assert isinstance(made, Made)  # noqa: S101 - what creating answers
        resource.physical_resource_id, resource.attributes = made.physical_id, dict(made.attributes)
        self._stack.resources[logical_id] = resource
        self._stack.turn_resource(resource, f"{verb}_COMPLETE")
        return resource

    def _update(self, resource: Resource, properties: Properties) -> None:
        self._stack.turn_resource(resource, "UPDATE_IN_PROGRESS")
        change = Change(self._api, resource.physical_resource_id, resource.properties, properties)

        def change_in_place(handler: Handler) -> None:
            assert handler.update is not None  # noqa: S101 - it changes in place
            handler.update(change)

        self._call(resource, "UPDATE", change_in_place)
        resource.properties = properties
        self._stack.turn_resource(resource, "UPDATE_COMPLETE")

    def _undo_creation(self, resource: Resource) -> None:
        if self._delete_all([resource]):
            raise Failed(f"{resource.logical_resource_id}: {resource.resource_status_reason}")
        if self._stack.resources.get(resource.logical_resource_id) is resource:
            del self._stack.resources[resource.logical_resource_id]

    def _delete_all(self, resources: list[Resource]) -> list[Resource]:
        """Deletes in reverse order, and again for as long as that helps; answers what is left."""
        left = list(reversed(resources))
        while True:
            still = [resource for resource in left if not self._delete(resource)]
            if not still or len(still) == len(left):
                return still
            left = still

    def _delete(self, resource: Resource) -> bool:
        if resource.retained:
            self._stack.turn_resource(resource, "DELETE_SKIPPED")
            return True
        self._stack.turn_resource(resource, "DELETE_IN_PROGRESS")
        try:
            self._call(
                resource,
                "DELETE",
                lambda handler: handler.delete(self._api, resource.physical_resource_id, resource.properties),
            )
        except Failed:
            return False
        self._stack.turn_resource(resource, "DELETE_COMPLETE")
        return True

    def _call(self, resource: Resource, verb: str, call: Callable[[Handler], Any]) -> Any:  # noqa: ANN401
        """Calls a resource's handler.

        Raises:
            Failed: It refuses, or is to fail.
        """
        self._faults.take_time()
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

    def _fail(self, resource: Resource, verb: str, why: str) -> None:
        """Raises `Failed`; what already exists keeps its state in the stack."""
        self._stack.turn_resource(resource, f"{verb}_FAILED", why)
        raise Failed(f"The following resource(s) failed to {verb.lower()}: [{resource.logical_resource_id}]. ")

    @staticmethod
    def _told(error: Exception) -> str:
        if not isinstance(error, Failed):
            logger.error("an operation failed", exc_info=error)
        return str(error)


def _check_properties(kind: str, properties: Properties) -> None:
    handler = TYPES[kind]
    known = handler.properties | ({"Tags"} if handler.taggable else set())
    if unknown := sorted(properties.keys() - known):
        raise ResourceRefused(f"Encountered unsupported property {', '.join(unknown)} (of {kind}, in this emulation)")


def _is_gone_already(error: ClientError) -> bool:
    """Whether a deletion failed because somebody else was quicker: for CloudFormation that is success."""
    code = error.response["Error"]["Code"]
    return code.endswith((".NotFound", "NotFound", "NotFoundException", "NotFoundFault")) or code in {
        "NoSuchBucket",
        "NoSuchEntity",
        "AWS.SimpleQueueService.NonExistentQueue",
    }

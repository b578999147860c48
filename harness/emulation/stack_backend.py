"""The CloudFormation stacks and change sets of one account, in the place of moto's own records.

We wrote this engine because moto's reports unknown types as created and has no rollback and no events (decision 12).
Calls return at once and the work continues in a thread: until it ends, the stack's status is `..._IN_PROGRESS`.
https://docs.aws.amazon.com/AWSCloudFormation/latest/APIReference/API_Operations.html
"""

import threading
from collections.abc import Callable, Iterator
from typing import Any

from moto.cloudformation import models, urls
from moto.cloudformation.exceptions import AlreadyExistsException, ValidationError
from moto.cloudformation.utils import generate_changeset_id, generate_stack_id, validate_create_change_set
from moto.core.resource_tagging import TaggedResource

from harness.emulation.faults import FAULTS
from harness.emulation.operation import StackOperation
from harness.emulation.plan import DesiredStack, plan, unsupported
from harness.emulation.resources.base import Api
from harness.emulation.stack import Stack, StackResource
from harness.emulation.template import (
    Template,
    check_rules,
    make_scope,
    outputs_of,
    parameter_values,
    read_template,
)

NO_CHANGES = "The submitted information didn't contain changes. Submit different information to create a change set."
# https://docs.aws.amazon.com/AWSCloudFormation/latest/UserGuide/view-stack-events.html
_UPDATABLE = {
    "CREATE_COMPLETE",
    "UPDATE_COMPLETE",
    "UPDATE_ROLLBACK_COMPLETE",
    "IMPORT_COMPLETE",
}


class EmulatedChangeSet:
    """One change set, with the attributes by which moto's answers show it."""

    def __init__(self, name: str, identity: str, kind: str, stack: Stack, wanted: DesiredStack) -> None:
        self.change_set_name, self.change_set_id, self.change_set_type = name, identity, kind
        self.stack_id, self.stack_name = stack.stack_id, stack.name
        self.wanted = wanted
        self.parameters, self.tags = wanted.parameters, wanted.tags
        self.description = ""
        self.creation_time = stack.creation_time
        self.changes = plan(stack, wanted)
        changed = kind == "CREATE" or self.changes or _describes_otherwise(stack, wanted)
        self.status = "CREATE_COMPLETE" if changed else "FAILED"
        self.execution_status = "AVAILABLE" if changed else "UNAVAILABLE"
        self.status_reason = None if changed else NO_CHANGES


def _describes_otherwise(stack: Stack, wanted: DesiredStack) -> bool:
    """Return whether the stack's own tags or outputs would change, even if no resource does."""
    if stack.tags != wanted.tags:
        return True
    scope = stack.scope(wanted.template, wanted.parameters)
    return stack.outputs != outputs_of(wanted.template, scope)


class StackBackend(models.CloudFormationBackend):
    """The stacks of one account in one region."""

    SERVICE_NAMESPACE = "cloudformation"
    endpoint = ""

    # moto's own records of the same names hold moto's own classes.
    stacks: dict[str, Stack]  # type: ignore[assignment]
    deleted_stacks: dict[str, Stack]  # type: ignore[assignment]
    change_sets: dict[str, EmulatedChangeSet]  # type: ignore[assignment]

    @property
    def _url_module(self) -> Any:  # noqa: ANN401 - moto's; it would look for one beside this module
        return urls

    def create_stack(  # type: ignore[override]
        self,
        name: str,
        template: str,
        parameters: dict[str, str],
        notification_arns: list[str] | None = None,
        tags: dict[str, str] | None = None,
        role_arn: str | None = None,
        **_others: Any,  # noqa: ANN401 - options without an effect here
    ) -> Stack:
        """CreateStack."""
        if self._named(name) is not None:
            raise AlreadyExistsException(f"Stack [{name}] already exists")
        wanted = self._wanted(template, parameters, tags)
        stack = self._new_stack(name)
        stack.role_arn, stack.notification_arns = role_arn, notification_arns or []
        self._start(stack, "CREATE", wanted)
        return stack

    def update_stack(  # type: ignore[override]
        self,
        name: str,
        template: str,
        role_arn: str | None,
        parameters: list[dict[str, Any]],
        tags: dict[str, str] | None,
    ) -> Stack:
        """UpdateStack."""
        stack = self.get_stack(name)
        _check_updatable(stack)
        values = {
            given["ParameterKey"]: stack.stack_parameters[given["ParameterKey"]]
            if given.get("UsePreviousValue")
            else given["ParameterValue"]
            for given in parameters
        }
        wanted = self._wanted(template, values, stack.tags if tags is None else tags)
        if not plan(stack, wanted) and not _describes_otherwise(stack, wanted):
            raise ValidationError(message="No updates are to be performed.")
        stack.role_arn = role_arn
        self._start(stack, "UPDATE", wanted)
        return stack

    def create_change_set(  # type: ignore[override]
        self,
        stack_name: str,
        change_set_name: str,
        template: str,
        parameters: dict[str, str],
        description: str,
        change_set_type: str,
        tags: dict[str, str] | None = None,
        **_others: Any,  # noqa: ANN401 - options without an effect here
    ) -> tuple[str, str]:
        """CreateChangeSet."""
        validate_create_change_set(change_set_name)
        stack = self._named(stack_name)
        if change_set_type == "UPDATE":
            if stack is None:
                raise ValidationError(message=f"Stack [{stack_name}] does not exist")
            _check_updatable(stack)
        elif stack is not None and stack.status != "REVIEW_IN_PROGRESS":
            raise ValidationError(
                message=f"Stack [{stack_name}] already exists and cannot be created again with the changeSet "
                f"[{change_set_name}]."
            )
        if any(
            other.stack_name == stack_name and other.change_set_name == change_set_name
            for other in self.change_sets.values()
        ):
            raise AlreadyExistsException(
                f"ChangeSet {change_set_name} cannot be created due to a mismatch with existing attribute Template"
            )
        wanted = self._wanted(template, parameters, tags)
        if stack is None:
            stack = self._new_stack(stack_name)
            stack.set_status("REVIEW_IN_PROGRESS", "User Initiated")
        identity = generate_changeset_id(change_set_name, self.region_name, self.account_id)
        change_set = EmulatedChangeSet(change_set_name, identity, change_set_type, stack, wanted)
        change_set.description = description
        self.change_sets[identity] = change_set
        return identity, stack.stack_id

    def execute_change_set(self, change_set_name: str, stack_name: str | None = None) -> None:
        """ExecuteChangeSet."""
        change_set = self.find_change_set(change_set_name, stack_name)
        if change_set.execution_status != "AVAILABLE":
            raise ValidationError(
                message=f"ChangeSet [{change_set.change_set_id}] cannot be executed in its current execution status "
                f"of [{change_set.execution_status}]"
            )
        stack = self.stacks[change_set.stack_id]
        if change_set.change_set_type == "UPDATE":
            _check_updatable(stack)
        change_set.execution_status = "EXECUTE_COMPLETE"
        # The other change sets were planned for the stack's previous state.
        for identity, other in list(self.change_sets.items()):
            if other.stack_id == stack.stack_id:
                del self.change_sets[identity]
        self._start(stack, change_set.change_set_type, change_set.wanted)

    def find_change_set(self, name: str, stack_name: str | None) -> EmulatedChangeSet:
        """Return the change set with that name or ARN.

        Raises:
            ValidationError: There is none.
        """
        if name in self.change_sets:
            return self.change_sets[name]
        for change_set in self.change_sets.values():
            if change_set.change_set_name == name and stack_name in (
                None,
                change_set.stack_name,
                change_set.stack_id,
            ):
                return change_set
        raise ChangeSetNotFound(f"ChangeSet [{name}] does not exist")

    def remove_change_set(self, name: str, stack_name: str | None) -> None:
        """DeleteChangeSet; as on AWS, a missing one is ignored."""
        try:
            change_set = self.find_change_set(name, stack_name)
        except ChangeSetNotFound:
            return
        del self.change_sets[change_set.change_set_id]

    def remove_stack(self, name_or_id: str, retain: list[str]) -> None:
        """DeleteStack: cancel a creation in progress; as on AWS, a missing stack is ignored."""
        stack = self.stacks.get(name_or_id) or self._named(name_or_id)
        if stack is None or stack.status == "DELETE_IN_PROGRESS":
            return
        if stack.status.endswith("_IN_PROGRESS") and stack.status not in ("REVIEW_IN_PROGRESS", "CREATE_IN_PROGRESS"):
            raise ValidationError(message=f"Stack [{stack.stack_id}] cannot be deleted while in status {stack.status}")
        if stack.enable_termination_protection:
            raise ValidationError(
                message=f"Stack [{stack.name}] cannot be deleted while TerminationProtection is enabled"
            )
        creation = stack.work
        stack.cancelled.set()
        stack.set_status("DELETE_IN_PROGRESS", "User Initiated")

        def delete() -> None:
            if creation is not None:
                creation.join()
            if self._operation(stack).delete(retain):
                del self.stacks[stack.stack_id]
                self.deleted_stacks[stack.stack_id] = stack
                for identity, change_set in list(self.change_sets.items()):
                    if change_set.stack_id == stack.stack_id:
                        del self.change_sets[identity]

        _in_background(delete, stack)

    def delete_stack(self, name_or_stack_id: str) -> None:
        """DeleteStack, as moto itself calls it."""
        self.remove_stack(name_or_stack_id, [])

    def describe_stack_resource(  # type: ignore[override]
        self, stack_name: str, logical_resource_id: str
    ) -> tuple[Stack, StackResource]:
        """DescribeStackResource."""
        stack = self.get_stack(stack_name)
        if logical_resource_id not in stack.resources:
            message = f"Resource {logical_resource_id} does not exist for stack {stack_name}"
            raise ValidationError(stack_name, message)
        return stack, stack.resources[logical_resource_id]

    def describe_stack_resources(  # type: ignore[override]
        self, stack_name: str, logical_resource_id: str | None = None
    ) -> tuple[Stack, list[StackResource]]:
        """DescribeStackResources."""
        stack = self.get_stack(stack_name)
        return stack, [resource for name, resource in stack.resources.items() if logical_resource_id in (None, name)]

    def get_stack(self, name_or_stack_id: str) -> Stack:  # type: ignore[override]
        """Return the stack with that name or ID; the ID finds deleted stacks, too."""
        stack = (
            self.stacks.get(name_or_stack_id)
            or self.deleted_stacks.get(name_or_stack_id)
            or self._named(name_or_stack_id)
        )
        if stack is None:
            raise ValidationError(name_or_stack_id)
        return stack

    def iter_tagged_resources(self) -> Iterator[TaggedResource]:
        """Return the stacks for the Resource Groups Tagging API."""
        for stack in list(self.stacks.values()):
            yield TaggedResource(arn=stack.stack_id, tags=dict(stack.tags), resource_type="cloudformation:stack")

    def _named(self, name: str) -> Stack | None:
        return next((stack for stack in self.stacks.values() if stack.name == name), None)

    def _new_stack(self, name: str) -> Stack:
        identity = generate_stack_id(name, self.region_name, self.account_id)
        stack = Stack(identity, name, self.account_id, self.region_name)
        self.stacks[identity] = stack
        return stack

    def _wanted(self, body: str, parameters: dict[str, str], tags: dict[str, str] | None) -> DesiredStack:
        template: Template = read_template(body)
        types = unsupported(template)
        if types:
            raise ValidationError(
                message=f"Template format error: Unrecognized resource types: [{', '.join(types)}] "
                "(this emulation does not have them)"
            )
        values = parameter_values(template, parameters)
        own = {"AWS::Region": self.region_name, "AWS::AccountId": self.account_id, "AWS::Partition": "aws"}
        check_rules(template, make_scope(template, own, values))
        return DesiredStack(template, values, tags or {})

    def _operation(self, stack: Stack) -> StackOperation:
        return StackOperation(stack, Api(self.endpoint, self.account_id, self.region_name), FAULTS)

    def _start(self, stack: Stack, kind: str, wanted: DesiredStack) -> None:
        stack.set_status(f"{kind}_IN_PROGRESS", "User Initiated")
        operation = self._operation(stack)
        if kind == "CREATE":
            stack.source, stack.stack_parameters, stack.tags = wanted.template, wanted.parameters, wanted.tags
            _in_background(lambda: operation.create(wanted), stack)
        else:
            _in_background(lambda: operation.update(wanted), stack)


class ChangeSetNotFound(ValidationError):
    """There is no such change set."""

    code = "ChangeSetNotFound"

    def __init__(self, message: str) -> None:
        super().__init__(message=message)


def _in_background(work: Callable[[], None], stack: Stack) -> None:
    stack.work = threading.Thread(target=work, name=f"stack {stack.name}", daemon=True)
    stack.work.start()


def _check_updatable(stack: Stack) -> None:
    if stack.status not in _UPDATABLE:
        raise ValidationError(message=f"Stack:{stack.stack_id} is in {stack.status} state and can not be updated.")

"""The CloudFormation stack: read it, change it by change sets, delete it, and log its events as they happen.

    (none) -- CREATE --> CREATE_COMPLETE -- UPDATE --> UPDATE_COMPLETE -- delete --> (none)
                |                             |                             |
                v                             v                             v
        ROLLBACK_COMPLETE          UPDATE_ROLLBACK_COMPLETE           DELETE_FAILED
        deleted, then re-created   as it was before; updatable        deleted again

If an operation is in progress when a command starts, the command waits for it first.
https://docs.aws.amazon.com/AWSCloudFormation/latest/UserGuide/view-stack-events.html
"""

import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from botocore.exceptions import ClientError

from harness.aws.errors import code_of_error
from harness.deploy.target import Client
from harness.errors import HarnessError

Log = Callable[[str], None]

# A cache cluster takes five to ten minutes.
SETTLED_WITHIN_S = 3600.0
_CHANGE_SET_WITHIN_S = 300.0
_FIRST_POLL_S, _LONGEST_POLL_S = 0.1, 4.0
# A change set was created but not executed, so the stack has no resources yet.
REVIEW = "REVIEW_IN_PROGRESS"
# A stack in one of these states is useless: it is deleted and created again.
_STILLBORN = {"ROLLBACK_COMPLETE", "ROLLBACK_FAILED", "CREATE_FAILED"}
_UPDATABLE = {"CREATE_COMPLETE", "UPDATE_COMPLETE", "UPDATE_ROLLBACK_COMPLETE", "IMPORT_COMPLETE"}
# The failure reasons of a change set without changes.
_NO_CHANGES = ("didn't contain changes", "No updates are to be performed")
# Everything is as the update wants it, and what it replaced is being deleted.
CLEANUP = "UPDATE_COMPLETE_CLEANUP_IN_PROGRESS"
# Marks resources that were cancelled because another one failed; the other one has the cause.
_FOLLOW_UP = "cancelled"


@dataclass(frozen=True)
class StackInfo:
    """A stack as CloudFormation describes it."""

    id: str
    name: str
    status: str
    reason: str = ""
    outputs: Mapping[str, str] = field(default_factory=dict)
    parameters: Mapping[str, str] = field(default_factory=dict)

    @property
    def in_progress(self) -> bool:
        """Whether CloudFormation is changing it."""
        return self.status.endswith("_IN_PROGRESS") and self.status != REVIEW

    @property
    def stands(self) -> bool:
        """Whether its resources exist and it can be updated."""
        return self.status in _UPDATABLE

    @property
    def usable(self) -> bool:
        """Whether its resources exist; those that they replaced may still be there."""
        return self.stands or self.status == CLEANUP

    @property
    def stillborn(self) -> bool:
        """Whether its creation never completed."""
        return self.status in _STILLBORN


@dataclass(frozen=True)
class ResourceChange:
    """The effect of a change set on one resource.

    Attributes:
        logical_id: Its name in the template.
        type: Its type.
        action: `create`, `update`, `replace` or `remove`.
    """

    logical_id: str
    type: str
    action: str


@dataclass(frozen=True)
class ChangeSet:
    """The changes that a template would make; nothing changes before it is executed."""

    id: str
    stack_id: str
    changes: tuple[ResourceChange, ...]


def read_stack(cfn: Client, name: str) -> StackInfo | None:
    """Return the stack of that name or ID, or None."""
    try:
        (found,) = cfn.describe_stacks(StackName=name)["Stacks"]
    except ClientError as error:
        if code_of_error(error) == "ValidationError" and "does not exist" in str(error):
            return None
        raise
    return StackInfo(
        id=found["StackId"],
        name=found["StackName"],
        status=found["StackStatus"],
        reason=found.get("StackStatusReason", ""),
        outputs={output["OutputKey"]: output["OutputValue"] for output in found.get("Outputs", [])},
        parameters={given["ParameterKey"]: given["ParameterValue"] for given in found.get("Parameters", [])},
    )


def settled(cfn: Client, name: str, log: Log) -> StackInfo | None:
    """Wait until no operation on the stack is in progress; return the stack, or None.

    Raises:
        HarnessError: The operation takes too long.
    """
    stack = read_stack(cfn, name)
    if stack is None or not stack.in_progress:
        return stack
    log(f"the stack {stack.name} is {stack.status}: waiting")
    tail = EventTail(cfn, stack.id)
    # The last event may have occurred before the tail began.
    stack = read_stack(cfn, stack.id)
    if stack is not None and stack.in_progress:
        follow(cfn, stack, tail, log)
    return read_stack(cfn, name)


def clear(cfn: Client, stack: StackInfo, log: Log) -> StackInfo | None:
    """Bring a stack into a state from which it can be created or updated.

    Returns:
        The stack; None if its creation had never completed and it was deleted.

    Raises:
        HarnessError: The stack is in a state that requires the user's decision.
    """
    if stack.stands or stack.status == REVIEW:
        return stack
    if stack.stillborn:
        log(f"the stack {stack.name} is {stack.status}, left by an earlier attempt: deleting it")
        delete(cfn, stack, log)
        return None
    if stack.status == "UPDATE_ROLLBACK_FAILED":
        log(f"the stack {stack.name} is {stack.status}: continuing the rollback")
        tail = EventTail(cfn, stack.id)
        cfn.continue_update_rollback(StackName=stack.id)
        after = follow(cfn, stack, tail, log)
        if after.stands:
            return after
        raise _failure(after, tail)
    if stack.status == "DELETE_FAILED":
        raise HarnessError(
            f"the stack {stack.name} is partly deleted: {stack.status}",
            stack.reason,
            "finish with `harness destroy --empty`, which deletes the rest, including data; then deploy",
        )
    raise HarnessError(
        f"the stack {stack.name} is {stack.status}", stack.reason, "repair it in CloudFormation's console, then deploy"
    )


def propose(
    cfn: Client,
    name: str,
    stack: StackInfo | None,
    body: str,
    parameters: Mapping[str, str],
    tags: Mapping[str, str],
) -> ChangeSet | None:
    """Create a change set for a template.

    Args:
        cfn: A CloudFormation client.
        name: The stack's name.
        stack: The current stack; None for a new one.
        body: The template.
        parameters: All of the template's parameters.
        tags: The tags of the stack and its resources.

    Returns:
        The change set; None if nothing would change.

    Raises:
        HarnessError: CloudFormation refuses the template.
    """
    new = stack is None or stack.status == REVIEW
    change_set = cfn.create_change_set(
        StackName=name,
        ChangeSetName=f"harness-{uuid.uuid4().hex[:12]}",
        ChangeSetType="CREATE" if new else "UPDATE",
        TemplateBody=body,
        Parameters=[{"ParameterKey": key, "ParameterValue": value} for key, value in parameters.items()],
        Tags=[{"Key": key, "Value": value} for key, value in tags.items()],
        Capabilities=["CAPABILITY_IAM", "CAPABILITY_NAMED_IAM"],
    )
    identity, stack_id = change_set["Id"], change_set["StackId"]
    described = _await_change_set(cfn, identity, stack_id)
    if described["Status"] == "CREATE_COMPLETE":
        return ChangeSet(identity, stack_id, tuple(_changes(cfn, identity, stack_id)))
    cfn.delete_change_set(ChangeSetName=identity, StackName=stack_id)
    reason = str(described.get("StatusReason", ""))
    if any(words in reason for words in _NO_CHANGES):
        return None
    raise HarnessError(f"CloudFormation refuses the changes to the stack {name}", reason, "correct the template")


def withdraw(cfn: Client, change_set: ChangeSet) -> None:
    """Delete a change set, and the stack if it exists only for this change set."""
    cfn.delete_change_set(ChangeSetName=change_set.id, StackName=change_set.stack_id)
    stack = read_stack(cfn, change_set.stack_id)
    if stack is None or stack.status != REVIEW:
        return
    others = cfn.get_paginator("list_change_sets").paginate(StackName=stack.id)
    if not any(page["Summaries"] for page in others):  # otherwise another command is about to create the stack
        cfn.delete_stack(StackName=stack.id)


def execute(cfn: Client, change_set: ChangeSet, log: Log, *, cleanup: bool = True) -> StackInfo:
    """Execute a change set, and log the events; with `cleanup`, wait until replaced resources are deleted.

    Raises:
        HarnessError: It failed and was rolled back; the message names the resource and AWS's reason.
    """
    tail = EventTail(cfn, change_set.stack_id)
    cfn.execute_change_set(ChangeSetName=change_set.id, StackName=change_set.stack_id)
    stack = read_stack(cfn, change_set.stack_id)
    assert stack is not None  # noqa: S101 - by its ID, it is found for 90 days
    after = follow(cfn, stack, tail, log, cleanup=cleanup)
    if after.status not in {"CREATE_COMPLETE", "UPDATE_COMPLETE", CLEANUP}:
        raise _failure(after, tail)
    return after


def delete(cfn: Client, stack: StackInfo, log: Log) -> None:
    """Delete the stack and wait until it is gone.

    Raises:
        StackNotDeleted: A resource could not be deleted.
    """
    tail = EventTail(cfn, stack.id)
    cfn.delete_stack(StackName=stack.id)
    after = follow(cfn, stack, tail, log)
    if after.status != "DELETE_COMPLETE":
        raise StackNotDeleted(after, tail)


class StackNotDeleted(HarnessError):
    """A resource of the stack could not be deleted.

    Attributes:
        failures: The reasons, by the resources' logical IDs.
    """

    def __init__(self, stack: StackInfo, tail: "EventTail") -> None:
        self.failures = {event["LogicalResourceId"]: _reason(event) for event in tail.failed()}
        first = next(iter(self.failures.items()), (stack.name, stack.reason or stack.status))
        super().__init__(
            f"{first[0]} cannot be deleted: {first[1]}",
            f"the stack {stack.name} is {stack.status}",
            "fix the cause, and run `harness destroy` again; it resumes",
        )


class EventTail:
    """The events of a stack from now on, each returned once.

    Args:
        cfn: A CloudFormation client.
        stack_id: The ID of the stack, which stays valid when the stack is deleted.
    """

    def __init__(self, cfn: Client, stack_id: str) -> None:
        self._cfn, self._stack_id = cfn, stack_id
        self._seen: set[str] = set()
        self._events: list[dict[str, Any]] = []
        self.new()
        self._events.clear()

    def new(self) -> list[dict[str, Any]]:
        """Return the events since the last call, oldest first."""
        found: list[dict[str, Any]] = []
        for event in self._newest_first():
            if event["EventId"] in self._seen:
                break
            found.append(event)
        found.reverse()
        self._seen.update(event["EventId"] for event in found)
        self._events += found
        return found

    def failed(self) -> list[dict[str, Any]]:
        """Return the resources' failures so far, oldest first, without those that followed from another failure."""
        return [
            event
            for event in self._events
            if event["ResourceStatus"].endswith("_FAILED")
            and event["LogicalResourceId"] != event["StackName"]
            and _FOLLOW_UP not in _reason(event)
        ]

    @property
    def ended(self) -> bool:
        """Whether the last event of the stack itself ends its operation."""
        own = [event for event in self._events if event["PhysicalResourceId"] == event["StackId"]]
        return bool(own) and not own[-1]["ResourceStatus"].endswith("_IN_PROGRESS")

    def _newest_first(self) -> Iterator[dict[str, Any]]:
        pages = self._cfn.get_paginator("describe_stack_events").paginate(StackName=self._stack_id)
        for page in pages:
            yield from page["StackEvents"]


def follow(cfn: Client, stack: StackInfo, tail: EventTail, log: Log, *, cleanup: bool = True) -> StackInfo:
    """Wait until the operation on a stack has ended, or without `cleanup` only its last part; log its events.

    The status alone is not enough: just after the request it may still be the old one.

    Raises:
        HarnessError: The operation takes too long.
    """
    deadline, delay = time.monotonic() + SETTLED_WITHIN_S, _FIRST_POLL_S
    while True:
        now = read_stack(cfn, stack.id)
        assert now is not None  # noqa: S101 - by its ID, it is found for 90 days
        news = tail.new()
        for event in news:
            log(_line(event))
        if (tail.ended and not now.in_progress) or (now.status == CLEANUP and not cleanup):
            return now
        if time.monotonic() > deadline:
            raise HarnessError(
                f"the stack {stack.name} is still {now.status} after {SETTLED_WITHIN_S / 60:.0f} min",
                remedy="run the command again: it continues to wait",
            )
        delay = _FIRST_POLL_S if news else min(1.5 * delay, _LONGEST_POLL_S)
        time.sleep(delay)


def _await_change_set(cfn: Client, identity: str, stack_id: str) -> dict[str, Any]:
    deadline, delay = time.monotonic() + _CHANGE_SET_WITHIN_S, _FIRST_POLL_S
    while True:
        described: dict[str, Any] = cfn.describe_change_set(ChangeSetName=identity, StackName=stack_id)
        if described["Status"] not in {"CREATE_PENDING", "CREATE_IN_PROGRESS"}:
            return described
        if time.monotonic() > deadline:
            raise HarnessError(f"CloudFormation is still creating the change set after {_CHANGE_SET_WITHIN_S:.0f} s")
        time.sleep(delay)
        delay = min(1.5 * delay, _LONGEST_POLL_S)


def _changes(cfn: Client, identity: str, stack_id: str) -> Iterator[ResourceChange]:
    pages = cfn.get_paginator("describe_change_set").paginate(ChangeSetName=identity, StackName=stack_id)
    for page in pages:
        for change in page.get("Changes", []):
            resource = change["ResourceChange"]
            action = {"Add": "create", "Modify": "update", "Remove": "remove"}.get(resource["Action"], "update")
            if action == "update" and resource.get("Replacement") == "True":
                action = "replace"
            yield ResourceChange(resource["LogicalResourceId"], resource["ResourceType"], action)


def _line(event: Mapping[str, Any]) -> str:
    reason = _reason(event)
    told = f"  {reason}" if reason and event["ResourceStatus"].endswith("_FAILED") else ""
    return f"{event['ResourceStatus']:<20} {event['LogicalResourceId']}  {event['ResourceType']}{told}"


def _reason(event: Mapping[str, Any]) -> str:
    return " ".join(str(event.get("ResourceStatusReason", "")).split())


def _failure(stack: StackInfo, tail: EventTail) -> HarnessError:
    failed = tail.failed()
    where = f"the stack {stack.name} is {stack.status}"
    if not failed:
        return HarnessError(
            f"the stack {stack.name} is {stack.status}", stack.reason, "see its events, then deploy again"
        )
    event = failed[0]
    verb = event["ResourceStatus"].partition("_")[0].lower()
    what = f"{event['LogicalResourceId']} ({event['ResourceType']}) cannot be {verb}d: {_reason(event)}"
    undone = (
        "the rollback failed for some resources, which are removed first"
        if stack.status.endswith("ROLLBACK_FAILED")
        else "the changes were rolled back"
    )
    return HarnessError(what, where, f"fix the cause, and run the command again; {undone}")

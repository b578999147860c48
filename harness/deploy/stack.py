"""The CloudFormation stack: read, changed by change sets, deleted, its events told as they happen.

    (none) -- CREATE --> CREATE_COMPLETE -- UPDATE --> UPDATE_COMPLETE -- delete --> (none)
                |                             |                             |
                v                             v                             v
        ROLLBACK_COMPLETE          UPDATE_ROLLBACK_COMPLETE           DELETE_FAILED
        deleted, then made anew    as it was before; updatable        deleted again

Whatever is in progress when a command starts, its own or another's, is waited for first.
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
# A change set waits to be executed, and nothing was made yet.
REVIEW = "REVIEW_IN_PROGRESS"
# Nothing of them is of use: they are deleted, and the stack is made anew.
_STILLBORN = {"ROLLBACK_COMPLETE", "ROLLBACK_FAILED", "CREATE_FAILED"}
_UPDATABLE = {"CREATE_COMPLETE", "UPDATE_COMPLETE", "UPDATE_ROLLBACK_COMPLETE", "IMPORT_COMPLETE"}
# What a change set that changes nothing fails with.
_NO_CHANGES = ("didn't contain changes", "No updates are to be performed")
# Resources that were told to stop because another one had failed; that one's reason is the cause.
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
        """Whether CloudFormation is at work on it."""
        return self.status.endswith("_IN_PROGRESS") and self.status != REVIEW

    @property
    def stands(self) -> bool:
        """Whether its resources are there, as they should be."""
        return self.status in _UPDATABLE

    @property
    def stillborn(self) -> bool:
        """Whether it was never made to the end."""
        return self.status in _STILLBORN


@dataclass(frozen=True)
class ResourceChange:
    """What a change set would do to one resource.

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
    """What a template would change; nothing is changed before it is executed."""

    id: str
    stack_id: str
    changes: tuple[ResourceChange, ...]


def read_stack(cfn: Client, name: str) -> StackInfo | None:
    """The stack of that name or ID; None when there is none."""
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
    """The stack when CloudFormation is no longer at work on it; None when there is none.

    Raises:
        HarnessError: It is at work for too long.
    """
    stack = read_stack(cfn, name)
    if stack is None or not stack.in_progress:
        return stack
    log(f"the stack {stack.name} is {stack.status}: waiting")
    tail = EventTail(cfn, stack.id)
    # Its last event may have come before the tail began.
    stack = read_stack(cfn, stack.id)
    if stack is not None and stack.in_progress:
        follow(cfn, stack, tail, log)
    return read_stack(cfn, name)


def clear(cfn: Client, stack: StackInfo, log: Log) -> StackInfo | None:
    """Brings a stack into a state from which it can be created or updated.

    Returns:
        The stack; None when it had never been made to the end, and is gone now.

    Raises:
        HarnessError: It is in a state that takes a decision.
    """
    if stack.stands or stack.status == REVIEW:
        return stack
    if stack.stillborn:
        log(f"the stack {stack.name} is {stack.status}, left by an earlier try: deleting it")
        delete(cfn, stack, log)
        return None
    if stack.status == "UPDATE_ROLLBACK_FAILED":
        log(f"the stack {stack.name} is {stack.status}: going on with the rollback")
        tail = EventTail(cfn, stack.id)
        cfn.continue_update_rollback(StackName=stack.id)
        after = follow(cfn, stack, tail, log)
        if after.stands:
            return after
        raise _failure(after, tail)
    if stack.status == "DELETE_FAILED":
        raise HarnessError(
            f"the stack {stack.name} is half removed: {stack.status}",
            stack.reason,
            "finish that with `harness destroy --empty`, which deletes what it still holds, data too; then deploy",
        )
    raise HarnessError(
        f"the stack {stack.name} is {stack.status}", stack.reason, "see to it in CloudFormation's console, then deploy"
    )


def propose(
    cfn: Client,
    name: str,
    stack: StackInfo | None,
    body: str,
    parameters: Mapping[str, str],
    tags: Mapping[str, str],
) -> ChangeSet | None:
    """Asks CloudFormation what a template would change.

    Args:
        cfn: A client.
        name: The stack's name.
        stack: The stack as it is; None for a new one.
        body: The template.
        parameters: All of its parameters.
        tags: The stack's, which its resources get, too.

    Returns:
        None when nothing would change.

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
    raise HarnessError(f"CloudFormation refuses the changes to the stack {name}", reason, "mend the template")


def withdraw(cfn: Client, change_set: ChangeSet) -> None:
    """Deletes a change set, and the stack that exists only for its sake."""
    cfn.delete_change_set(ChangeSetName=change_set.id, StackName=change_set.stack_id)
    stack = read_stack(cfn, change_set.stack_id)
    if stack is None or stack.status != REVIEW:
        return
    others = cfn.get_paginator("list_change_sets").paginate(StackName=stack.id)
    if not any(page["Summaries"] for page in others):  # else somebody else is about to make it
        cfn.delete_stack(StackName=stack.id)


def execute(cfn: Client, change_set: ChangeSet, log: Log) -> StackInfo:
    """Carries a change set out, and tells the events meanwhile.

    Raises:
        HarnessError: It failed and was rolled back; the resource and AWS's reason are named.
    """
    tail = EventTail(cfn, change_set.stack_id)
    cfn.execute_change_set(ChangeSetName=change_set.id, StackName=change_set.stack_id)
    stack = read_stack(cfn, change_set.stack_id)
    assert stack is not None  # noqa: S101 - by its ID, it is found for 90 days
    after = follow(cfn, stack, tail, log)
    if after.status not in {"CREATE_COMPLETE", "UPDATE_COMPLETE"}:
        raise _failure(after, tail)
    return after


def delete(cfn: Client, stack: StackInfo, log: Log) -> None:
    """Deletes the stack and waits until it is gone.

    Raises:
        StackNotDeleted: Something in it could not be deleted.
    """
    tail = EventTail(cfn, stack.id)
    cfn.delete_stack(StackName=stack.id)
    after = follow(cfn, stack, tail, log)
    if after.status != "DELETE_COMPLETE":
        raise StackNotDeleted(after, tail)


class StackNotDeleted(HarnessError):
    """A resource of the stack could not be deleted.

    Attributes:
        failures: The reason by the resource's logical ID.
    """

    def __init__(self, stack: StackInfo, tail: "EventTail") -> None:
        self.failures = {event["LogicalResourceId"]: _reason(event) for event in tail.failed()}
        first = next(iter(self.failures.items()), (stack.name, stack.reason or stack.status))
        super().__init__(
            f"{first[0]} cannot be deleted: {first[1]}",
            f"the stack {stack.name} is {stack.status}",
            "mend that, and run `harness destroy` again; it goes on where it was",
        )


class EventTail:
    """The events of a stack, each once, from now on.

    Args:
        cfn: A client.
        stack_id: The stack, which may be deleted meanwhile.
    """

    def __init__(self, cfn: Client, stack_id: str) -> None:
        self._cfn, self._stack_id = cfn, stack_id
        self._seen: set[str] = set()
        self._events: list[dict[str, Any]] = []
        self.new()
        self._events.clear()

    def new(self) -> list[dict[str, Any]]:
        """Those since the last call, oldest first."""
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
        """The resources' failures so far that are not the consequence of another one, oldest first."""
        return [
            event
            for event in self._events
            if event["ResourceStatus"].endswith("_FAILED")
            and event["LogicalResourceId"] != event["StackName"]
            and _FOLLOW_UP not in _reason(event)
        ]

    @property
    def ended(self) -> bool:
        """Whether the last event of the stack itself says that CloudFormation is no longer at work on it."""
        own = [event for event in self._events if event["PhysicalResourceId"] == event["StackId"]]
        return bool(own) and not own[-1]["ResourceStatus"].endswith("_IN_PROGRESS")

    def _newest_first(self) -> Iterator[dict[str, Any]]:
        pages = self._cfn.get_paginator("describe_stack_events").paginate(StackName=self._stack_id)
        for page in pages:
            yield from page["StackEvents"]


def follow(cfn: Client, stack: StackInfo, tail: EventTail, log: Log) -> StackInfo:
    """Waits until CloudFormation is no longer at work on a stack, and tells its events.

    The state alone does not tell: it may be that of before, a moment after the work was ordered.

    Raises:
        HarnessError: That takes too long.
    """
    deadline, delay = time.monotonic() + SETTLED_WITHIN_S, _FIRST_POLL_S
    while True:
        now = read_stack(cfn, stack.id)
        assert now is not None  # noqa: S101 - by its ID, it is found for 90 days
        news = tail.new()
        for event in news:
            log(_line(event))
        if tail.ended and not now.in_progress:
            return now
        if time.monotonic() > deadline:
            raise HarnessError(
                f"the stack {stack.name} is still {now.status} after {SETTLED_WITHIN_S / 60:.0f} min",
                remedy="run the command again: it goes on waiting",
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
            raise HarnessError(f"CloudFormation is still making the change set after {_CHANGE_SET_WITHIN_S:.0f} s")
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
        "some of what had been made could not be taken back, and is removed first"
        if stack.status.endswith("ROLLBACK_FAILED")
        else "what had been made was taken back"
    )
    return HarnessError(what, where, f"mend that, and run the command again; {undone}")

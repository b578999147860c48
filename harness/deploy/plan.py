"""The plan of a deployment: its changes, resource by resource, and its hourly price."""

from collections.abc import Iterator, Mapping

import msgspec

from harness.deploy import prices
from harness.deploy.stack import ChangeSet
from harness.deploy.template import Resource


class PlannedResource(msgspec.Struct, frozen=True):
    """One resource of the stack.

    Attributes:
        logical_id: Its name in the template.
        type: Its type.
        action: `create`, `update`, `replace`, `remove`, or `keep`.
        usd_per_hour: Its hourly price while it exists; None if the price is not known.
        by_use: Its usage-based price, in words.
    """

    logical_id: str
    type: str
    action: str
    usd_per_hour: float | None
    by_use: str


class PlannedImage(msgspec.Struct, frozen=True):
    """One image: `push` or `keep`."""

    name: str
    image_id: str
    action: str


class PlannedFunction(msgspec.Struct, frozen=True):
    """One function and its changes; no changes if it is up to date."""

    name: str
    changes: list[str]


class DeploymentPlan(msgspec.Struct, frozen=True):
    """A deployment before it is executed.

    Attributes:
        target: `aws` or `rehearsal`.
        account: The account's number.
        region: The region.
        stack: The stack's name.
        resources: All resources of the stack, including unchanged ones.
        images: The functions' images.
        functions: The functions.
        usd_per_hour: The hourly price of everything, used or not.
    """

    target: str
    account: str
    region: str
    stack: str
    resources: list[PlannedResource]
    images: list[PlannedImage]
    functions: list[PlannedFunction]
    usd_per_hour: float

    @property
    def changes_nothing(self) -> bool:
        """Whether the deployment is already up to date."""
        return not (
            any(resource.action != "keep" for resource in self.resources)
            or any(image.action != "keep" for image in self.images)
            or any(function.changes for function in self.functions)
        )


def plan_resources(
    resources: list[Resource], parameters: Mapping[str, str], *, exists: bool, change_set: ChangeSet | None
) -> list[PlannedResource]:
    """Return the resources of the stack, with the action for each.

    Args:
        resources: The template's resources.
        parameters: The value of every parameter.
        exists: Whether the stack exists already.
        change_set: The changes to an existing stack; None if there are none.
    """
    changed = {change.logical_id: change for change in change_set.changes} if change_set else {}
    planned = [
        PlannedResource(
            resource.logical_id,
            resource.type,
            changed[resource.logical_id].action if resource.logical_id in changed else "keep" if exists else "create",
            prices.price_per_hour(resource, parameters),
            prices.by_use(resource),
        )
        for resource in resources
    ]
    here = {resource.logical_id for resource in resources}
    gone = [change for change in changed.values() if change.logical_id not in here]
    return planned + [PlannedResource(change.logical_id, change.type, change.action, 0.0, "") for change in gone]


def format_plan(plan: DeploymentPlan) -> Iterator[str]:
    """Format the plan for a terminal, line by line."""
    yield f"stack {plan.stack} in {plan.region}, account {plan.account}" + (
        " (rehearsal: nothing leaves this machine)" if plan.target == "rehearsal" else ""
    )
    # The names of a user's own model may be long.
    width = max(24, *(len(resource.logical_id) for resource in plan.resources))
    for resource in plan.resources:
        yield (
            f"  {resource.action:<8} {resource.logical_id:<{width}} {resource.type:<40} {_price(resource):>12}  "
            f"{resource.by_use}"
        ).rstrip()
    for image in plan.images:
        yield f"  {image.action:<8} image {image.name:<18} {image.image_id.removeprefix('sha256:')[:12]}"
    for function in plan.functions:
        action = "keep" if not function.changes else "create" if "created" in function.changes else "update"
        changes = ", ".join(function.changes)
        yield f"  {action:<8} function {function.name:<15} {changes if action == 'update' else ''}".rstrip()
    unknown = [resource.logical_id for resource in plan.resources if resource.usd_per_hour is None]
    yield (
        f"  fixed cost, used or not: {plan.usd_per_hour:.3f} USD per hour, "
        f"{prices.HOURS_PER_DAY * plan.usd_per_hour:.2f} per day"
        + (f", without {', '.join(unknown)}, whose price is not known" if unknown else "")
        + f" (us-east-1, {prices.READ})"
    )


def _price(resource: PlannedResource) -> str:
    if resource.usd_per_hour is None:
        return "? USD/h"
    if resource.usd_per_hour:
        return f"{resource.usd_per_hour:.3f} USD/h"
    if resource.action == "remove":
        return ""
    return "by use" if resource.by_use else "free"

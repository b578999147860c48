"""What a deployment would change, resource by resource, and what it costs while it stands."""

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
        usd_per_hour: What it costs while it stands; None when that is not known.
        by_use: What it costs by use, in words.
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
    """One function, and what changes of it; nothing when it is as it should be."""

    name: str
    changes: list[str]


class Plan(msgspec.Struct, frozen=True):
    """A deployment before it is carried out.

    Attributes:
        target: `aws` or `rehearsal`.
        account: The account's number.
        region: The region.
        stack: The stack's name.
        resources: All resources of the stack, those that stay as they are, too.
        images: The functions' images.
        functions: The functions.
        usd_per_hour: What all that stands costs, used or not.
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
        """Whether everything is as it should be."""
        return not (
            any(resource.action != "keep" for resource in self.resources)
            or any(image.action != "keep" for image in self.images)
            or any(function.changes for function in self.functions)
        )


def plan_resources(
    resources: list[Resource], parameters: Mapping[str, str], *, exists: bool, change_set: ChangeSet | None
) -> list[PlannedResource]:
    """The resources of the stack with what becomes of each.

    Args:
        resources: Those of the template.
        parameters: The value of every parameter.
        exists: Whether the stack stands already.
        change_set: What changes of one that stands; None when nothing does.
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


def told(plan: Plan) -> Iterator[str]:
    """The plan for people, line by line."""
    yield f"stack {plan.stack} in {plan.region}, account {plan.account}" + (
        " (rehearsal: nothing leaves this machine)" if plan.target == "rehearsal" else ""
    )
    for resource in plan.resources:
        yield (
            f"  {resource.action:<8} {resource.logical_id:<24} {resource.type:<40} {_price(resource):>12}  "
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
        f"  standing, used or not: {plan.usd_per_hour:.3f} USD per hour, "
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

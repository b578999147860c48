"""The plan of a deployment: its changes, resource by resource, and its hourly price."""

from collections.abc import Iterator, Mapping

import msgspec

from harness.deploy import prices
from harness.deploy.stack import ChangeSet
from harness.deploy.template import Resource
from harness.deploy.zones import PlannedZones, format_zones
from harness.presets.prices import Prices


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
        price_list: The price list; empty if it lacks the region.
        zones: The placement of the cache and of the functions.
        notes: What the changes mean for those who use the deployment.
    """

    target: str
    account: str
    region: str
    stack: str
    resources: list[PlannedResource]
    images: list[PlannedImage]
    functions: list[PlannedFunction]
    usd_per_hour: float
    price_list: str
    zones: PlannedZones
    notes: list[str]

    @property
    def changes_nothing(self) -> bool:
        """Whether the deployment is already up to date."""
        return not (
            any(resource.action != "keep" for resource in self.resources)
            or any(image.action != "keep" for image in self.images)
            or any(function.changes for function in self.functions)
        )


def notes_of(resources: list[PlannedResource], functions: list[PlannedFunction]) -> list[str]:
    """Return what planned changes mean for those who use the deployment: one sentence each."""
    notes = []
    if any(
        resource.type == "AWS::ElastiCache::CacheCluster" and resource.action == "replace" for resource in resources
    ):
        notes.append(
            "the cache is replaced, because a cluster cannot be moved to another zone: a new one is created, in 5 to "
            "10 minutes, then the old one is deleted; runs in progress fail, and CacheHost changes"
        )
    moved = [function.name for function in functions if any("VpcConfig" in change for change in function.changes)]
    if moved:
        notes.append(f"other subnets: {', '.join(moved)}; Lambda moves functions while they can be invoked")
    return notes


def plan_resources(
    resources: list[Resource],
    parameters: Mapping[str, str],
    region_prices: Prices | None,
    *,
    exists: bool,
    change_set: ChangeSet | None,
) -> list[PlannedResource]:
    """Return the resources of the stack, with the action for each.

    Args:
        resources: The template's resources.
        parameters: The value of every parameter.
        region_prices: The prices of the deployment's region; None if they are not known.
        exists: Whether the stack exists already.
        change_set: The changes to an existing stack; None if there are none.
    """
    changed = {change.logical_id: change for change in change_set.changes} if change_set else {}
    planned = [
        PlannedResource(
            resource.logical_id,
            resource.type,
            changed[resource.logical_id].action if resource.logical_id in changed else "keep" if exists else "create",
            prices.price_per_hour(resource, parameters, region_prices),
            prices.by_use(resource, region_prices),
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
    yield from (f"  {line}" for line in format_zones(plan.zones))
    yield from (f"  note: {note}" for note in plan.notes)
    for image in plan.images:
        yield f"  {image.action:<8} image {image.name:<18} {image.image_id.removeprefix('sha256:')[:12]}"
    for function in plan.functions:
        action = "keep" if not function.changes else "create" if "created" in function.changes else "update"
        changes = ", ".join(function.changes)
        yield f"  {action:<8} function {function.name:<15} {changes if action == 'update' else ''}".rstrip()
    yield f"  fixed cost, used or not: {_fixed_cost(plan)}"


def _fixed_cost(plan: DeploymentPlan) -> str:
    if not plan.price_list:
        return f"not known: the price list lacks {plan.region}"
    unknown = [resource.logical_id for resource in plan.resources if resource.usd_per_hour is None]
    return (
        f"{plan.usd_per_hour:.3f} USD per hour, {prices.HOURS_PER_DAY * plan.usd_per_hour:.2f} per day"
        + (f", without {', '.join(unknown)}, whose price is not known" if unknown else "")
        + f" ({plan.region}, price list {plan.price_list})"
    )


def _price(resource: PlannedResource) -> str:
    if resource.usd_per_hour is None:
        return "? USD/h"
    if resource.usd_per_hour:
        return f"{resource.usd_per_hour:.3f} USD/h"
    if resource.action == "remove":
        return ""
    return "by use" if resource.by_use else "free"

"""What an operation would change in a stack: the changes of a change set.

A property that refers to a resource which is still to be created or replaced has no value yet, as on AWS.
"""

from dataclasses import dataclass

from harness.emulation.resources.base import Properties
from harness.emulation.resources.table import TYPES
from harness.emulation.stack import Stack
from harness.emulation.template import Scope, Template, evaluate

UNKNOWN = "{{changeSet:KNOWN_AFTER_APPLY}}"


@dataclass(frozen=True)
class DesiredStack:
    """The desired state of a stack.

    Attributes:
        template: Its template.
        parameters: The values of all parameters.
        tags: Tags of the stack, which CloudFormation puts on all its resources.
    """

    template: Template
    parameters: dict[str, str]
    tags: dict[str, str]


@dataclass(frozen=True)
class PlannedChange:
    """One resource that a change set adds, modifies or removes."""

    action: str
    logical_resource_id: str
    resource_type: str
    physical_resource_id: str = ""
    replacement: str | None = None


class NotYetKnown:
    """A resource that a change set will create or replace, so that `Ref` and `Fn::GetAtt` have no value yet."""

    physical_resource_id = UNKNOWN

    def get_cfn_attribute(self, _attribute: str) -> str:
        """Return the placeholder, as for `Ref`."""
        return UNKNOWN


def unsupported(template: Template) -> list[str]:
    """Return the resource types in a template that are not emulated."""
    return sorted({definition["Type"] for definition in template.resources.values()} - TYPES.keys())


def plan(stack: Stack, wanted: DesiredStack) -> list[PlannedChange]:
    """Return the changes that an operation would make, as far as they are known in advance."""
    scope = stack.scope(wanted.template, wanted.parameters)
    order = wanted.template.order(scope)
    # Resources that do not exist yet have no values yet.
    scope.update({name: NotYetKnown() for name in order if name not in stack.resources})
    steps = []
    for logical_id in order:
        kind = wanted.template.resources[logical_id]["Type"]
        existing = stack.resources.get(logical_id)
        if existing is None:
            steps.append(PlannedChange("Add", logical_id, kind))
            continue
        properties = properties_of(wanted, logical_id, scope)
        changed = changed_properties(existing.properties, properties)
        if not changed and kind == existing.cf_resource_type:
            continue
        replaced = kind != existing.cf_resource_type or not TYPES[kind].changes_in_place(changed)
        if replaced:
            scope[logical_id] = NotYetKnown()
        steps.append(PlannedChange("Modify", logical_id, kind, existing.physical_resource_id, str(replaced)))
    steps += [
        PlannedChange("Remove", name, resource.cf_resource_type, resource.physical_resource_id)
        for name, resource in stack.resources.items()
        if name not in order
    ]
    return steps


def properties_of(wanted: DesiredStack, logical_id: str, scope: Scope) -> Properties:
    """Return the evaluated properties of a resource; its own tags come before the stack's."""
    definition = wanted.template.resources[logical_id]
    properties: Properties = evaluate(definition.get("Properties", {}), scope)
    if TYPES[definition["Type"]].taggable:
        tags = {**wanted.tags, **{tag["Key"]: str(tag["Value"]) for tag in properties.get("Tags", [])}}
        if tags:
            properties["Tags"] = [{"Key": key, "Value": value} for key, value in tags.items()]
    return properties


def changed_properties(old: Properties, new: Properties) -> set[str]:
    """Return the names of the properties that differ."""
    return {name for name in old.keys() | new.keys() if old.get(name) != new.get(name)}

"""A CloudFormation template: read, checked, and evaluated against what exists.

https://docs.aws.amazon.com/AWSCloudFormation/latest/UserGuide/template-anatomy.html
Functions are evaluated by moto; conditions here, because CloudFormation compares their values as text.
"""

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from graphlib import CycleError, TopologicalSorter
from typing import Any, Protocol

import yaml
from moto.cloudformation.exceptions import ValidationError
from moto.cloudformation.parsing import clean_json

from harness.emulation.template_yaml import load_template_yaml

Json = dict[str, Any]
# Placeholders of Fn::Sub; `${!Name}` is a literal.
_VARIABLE = re.compile(r"\$\{([A-Za-z0-9:]+)(?:\.[A-Za-z0-9.]+)?\}")
_ZONES = "abc"


class Referable(Protocol):
    """The part of a resource that `Ref` and `Fn::GetAtt` use."""

    @property
    def physical_resource_id(self) -> str:
        """Return the value of `Ref`."""

    def get_cfn_attribute(self, attribute: str) -> str:
        """Return the value of `Fn::GetAtt`."""


class Scope(dict[str, Any]):
    """The values of the names in a template: parameters, mappings, pseudo parameters and resources.

    Attributes:
        lazy_condition_map: Conditions by name, under the name by which moto looks for them.
        cross_stack_resources: Exports of other stacks: there are none.
    """

    def __init__(self) -> None:
        super().__init__()
        self.lazy_condition_map: dict[str, bool] = {}
        self.cross_stack_resources: dict[str, Any] = {}


@dataclass(frozen=True)
class Template:
    """A parsed and checked template."""

    body: str
    content: Json

    @property
    def resources(self) -> dict[str, Json]:
        """Return the definitions by logical ID."""
        resources: dict[str, Json] = self.content["Resources"]
        return resources

    @property
    def description(self) -> str:
        """Return the description."""
        return str(self.content.get("Description", ""))

    def order(self, scope: Scope) -> list[str]:
        """Return the resources whose condition holds, each after the ones that it needs."""
        wanted = {
            logical_id: definition
            for logical_id, definition in self.resources.items()
            if scope.lazy_condition_map.get(definition.get("Condition", ""), True)
        }
        needs = {
            name: [other for other in wanted if other in _needs(definition)] for name, definition in wanted.items()
        }
        return list(TopologicalSorter(needs).static_order())


EMPTY = Template("", {"Resources": {}})


def read_template(body: str) -> Template:
    """Parse YAML or JSON.

    Raises:
        ValidationError: It is no template, or refers to what it does not define.
    """
    try:
        content = load_template_yaml(body)
    except yaml.YAMLError as error:
        raise ValidationError(message=f"Template format error: YAML not well-formed. {error}") from error
    if not isinstance(content, dict) or not isinstance(content.get("Resources"), dict) or not content["Resources"]:
        raise ValidationError(message="Template format error: At least one Resources member must be defined.")
    template = Template(body, content)
    _check_references(template)
    return template


def parameter_values(template: Template, given: Mapping[str, str]) -> dict[str, str]:
    """Return the values of all parameters of a template, as text.

    Raises:
        ValidationError: One is missing, unknown or not allowed.
    """
    declared: dict[str, Json] = template.content.get("Parameters") or {}
    if unknown := [name for name in given if name not in declared]:
        raise ValidationError(message=f"Parameters: [{', '.join(unknown)}] do not exist in the template")
    values = {name: _text(parameter["Default"]) for name, parameter in declared.items() if "Default" in parameter}
    values |= {name: str(value) for name, value in given.items()}
    if missing := [name for name in declared if name not in values]:
        raise ValidationError(message=f"Parameters: [{', '.join(missing)}] must have values")
    for name, parameter in declared.items():
        _check_parameter(name, values[name], parameter)
    return values


def check_rules(template: Template, scope: Scope) -> None:
    """Check the assertions about parameters in the section `Rules`.

    Raises:
        ValidationError: An assertion does not hold.
    """
    conditions: dict[str, Json] = template.content.get("Conditions") or {}
    for name, rule in (template.content.get("Rules") or {}).items():
        if "RuleCondition" in rule and not _holds(rule["RuleCondition"], conditions, scope):
            continue
        for assertion in rule["Assertions"]:
            if not _holds(assertion["Assert"], conditions, scope):
                told = assertion.get("AssertDescription", "an assertion does not hold")
                raise ValidationError(message=f"Template validation error: Rule {name}: {told}")


def make_scope(template: Template, own: Mapping[str, str], parameters: Mapping[str, str]) -> Scope:
    """Return the scope of a template before any resource exists.

    Args:
        template: The template.
        own: AWS's pseudo parameters, `AWS::StackName` and others.
        parameters: The values of its parameters.
    """
    scope = Scope()
    scope.update(own)
    scope["AWS::NoValue"] = None
    scope.update(template.content.get("Mappings") or {})
    declared: dict[str, Json] = template.content.get("Parameters") or {}
    for name, value in parameters.items():
        kind = declared[name].get("Type", "String")
        listed = kind == "CommaDelimitedList" or kind.startswith("List<")
        scope[name] = [part.strip() for part in value.split(",")] if listed else value
    conditions: dict[str, Json] = template.content.get("Conditions") or {}
    for name, condition in conditions.items():
        scope.lazy_condition_map[name] = _holds(condition, conditions, scope)
    return scope


def evaluate(value: Any, scope: Scope) -> Any:  # noqa: ANN401 - JSON
    """Return a part of a template with its functions replaced by their values."""
    return _without_nothing(clean_json(_with_zones(value, scope), scope))  # type: ignore[arg-type]


def outputs_of(template: Template, scope: Scope) -> list[dict[str, str]]:
    """Return the outputs as `DescribeStacks` lists them."""
    declared: dict[str, Json] = template.content.get("Outputs") or {}
    return [
        {
            "OutputKey": name,
            "OutputValue": str(evaluate(output["Value"], scope)),
            "Description": output.get("Description", ""),
        }
        for name, output in declared.items()
        if scope.lazy_condition_map.get(output.get("Condition", ""), True)
    ]


def _walk(value: Any) -> Iterable[Json]:  # noqa: ANN401 - JSON
    if isinstance(value, dict):
        yield value
    children = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    for child in children:
        yield from _walk(child)


def references(value: Any) -> set[str]:  # noqa: ANN401 - JSON
    """Return the names that a part of a template refers to."""
    found: set[str] = set()
    for node in _walk(value):
        if isinstance(node.get("Ref"), str):
            found.add(node["Ref"])
        attribute = node.get("Fn::GetAtt")
        if attribute:
            found.add(attribute.split(".")[0] if isinstance(attribute, str) else attribute[0])
        if "Fn::Sub" in node:
            text, own = (node["Fn::Sub"], {}) if isinstance(node["Fn::Sub"], str) else node["Fn::Sub"]
            found |= set(_VARIABLE.findall(text)) - set(own)
    return found


def _needs(definition: Json) -> set[str]:
    depends = definition.get("DependsOn", [])
    return references(definition.get("Properties", {})) | set([depends] if isinstance(depends, str) else depends)


def _check_references(template: Template) -> None:
    known = {*template.resources, *(template.content.get("Parameters") or {})}
    for section in ("Resources", "Outputs"):
        for definition in (template.content.get(section) or {}).values():
            needed = _needs(definition) if section == "Resources" else references(definition)
            unknown = sorted(name for name in needed - known if not name.startswith("AWS::"))
            if unknown:
                raise ValidationError(
                    message=f"Template format error: Unresolved resource dependencies [{', '.join(unknown)}] "
                    f"in the {section} block of the template"
                )
    for logical_id, definition in template.resources.items():
        if "Type" not in definition:
            raise ValidationError(message=f"Template format error: [/Resources/{logical_id}] needs a Type")
    try:
        template.order(Scope())
    except CycleError as error:
        names = ", ".join(dict.fromkeys(error.args[1]))
        raise ValidationError(message=f"Circular dependency between resources: [{names}]") from error


def _check_parameter(name: str, value: str, parameter: Json) -> None:
    problem = parameter.get("ConstraintDescription")
    allowed = [_text(option) for option in parameter.get("AllowedValues", [])]
    if allowed and value not in allowed:
        message = problem or f"must be one of AllowedValues [{', '.join(allowed)}]"
        raise ValidationError(message=f"Parameter '{name}' {message}")
    if parameter.get("AllowedPattern") and not re.fullmatch(parameter["AllowedPattern"], value):
        raise ValidationError(
            message=f"Parameter {name} {problem or 'must match pattern ' + parameter['AllowedPattern']}"
        )
    bounds: list[tuple[str, Callable[[float], bool], str]] = []
    if parameter.get("Type") == "Number":
        try:
            size = float(value)
        except ValueError as error:
            raise ValidationError(message=f"Parameter '{name}' must be a number") from error
        bounds = [
            ("MinValue", lambda least: size >= least, "a number not less than"),
            ("MaxValue", lambda most: size <= most, "a number not greater than"),
        ]
    bounds += [
        ("MinLength", lambda least: len(value) >= least, "of at least this length:"),
        ("MaxLength", lambda most: len(value) <= most, "of at most this length:"),
    ]
    for key, fits, words in bounds:
        if key in parameter and not fits(float(parameter[key])):
            raise ValidationError(message=f"Parameter '{name}' {problem or f'must be {words} {parameter[key]}'}")


def _holds(condition: Json, conditions: dict[str, Json], scope: Scope) -> bool:
    ((operator, operands),) = condition.items()
    if operator == "Condition":
        return _holds(conditions[operands], conditions, scope)
    if operator == "Fn::Equals":
        left, right = (_text(evaluate(operand, scope)) for operand in operands)
        return left == right
    results = [_holds(operand, conditions, scope) for operand in operands]
    return {"Fn::Not": not results[0], "Fn::And": all(results), "Fn::Or": any(results)}[operator]


def _text(value: Any) -> str:  # noqa: ANN401 - JSON
    return str(value).lower() if isinstance(value, bool) else str(value)


def _with_zones(value: Any, scope: Scope) -> Any:  # noqa: ANN401 - JSON
    """Replace `Fn::GetAZs`, which moto accepts with a literal region only."""
    if isinstance(value, dict):
        if "Fn::GetAZs" in value:
            region = clean_json(value["Fn::GetAZs"], scope) or scope["AWS::Region"]  # type: ignore[arg-type]
            return [f"{region}{zone}" for zone in _ZONES]
        return {key: _with_zones(child, scope) for key, child in value.items()}
    if isinstance(value, list):
        return [_with_zones(child, scope) for child in value]
    return value


def _without_nothing(value: Any) -> Any:  # noqa: ANN401 - JSON
    """Remove `AWS::NoValue`."""
    if isinstance(value, dict):
        return {key: _without_nothing(child) for key, child in value.items() if child is not None}
    if isinstance(value, list):
        return [_without_nothing(child) for child in value if child is not None]
    return value

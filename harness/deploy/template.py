"""Read the CloudFormation template: its resources and parameters, without AWS.

A template's anatomy: https://docs.aws.amazon.com/AWSCloudFormation/latest/UserGuide/template-anatomy.html
"""

import ipaddress
import re
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import resources
from typing import Any, Literal

from harness.deploy.intrinsics import FILE_NAME, Resolver, parse
from harness.errors import HarnessError

# Tags of every resource: the project that owns it, and the stack that created it.
PROJECT_TAG = "lambda-harness:project"
STACK_TAG = "lambda-harness:stack"
# Functions are published under this alias; roles and the Lambda endpoint name it.
ALIAS = "live"


@dataclass(frozen=True, slots=True)
class Resource:
    """One resource of the template.

    Attributes:
        logical_id: Its name within the template.
        type: Its type, such as `AWS::S3::Bucket`.
        variant: `Interface` or `Gateway` of an endpoint, on which its price depends; empty for other types.
        zones: The number of zones that an interface endpoint is in, on which its price depends.
    """

    logical_id: str
    type: str
    variant: str = ""
    zones: int = 1


@dataclass(frozen=True, slots=True)
class Parameter:
    """One parameter of the template; values are text, as CloudFormation expects.

    Attributes:
        name: Its name, as in `--parameter`.
        type: Its type in CloudFormation.
        default: The value if none is given; None if a value is required.
        description: An explanation for people.
        pattern: A regular expression that a value must match; empty if any value will do.
        allowed: The allowed values; empty if any value is allowed.
        least: The smallest allowed number.
        most: The largest allowed number.
    """

    name: str
    type: str
    default: str | None
    description: str
    pattern: str
    allowed: tuple[str, ...]
    least: float | None
    most: float | None


def load_template() -> str:
    """Return the template's text, as it is sent to CloudFormation."""
    return resources.files("harness.deploy").joinpath(FILE_NAME).read_text()


def describe(body: str, parameters: Mapping[str, str] | None = None) -> list[Resource]:
    """Return the resources that a stack of the template will have, in the template's order.

    Args:
        body: The template.
        parameters: Values that differ from the defaults; conditional resources depend on them.
    """
    template = parse(body)
    resolver = Resolver(template, parameters or {})
    return [
        _resource(name, entry, resolver)
        for name, entry in template["Resources"].items()
        if "Condition" not in entry or resolver.condition(entry["Condition"])
    ]


def _resource(name: str, entry: Mapping[str, Any], resolver: Resolver) -> Resource:
    if entry["Type"] != "AWS::EC2::VPCEndpoint":
        return Resource(name, entry["Type"])
    properties = resolver.properties(name)
    subnets = set(properties.get("SubnetIds", []))
    return Resource(name, entry["Type"], properties.get("VpcEndpointType", "Gateway"), len(subnets))


def output_name(function: str, what: Literal["RoleArn", "RepositoryUri"]) -> str:
    """Return the name of the stack's output for a function, such as `LinearEc2NnRoleArn` for `linear_ec_2_nn`."""
    return f"{camel(function)}{what}"


def camel(function: str) -> str:
    """Return a function's name in the form of a logical ID, which has letters and digits only."""
    return "".join(part.capitalize() for part in re.split(r"[_-]", function))


def parameters_of(body: str) -> dict[str, Parameter]:
    """Return the template's parameters by name."""
    return {
        name: Parameter(
            name,
            entry["Type"],
            str(entry["Default"]) if "Default" in entry else None,
            entry.get("Description", ""),
            entry.get("AllowedPattern", ""),
            tuple(map(str, entry.get("AllowedValues", ()))),
            entry.get("MinValue"),
            entry.get("MaxValue"),
        )
        for name, entry in parse(body).get("Parameters", {}).items()
    }


def with_defaults(body: str, given: Mapping[str, str]) -> dict[str, str]:
    """Return the value of every parameter, checked as CloudFormation will check it, but before images are pushed.

    Args:
        body: The template.
        given: Values by name; other parameters have their defaults.

    Raises:
        HarnessError: A name is unknown, or a value is missing or not allowed.
    """
    known = parameters_of(body)
    unknown = sorted(given.keys() - known.keys())
    if unknown:
        raise HarnessError(f"the template has no parameter {unknown[0]}", FILE_NAME, f"it has {', '.join(known)}")
    values = {}
    for name, parameter in known.items():
        value = given.get(name, parameter.default)
        if value is None:
            raise HarnessError(
                f"parameter {name} has no value",
                FILE_NAME,
                f"give it with --parameter {name}=...: {parameter.description}",
            )
        wanted = _wanted(parameter, value)
        if wanted:
            raise HarnessError(f"parameter {name} is {value!r}", parameter.description, f"it takes {wanted}")
        values[name] = value
    if float(values.get("BudgetUsd", 0)) > 0 and not values.get("BudgetEmail"):
        raise HarnessError(
            f"parameter BudgetUsd is {values['BudgetUsd']} and BudgetEmail is empty",
            remedy="say who is to be told: --parameter BudgetEmail=...",
        )
    return values


def _wanted(parameter: Parameter, value: str) -> str:
    """Describe the values that the parameter allows, if the value is not one of them; else return an empty text."""
    if parameter.allowed and value not in parameter.allowed:
        return f"one of {', '.join(parameter.allowed)}"
    if parameter.pattern and not re.fullmatch(parameter.pattern, value):
        return f"what matches {parameter.pattern}"
    parts = value.split(",")
    # All lists in the template have two entries, one for each subnet.
    if parameter.type not in {"String", "Number"} and (len(parts) != 2 or not all(parts)):
        return "two values with a comma between them"
    if parameter.name.endswith(("Cidr", "Cidrs")) and not all(map(_is_network, parts)):
        return "IPv4 addresses with a prefix length, such as 10.42.0.0/20"
    return _wanted_number(parameter, value) if parameter.type == "Number" else ""


def _wanted_number(parameter: Parameter, value: str) -> str:
    least, most = parameter.least, parameter.most
    limits = " ".join([f"from {least}" if least is not None else "", f"to {most}" if most is not None else ""]).strip()
    # Only amounts of money may have fractions.
    whole = not parameter.name.endswith("Usd")
    wanted = f"a {'whole ' if whole else ''}number {limits}".strip()
    if not re.fullmatch(r"\d{1,12}" if whole else r"\d{1,12}(\.\d+)?", value):
        return wanted
    number = float(value)
    fits = (least is None or number >= least) and (most is None or number <= most)
    return "" if fits else wanted


def _is_network(text: str) -> bool:
    try:
        ipaddress.IPv4Network(text, strict=False)
    except ValueError:
        return False
    return "/" in text

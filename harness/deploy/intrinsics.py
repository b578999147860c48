"""Parse a template, and resolve CloudFormation's functions (`!Ref`, `!Sub`, ...) without CloudFormation.

A resource's name is known in advance if the template gives it. Where AWS chooses a part of the name or an ID,
a placeholder of the same form stands for it: `subnet-SubnetA`, `<stack>-<logical ID>`.
https://docs.aws.amazon.com/AWSCloudFormation/latest/UserGuide/intrinsic-function-reference.html
"""

import re
from collections.abc import Callable, Mapping
from typing import Any

import yaml

from harness.emulation.template_yaml import load_template_yaml
from harness.errors import HarnessError

FILE_NAME = "template.yaml"
STACK = "lambda-harness"
ACCOUNT = "123456789012"
REGION = "us-east-1"

_VARIABLE = re.compile(r"\$\{(!?)([\w:.]+)\}")
# Prefixes of the IDs that AWS chooses, for `Ref`.
_ID_PREFIXES = {
    "AWS::EC2::VPC": "vpc",
    "AWS::EC2::Subnet": "subnet",
    "AWS::EC2::SecurityGroup": "sg",
    "AWS::EC2::RouteTable": "rtb",
    "AWS::EC2::VPCEndpoint": "vpce",
}
# The property with a resource's name, for `Ref`.
_NAMES = {
    "AWS::S3::Bucket": "BucketName",
    "AWS::ECR::Repository": "RepositoryName",
    "AWS::Logs::LogGroup": "LogGroupName",
    "AWS::SQS::Queue": "QueueName",
}
# Formats of the attribute `Arn`; `{name}` is the resource's name.
_ARNS = {
    "AWS::S3::Bucket": "arn:{partition}:s3:::{name}",
    "AWS::ECR::Repository": "arn:{partition}:ecr:{region}:{account}:repository/{name}",
    "AWS::Logs::LogGroup": "arn:{partition}:logs:{region}:{account}:log-group:{name}:*",
    "AWS::SQS::Queue": "arn:{partition}:sqs:{region}:{account}:{name}",
    "AWS::IAM::Role": "arn:{partition}:iam::{account}:role/{name}",
}


def parse(body: str) -> dict[str, Any]:
    """Return the template as plain data; short forms such as `!Ref X` become `{"Ref": "X"}`.

    Raises:
        HarnessError: The text is not YAML, or not a template; the error names the line.
    """
    try:
        template = load_template_yaml(body)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        problem = getattr(error, "problem", None) or str(error)
        raise HarnessError(
            f"the template is no YAML: {problem}",
            f"{FILE_NAME}, line {mark.line + 1}" if mark else FILE_NAME,
            "correct that line, or restore the file: git checkout harness/deploy/template.yaml",
        ) from error
    if not isinstance(template, dict) or not isinstance(template.get("Resources"), dict):
        raise HarnessError("the template has no Resources", FILE_NAME, "restore the file from the repository")
    return template


class Resolver:
    """Resolve the values of one template for one stack.

    Args:
        template: The result of `parse`.
        parameters: The parameters' values; the others have the template's defaults.
        account: The account's ID.
        region: The region.
        stack: The stack's name.
    """

    def __init__(
        self,
        template: Mapping[str, Any],
        parameters: Mapping[str, str],
        *,
        account: str = ACCOUNT,
        region: str = REGION,
        stack: str = STACK,
    ) -> None:
        self._template, self._resources = template, template["Resources"]
        self._place = {"partition": partition_of(region), "region": region, "account": account}
        self._pseudo = {
            "AWS::AccountId": account,
            "AWS::Region": region,
            "AWS::Partition": self._place["partition"],
            "AWS::StackName": stack,
        }
        self._parameters = {
            name: _value(entry, parameters.get(name, entry.get("Default")))
            for name, entry in template.get("Parameters", {}).items()
        }
        self._functions: dict[str, Callable[[Any], Any]] = {
            "Ref": self._ref,
            "Fn::Sub": self._sub,
            "Fn::GetAtt": self._get_att,
            "Fn::Join": lambda value: value[0].join(map(str, self.resolve(value[1]))),
            "Fn::Select": lambda value: self.resolve(value[1])[int(value[0])],
            "Fn::Split": lambda value: self.resolve(value[1]).split(value[0]),
            "Fn::If": lambda value: self.resolve(value[1] if self.condition(value[0]) else value[2]),
            "Fn::Equals": lambda value: str(self.resolve(value[0])) == str(self.resolve(value[1])),
            "Fn::Not": lambda value: not self.resolve(value[0]),
            "Fn::And": lambda value: all(map(self.resolve, value)),
            "Fn::Or": lambda value: any(map(self.resolve, value)),
            "Condition": self.condition,
        }

    def resolve(self, value: Any) -> Any:  # noqa: ANN401 - a template's values have no narrower type
        """Return a value with every function in it replaced by its result.

        Raises:
            HarnessError: The value uses an unknown function or name.
        """
        if isinstance(value, list):
            return [self.resolve(entry) for entry in value]
        if not isinstance(value, dict):
            return value
        if len(value) == 1:
            (name, argument), *_ = value.items()
            # A policy's `Condition` is a mapping; the argument of the function `Condition` is a name.
            if name in self._functions and (name != "Condition" or isinstance(argument, str)):
                return self._functions[name](argument)
            if name.startswith("Fn::"):
                raise HarnessError(f"{name} is not resolved here", remedy="add it to harness/deploy/intrinsics.py")
        return {key: self.resolve(entry) for key, entry in value.items()}

    def condition(self, name: str) -> bool:
        """Return whether a condition of the template holds."""
        return bool(self.resolve(self._template["Conditions"][name]))

    def properties(self, logical_id: str) -> dict[str, Any]:
        """Return a resource's properties, resolved."""
        properties: dict[str, Any] = self.resolve(self._resources[logical_id].get("Properties", {}))
        return properties

    def output(self, name: str) -> str:
        """Return an output of the template, resolved; empty if there is none."""
        return str(self.resolve(self._template.get("Outputs", {}).get(name, {}).get("Value", "")))

    def of_type(self, kind: str) -> list[str]:
        """Return the logical IDs of the resources of a type that the stack will have."""
        return [
            name
            for name, entry in self._resources.items()
            if entry["Type"] == kind and ("Condition" not in entry or self.condition(entry["Condition"]))
        ]

    def _ref(self, name: str) -> Any:  # noqa: ANN401 - text or a list
        if name in self._pseudo:
            return self._pseudo[name]
        if name in self._parameters:
            value = self._parameters[name]
            return f"<{name}>" if value is None else value
        kind = self._resources[name]["Type"] if name in self._resources else None
        if kind is None:
            raise HarnessError(f"the template refers to {name}, which it does not have", remedy="correct the reference")
        if kind in _ID_PREFIXES:
            return f"{_ID_PREFIXES[kind]}-{name}"
        if kind in _NAMES and _NAMES[kind] in self._resources[name].get("Properties", {}):
            return self.resolve(self._resources[name]["Properties"][_NAMES[kind]])
        return f"{self._pseudo['AWS::StackName']}-{name}"

    def _get_att(self, path: list[str]) -> str:
        name, attribute = path
        kind = self._resources.get(name, {}).get("Type", "")
        if attribute == "Arn" and kind in _ARNS:
            return _ARNS[kind].format(name=self._ref(name), **self._place)
        self._ref(name)
        given = self._resources[name].get("Properties", {})
        # An attribute with the name of a property has its value, such as a subnet's `AvailabilityZone`.
        return str(self.resolve(given[attribute])) if attribute in given else f"<{name}.{attribute}>"

    def _sub(self, value: Any) -> str:  # noqa: ANN401 - text, or text and a mapping
        text, extra = (value, {}) if isinstance(value, str) else value

        def replaced(match: re.Match[str]) -> str:
            literal, name = match.groups()
            if literal:
                return f"${{{name}}}"
            if name in extra:
                return str(self.resolve(extra[name]))
            return str(self._get_att(name.split(".", 1)) if "." in name else self._ref(name))

        return _VARIABLE.sub(replaced, text)


def partition_of(region: str) -> str:
    """Return the partition of a region, as it appears in ARNs."""
    if region.startswith("cn-"):
        return "aws-cn"
    return "aws-us-gov" if region.startswith("us-gov-") else "aws"


def _value(parameter: Mapping[str, Any], value: Any) -> Any:  # noqa: ANN401 - text, a number or a list
    is_list = parameter["Type"] == "CommaDelimitedList" or parameter["Type"].startswith("List<")
    if not is_list:
        return value
    # Zones or subnets that are not chosen yet have their places in the list.
    return ["<first>", "<second>"] if value is None else [part.strip() for part in str(value).split(",")]

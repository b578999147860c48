"""Read the text of a CloudFormation template, YAML or JSON, as plain data.

This is the only reader: the emulation evaluates what it returns, and `harness.deploy` checks the same before AWS does.
cfn-lint's decoder differs from CloudFormation in dates and repeated keys, and takes 1.4 s to import: see decision 34.
"""

from typing import Any

import yaml


def load_template_yaml(body: str) -> Any:  # noqa: ANN401 - whatever the text holds
    """Return the data in a template; short forms such as `!Ref X` become `{"Ref": "X"}`.

    Raises:
        yaml.YAMLError: The text is not YAML.
    """
    return yaml.load(body, _Loader)  # noqa: S506 - derived from the safe loader


class _Loader(yaml.CSafeLoader):  # type: ignore[misc]  # PyYAML comes without types
    """Construct plain data only, with CloudFormation's tags; dates stay text."""


def _short_form(loader: yaml.SafeLoader, suffix: str, node: yaml.Node) -> dict[str, Any]:
    value: Any
    if isinstance(node, yaml.ScalarNode):
        value = loader.construct_scalar(node)
    elif isinstance(node, yaml.SequenceNode):
        value = loader.construct_sequence(node, deep=True)
    else:
        value = loader.construct_mapping(node, deep=True)
    if suffix == "GetAtt" and isinstance(value, str):
        value = value.split(".", 1)
    return {suffix if suffix in {"Ref", "Condition"} else f"Fn::{suffix}": value}


_Loader.add_multi_constructor("!", _short_form)
# A policy's `Version: 2012-10-17` needs no quotes on AWS.
_Loader.add_constructor("tag:yaml.org,2002:timestamp", yaml.SafeLoader.construct_yaml_str)

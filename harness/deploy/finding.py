"""What checks find: something that would go wrong on AWS, and what would be right."""

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, slots=True)
class Finding:
    """Something that would go wrong on AWS.

    Attributes:
        rule: Which rule found it; cfn-lint's have a letter and a number.
        where: The resource, function or line.
        what: What is wrong, with the value.
        remedy: What would be right.
        level: An `error` keeps a deployment from working; a `warning` makes it slow or dear.
    """

    rule: str
    where: str
    what: str
    remedy: str
    level: Literal["error", "warning"] = "error"

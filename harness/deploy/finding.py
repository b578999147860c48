"""The result of a check: a mistake that would fail on AWS, and how to correct it."""

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, slots=True)
class Finding:
    """A mistake that would fail on AWS.

    Attributes:
        rule: The rule that found it; cfn-lint's rules have a letter and a number.
        where: The resource, function or line.
        what: The mistake, with the wrong value.
        remedy: The correction.
        level: An `error` prevents a deployment from working; a `warning` makes it slow or expensive.
    """

    rule: str
    where: str
    what: str
    remedy: str
    level: Literal["error", "warning"] = "error"

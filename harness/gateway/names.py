"""Names, ARNs and qualifiers of functions.

https://docs.aws.amazon.com/lambda/latest/api/API_Invoke.html#API_Invoke_RequestSyntax
"""

import re
from typing import NamedTuple

from harness.gateway import limits
from harness.gateway.errors import invalid_parameter, other_account, other_region, validation_failed

LATEST = "$LATEST"

# The parts of AWS's own expression, which the service model has checked before (api/constraints.py).
_NAME = re.compile(
    r"(?:arn:aws[a-zA-Z-]*:lambda:)?(?:(?P<region>[a-z]{2,}(?:-[a-z]+)+-\d):)?(?:(?P<account>\d{12}):)?(?:function:)?"
    r"(?P<name>[a-zA-Z0-9-_.]+)(?::(?P<qualifier>\$LATEST(?:\.PUBLISHED)?|[a-zA-Z0-9-_]+))?"
)
_LONGEST_NAME = 64


class Identifier(NamedTuple):
    """A function, and a version or alias of it; an empty qualifier names none."""

    name: str
    qualifier: str


def parse_identifier(identifier: str, qualifier: str | None = None) -> Identifier:
    """Return the function and qualifier that a name, a partial ARN or an ARN identifies.

    Args:
        identifier: A name or an ARN, with or without a qualifier.
        qualifier: The qualifier that the request names separately.

    Raises:
        LambdaApiError: The identifier is malformed or of another region or account, or the two qualifiers differ.
    """
    match = _NAME.fullmatch(identifier)
    if match is None:
        raise validation_failed(
            f"Value '{identifier}' at 'functionName' failed to satisfy constraint: Member must satisfy regular "
            f"expression pattern: {_NAME.pattern}"
        )
    own = match["qualifier"]
    if own and qualifier and own != qualifier:
        raise invalid_parameter("The derived qualifier from the function name does not match the specified qualifier.")
    if match["region"] not in (None, limits.REGION):
        raise other_region(match["region"])
    if match["account"] not in (None, limits.ACCOUNT_ID):
        raise other_account(identifier)
    return Identifier(match["name"], own or qualifier or "")


def check_new_name(name: str) -> None:
    """Refuse a name that is too long for a new function.

    Raises:
        LambdaApiError: It has more than 64 letters.
    """
    if len(name) > _LONGEST_NAME:
        raise invalid_parameter(
            f"1 validation error detected: Value '{name}' at 'functionName' failed to satisfy constraint: "
            f"Member must have length less than or equal to {_LONGEST_NAME}"
        )


def function_arn(name: str, qualifier: str = "") -> str:
    """Return the ARN of a function of the emulated account."""
    arn = f"arn:aws:lambda:{limits.REGION}:{limits.ACCOUNT_ID}:function:{name}"
    return f"{arn}:{qualifier}" if qualifier else arn


def layer_arn(name: str, number: int | None = None) -> str:
    """Return the ARN of a layer of the emulated account, or of one version of it."""
    arn = f"arn:aws:lambda:{limits.REGION}:{limits.ACCOUNT_ID}:layer:{name}"
    return arn if number is None else f"{arn}:{number}"

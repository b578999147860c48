"""Names, ARNs and qualifiers of functions.

https://docs.aws.amazon.com/lambda/latest/api/API_Invoke.html#API_Invoke_RequestSyntax
"""

import re
from typing import NamedTuple

from harness.gateway import limits
from harness.gateway.errors import invalid_parameter, validation_failed

LATEST = "$LATEST"

_NAME = re.compile(
    r"^(arn:aws[a-zA-Z-]*:lambda:[a-z0-9-]+:\d{12}:function:|\d{12}:(function:)?|function:)?"
    r"(?P<name>[a-zA-Z0-9-_]{1,64})(:(?P<qualifier>\$LATEST|[a-zA-Z0-9-_]+))?$"
)
_ALIAS = re.compile(r"(?!^[0-9]+$)[a-zA-Z0-9-_]{1,128}")


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
        LambdaApiError: The identifier is malformed, or the two qualifiers differ.
    """
    match = _NAME.match(identifier)
    if match is None:
        raise validation_failed(
            f"Value '{identifier}' at 'functionName' failed to satisfy constraint: Member must satisfy regular "
            f"expression pattern: {_NAME.pattern}"
        )
    own = match["qualifier"]
    if own and qualifier and own != qualifier:
        raise invalid_parameter("The derived qualifier from the function name does not match the specified qualifier.")
    return Identifier(match["name"], own or qualifier or "")


def parse_alias(name: str) -> str:
    """Return the name of an alias after checking it.

    Raises:
        LambdaApiError: It is malformed.
    """
    if not _ALIAS.fullmatch(name):
        raise validation_failed(
            f"Value '{name}' at 'name' failed to satisfy constraint: Member must satisfy regular expression pattern: "
            "(?!^[0-9]+$)([a-zA-Z0-9-_]+)"
        )
    return name


def function_arn(name: str, qualifier: str = "") -> str:
    """Return the ARN of a function of the emulated account."""
    arn = f"arn:aws:lambda:{limits.REGION}:{limits.ACCOUNT_ID}:function:{name}"
    return f"{arn}:{qualifier}" if qualifier else arn

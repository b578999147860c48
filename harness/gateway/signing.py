"""Code signing configurations: which publishers' signatures a function's code needs.

The emulation has no AWS Signer, so that no code has a signature: `Warn` lets it pass, `Enforce` refuses it.
https://docs.aws.amazon.com/lambda/latest/dg/configuration-codesigning.html
"""

import secrets
import string
from datetime import datetime
from typing import Literal

import msgspec

from harness.gateway import limits
from harness.gateway.attached import Attached
from harness.gateway.errors import LambdaApiError
from harness.gateway.names import Identifier

_LETTERS, _ID_LETTERS = string.ascii_lowercase + string.digits, 17

SigningPolicy = Literal["Warn", "Enforce"]


class SigningConfig(msgspec.Struct, frozen=True):
    """A code signing configuration.

    Attributes:
        id: Its id.
        publishers: ARNs of the signing profiles whose signatures are accepted.
        policy: What becomes of code without such a signature.
        description: Free text.
        modified: When it was last changed.
        tags: Its tags.
    """

    id: str
    publishers: list[str]
    policy: SigningPolicy
    description: str
    modified: datetime
    tags: dict[str, str]

    @property
    def arn(self) -> str:
        """Return its ARN."""
        return f"arn:aws:lambda:{limits.REGION}:{limits.ACCOUNT_ID}:code-signing-config:{self.id}"


class CodeSigning:
    """The account's code signing configurations, and the functions that have one.

    Attributes:
        configs: The configurations by ARN.
        functions: The ARN of a function's configuration.
    """

    def __init__(self) -> None:
        self.configs: dict[str, SigningConfig] = {}
        self.functions: Attached[str] = Attached()

    def check(self, function: str) -> None:
        """Refuse new code of a function that takes signed code only.

        Raises:
            LambdaApiError: The policy of its configuration is `Enforce`.
        """
        arn = self.functions.get(Identifier(function, ""))
        if arn is not None and self.configs[arn].policy == "Enforce":
            raise LambdaApiError(
                "CodeVerificationFailedException",
                400,
                "Lambda cannot deploy the function. The function or layer might be signed using a signature that the "
                f"client is not configured to accept. Check the provided signature for {function}.",
            )

    def names_of(self, arn: str) -> list[str]:
        """Return the names of the functions that have a configuration."""
        return [identifier.name for identifier, own in self.functions.all() if own == arn]


def new_id() -> str:
    """Return an id in AWS's form."""
    return "csc-" + "".join(secrets.choice(_LETTERS) for _ in range(_ID_LETTERS))

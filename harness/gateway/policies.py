"""Resource policies: who else than the function's own account's roles may invoke a function, a version or an alias.

https://docs.aws.amazon.com/lambda/latest/dg/access-control-resource-based.html
"""

import json
import re
from collections.abc import Mapping
from typing import Any

import msgspec

from harness import iam
from harness.gateway.attached import Attached
from harness.gateway.credentials import Caller
from harness.gateway.names import Identifier, function_arn

_ACCOUNT = re.compile(r"\d{12}")
_SERVICE = re.compile(r"[a-z0-9.-]+\.amazon(aws)?\.com(\.cn)?")
_IDENTITY = re.compile(r"arn:aws[a-z-]*:(iam|sts)::\d{12}:\S+")

Statement = Mapping[str, Any]


class Policy(msgspec.Struct, frozen=True):
    """The policy of a function, a version or an alias.

    Attributes:
        statements: Its statements, in the order in which they were added.
        revision: AWS's `RevisionId`, which changes with every modification.
    """

    statements: tuple[Statement, ...]
    revision: str

    def text(self) -> str:
        """Return the policy as AWS writes it."""
        return json_text({"Version": "2012-10-17", "Id": "default", "Statement": list(self.statements)})


def json_text(value: object) -> str:
    """Return JSON as AWS writes policies: without spaces."""
    return json.dumps(value, separators=(",", ":"))


def principal_of(principal: str) -> str | dict[str, str] | None:
    """Return the principal in a statement's form: everybody, a service, an account or an identity; None for others."""
    if principal == "*":
        return principal
    if _ACCOUNT.fullmatch(principal):
        return {"AWS": f"arn:aws:iam::{principal}:root"}
    if _IDENTITY.fullmatch(principal):
        return {"AWS": principal}
    return {"Service": principal} if _SERVICE.fullmatch(principal) else None


class Policies(Attached[Policy]):
    """The policies of all functions, versions and aliases."""

    def grants(
        self, identifier: Identifier, principals: set[str], action: str, resource: str, context: iam.Context
    ) -> bool:
        """Return whether the policy of what is invoked allows a call.

        Args:
            identifier: What is invoked.
            principals: The ARNs by which the policy may name the caller; everybody is `*`.
            action: For example `lambda:InvokeFunction`.
            resource: ARN of what is invoked.
            context: The condition keys of the call.
        """
        policy = self.get(identifier)
        concerned = [
            {key: value for key, value in statement.items() if key != "Principal"}
            for statement in (policy.statements if policy is not None else ())
            if _named(statement["Principal"]) in principals
        ]
        return iam.decide([{"Statement": concerned}], action, resource, context).allowed

    def grants_function(self, caller: Caller, identifier: Identifier, action: str, auth_type: str = "") -> bool:
        """Return whether the policy of what is invoked allows a call by a function, which it may name by its role."""
        context = {"lambda:SourceFunctionArn": caller.function, "aws:PrincipalArn": caller.role}
        if auth_type:
            context["lambda:FunctionUrlAuthType"] = auth_type
        return self.grants(identifier, {"*", caller.role, caller.arn}, action, function_arn(*identifier), context)


def _named(principal: str | Mapping[str, str]) -> str:
    return principal if isinstance(principal, str) else next(iter(principal.values()))

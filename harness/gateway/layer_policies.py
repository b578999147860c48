"""Who may use the versions of layers: the resource-based policies, which are stored and shown.

The emulation has one account, whose functions may use all of its layers; a policy changes nothing here.
https://docs.aws.amazon.com/lambda/latest/dg/permissions-layer-cross-account.html
"""

import re
import uuid
from dataclasses import dataclass, field
from typing import Any

import msgspec

from harness.gateway import limits
from harness.gateway.errors import LambdaApiError, layer_precondition_failed, not_found


@dataclass
class LayerPolicy:
    """The policy of one version.

    Attributes:
        revision: Changes with every statement that is added or removed.
        statements: The statements by their ids.
    """

    revision: str
    statements: dict[str, dict[str, Any]] = field(default_factory=dict)

    def document(self) -> str:
        """Return the policy as JSON."""
        statements = list(self.statements.values())
        return _json({"Version": "2012-10-17", "Id": "default", "Statement": statements})


class LayerPolicies:
    """The policies of all versions, by their ARNs."""

    def __init__(self) -> None:
        self._policies: dict[str, LayerPolicy] = {}

    def get(self, arn: str) -> LayerPolicy:
        """Return the policy of a version.

        Raises:
            LambdaApiError: It has none.
        """
        policy = self._policies.get(arn)
        if policy is None or not policy.statements:
            raise not_found("No policy is associated with the given resource.")
        return policy

    def add(
        self, arn: str, sid: str, action: str, principal: str, organization: str | None, revision: str | None
    ) -> tuple[str, str]:
        """Add a statement to the policy of a version; return the statement as JSON and the policy's revision.

        Args:
            arn: The version's ARN.
            sid: The statement's id.
            action: The action that it allows.
            principal: An account, its ARN, or `*`.
            organization: The organization whose accounts are meant by `*`; None for all accounts.
            revision: The revision that the policy must have; None for any.

        Raises:
            LambdaApiError: The id is taken, the policy has another revision, or it would become too long.
        """
        policy = self._policies.setdefault(arn, LayerPolicy(""))
        if revision not in (None, policy.revision):
            raise layer_precondition_failed()
        if sid in policy.statements:
            raise LambdaApiError(
                "ResourceConflictException",
                409,
                f"The statement id ({sid}) provided already exists. Please provide a new statement id, or remove the "
                "existing statement.",
            )
        statement = _statement(arn, sid, action, principal, organization)
        size = len(LayerPolicy("", {**policy.statements, sid: statement}).document())
        if size > limits.POLICY_BYTES:
            message = f"The final policy size ({size}) is bigger than the limit ({limits.POLICY_BYTES})."
            raise LambdaApiError("PolicyLengthExceededException", 400, message)
        policy.statements[sid] = statement
        policy.revision = str(uuid.uuid4())
        return _json(statement), policy.revision

    def remove_statement(self, arn: str, sid: str, revision: str | None) -> None:
        """Remove a statement from the policy of a version.

        Raises:
            LambdaApiError: There is no such statement, or the policy has another revision.
        """
        policy = self.get(arn)
        if sid not in policy.statements:
            raise not_found(f"Statement {sid} is not found in resource policy.")
        if revision not in (None, policy.revision):
            raise layer_precondition_failed()
        del policy.statements[sid]
        policy.revision = str(uuid.uuid4())

    def remove(self, arn: str) -> None:
        """Remove the policy of a version that was deleted."""
        self._policies.pop(arn, None)


def _statement(arn: str, sid: str, action: str, principal: str, organization: str | None) -> dict[str, Any]:
    account = f"arn:aws:iam::{principal}:root" if re.fullmatch(r"\d{12}", principal) else principal
    condition = {"Condition": {"StringEquals": {"aws:PrincipalOrgID": organization}}} if organization else {}
    return {
        "Sid": sid,
        "Effect": "Allow",
        "Principal": "*" if principal == "*" else {"AWS": account},
        "Action": action,
        "Resource": arn,
        **condition,
    }


def _json(value: dict[str, Any]) -> str:
    return msgspec.json.encode(value).decode()

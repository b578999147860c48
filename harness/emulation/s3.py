"""S3: every connection to this emulation counts as encrypted.

moto ignores conditions, so a bucket policy that denies connections without TLS would deny everything.
"""

import json
from typing import Any

from moto.iam.access_control import IAMPolicy, PermissionResult
from moto.s3.models import FakeBucket


def _about_encryption(statement: dict[str, Any]) -> bool:
    """Return whether a statement denies connections without TLS and nothing else."""
    keys = {key.lower() for operands in statement.get("Condition", {}).values() for key in operands}
    return statement.get("Effect") == "Deny" and keys == {"aws:securetransport"}


def _get_permission(self: FakeBucket, action: str, resource: str) -> PermissionResult:
    if self.policy is None:
        return PermissionResult.NEUTRAL
    policy = json.loads(self.policy)
    statements = policy["Statement"] if isinstance(policy["Statement"], list) else [policy["Statement"]]
    others = [statement for statement in statements if not _about_encryption(statement)]
    return IAMPolicy(json.dumps({**policy, "Statement": others})).is_action_permitted(action, resource)


def install(_endpoint: str) -> None:
    """Add this to moto's S3."""
    FakeBucket.get_permission = _get_permission  # type: ignore[method-assign]

"""STS: a function's credentials are those of its role's session, as its name tells."""

import hashlib
from typing import Any

from moto.core.responses import ActionResult
from moto.iam.models import iam_backends
from moto.sts.responses import TokenResponse

from harness.gateway.credentials import Caller, caller_of

_ROLE_ID_DIGITS = 17


def install(_endpoint: str) -> None:
    """Add this to moto's STS."""
    of_others = TokenResponse.get_caller_identity

    def get_caller_identity(self: TokenResponse) -> Any:  # noqa: ANN401 - moto's answer
        caller = caller_of(self.headers.get("X-Amz-Security-Token", ""))
        if caller is None:
            return of_others(self)
        account, session = caller.arn.split(":")[4], caller.arn.rpartition("/")[2]
        return ActionResult({"UserId": f"{_role_id(caller)}:{session}", "Account": account, "Arn": caller.arn})

    TokenResponse.get_caller_identity = get_caller_identity  # type: ignore[method-assign]


def _role_id(caller: Caller) -> str:
    """Return the unique id of a caller's role, which is derived from its ARN if IAM does not know the role."""
    roles = iam_backends[caller.role.split(":")[4]]["aws"].roles.values()
    known = next((role.id for role in roles if role.arn == caller.role), None)
    digits = hashlib.sha256(caller.role.encode()).hexdigest().upper()
    return known or f"AROA{digits[:_ROLE_ID_DIGITS]}"

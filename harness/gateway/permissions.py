"""Checks whether a role allows a function to call the Lambda service; the control plane, which has roles, decides."""

from collections.abc import Callable
from http import HTTPStatus
from urllib.parse import urlsplit

import msgspec

from harness.gateway import limits
from harness.gateway.connection import HttpConnection
from harness.gateway.credentials import Caller, caller_of, token_of
from harness.gateway.errors import LambdaApiError
from harness.gateway.names import function_arn
from harness.guard import authorization

ROUTE = "/_harness/access"
_ANSWERS_WITHIN_S = 10.0


class Question(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A question to the control plane: may the owner of a session token perform this action on this resource?"""

    token: str
    action: str
    resource: str


class AccessDecision(msgspec.Struct, frozen=True):
    """The control plane's answer.

    Attributes:
        allowed: Whether the caller's role allows the action.
        message: AWS's message if it does not.
        explicit: Whether something denies it, so that the policy of the resource cannot allow it either.
    """

    allowed: bool
    message: str
    explicit: bool = False


class Permissions:
    """The permissions of roles.

    Args:
        endpoint: Address of the control plane.
        access_key: The stack's own access key.
    """

    def __init__(self, endpoint: str, access_key: str) -> None:
        self._address = urlsplit(endpoint).netloc
        self._headers = authorization(access_key)

    async def check(
        self, token: str, action: str, resource: str, granted: Callable[[Caller], bool] = lambda _: False
    ) -> None:
        """Check that a caller may perform a call, and refuse it as Lambda does otherwise.

        Args:
            token: The caller's session token; a caller without one is not a function, and may do everything.
            action: For example `lambda:InvokeFunction`.
            resource: ARN of the resource.
            granted: Whether the policy of the resource allows the call; within one account, that is enough.

        Raises:
            LambdaApiError: Neither the caller's role nor the resource allows the call, or the control plane does not
                answer.
        """
        caller = caller_of(token)
        if caller is None or caller.role == limits.ANY_ROLE:
            return
        decision = await self._ask(Question(token, action, resource))
        if not decision.allowed and (decision.explicit or not granted(caller)):
            raise LambdaApiError("AccessDeniedException", 403, decision.message)

    async def allows(self, function: str, role: str, action: str, resource: str) -> bool:
        """Return whether a function's role allows what Lambda does on the function's behalf, outside of its VPC.

        Args:
            function: The function's name.
            role: ARN of its role.
            action: For example `sqs:SendMessage`.
            resource: ARN of the resource.

        Raises:
            LambdaApiError: The control plane does not answer.
        """
        if role == limits.ANY_ROLE:
            return True
        token = token_of(Caller(function_arn(function), role))
        return (await self._ask(Question(token, action, resource))).allowed

    async def _ask(self, question: Question) -> AccessDecision:
        connection = HttpConnection(self._address)
        try:
            answer = await connection.post(ROUTE, msgspec.json.encode(question), self._headers, _ANSWERS_WITHIN_S)
        except (OSError, TimeoutError) as error:
            raise LambdaApiError("ServiceException", 500, f"IAM does not answer: {error}") from error
        finally:
            connection.close()
        if answer.status != HTTPStatus.OK:
            raise LambdaApiError("ServiceException", 500, f"IAM: {answer.body[:400].decode(errors='replace')}")
        return msgspec.json.decode(answer.body, type=AccessDecision)

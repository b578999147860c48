"""Checks whether a role allows a function to call the Lambda service; the control plane, which has roles, decides."""

from http import HTTPStatus
from urllib.parse import urlsplit

import msgspec

from harness.gateway import limits
from harness.gateway.connection import HttpConnection
from harness.gateway.credentials import caller_of
from harness.gateway.errors import LambdaApiError
from harness.guard import authorization

ROUTE = "/_harness/access"
_ANSWERS_WITHIN_S = 10.0


class Question(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A question to the control plane: may the owner of a session token perform this action on this resource?"""

    token: str
    action: str
    resource: str


class AccessDecision(msgspec.Struct, frozen=True):
    """The control plane's answer, with AWS's message if the action is denied."""

    allowed: bool
    message: str


class Permissions:
    """The permissions of roles.

    Args:
        endpoint: Address of the control plane.
        access_key: The stack's own access key.
    """

    def __init__(self, endpoint: str, access_key: str) -> None:
        self._address = urlsplit(endpoint).netloc
        self._headers = authorization(access_key)

    async def check(self, token: str, action: str, resource: str) -> None:
        """Check that a caller may perform a call, and refuse it as Lambda does otherwise.

        Args:
            token: The caller's session token; a caller without one is not a function, and may do everything.
            action: For example `lambda:InvokeFunction`.
            resource: ARN of the resource.

        Raises:
            LambdaApiError: The caller's role does not allow the call, or the control plane does not answer.
        """
        caller = caller_of(token)
        if caller is None or caller.role == limits.ANY_ROLE:
            return
        connection = HttpConnection(self._address)
        question = msgspec.json.encode(Question(token, action, resource))
        try:
            answer = await connection.post(ROUTE, question, self._headers, _ANSWERS_WITHIN_S)
        except (OSError, TimeoutError) as error:
            raise LambdaApiError("ServiceException", 500, f"IAM does not answer: {error}") from error
        finally:
            connection.close()
        if answer.status != HTTPStatus.OK:
            raise LambdaApiError("ServiceException", 500, f"IAM: {answer.body[:400].decode(errors='replace')}")
        verdict = msgspec.json.decode(answer.body, type=AccessDecision)
        if not verdict.allowed:
            raise LambdaApiError("AccessDeniedException", 403, verdict.message)

"""The credentials of an execution environment: fake, they open nothing, and tell whose they are.

On AWS the session token stands for the function's role, in a form that only AWS reads; here anybody may.
https://docs.aws.amazon.com/lambda/latest/dg/lambda-intro-execution-role.html
"""

import base64

import msgspec

from harness.gateway.names import function_arn
from harness.gateway.records import Function


class Caller(msgspec.Struct, frozen=True):
    """Who makes a call.

    Attributes:
        function: ARN of the function.
        role: ARN of its role.
        vpc: ID of the VPC that it has joined; empty for none.
    """

    function: str
    role: str
    vpc: str = ""

    @property
    def arn(self) -> str:
        """As AWS names it in an error: the session of a role.

        https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_identifiers.html
        """
        account, role = self.role.split(":")[4], self.role.rpartition("/")[2]
        return f"arn:aws:sts::{account}:assumed-role/{role}/{self.function.rpartition(':')[2]}"


def access_key(stream: str) -> str:
    """The access key of the environment with that log stream: by it the gateway knows which of them calls."""
    return f"test{stream[-16:]}"


def session_token(function: Function) -> str:
    """The token that a function's environments send along with their requests."""
    # https://docs.aws.amazon.com/lambda/latest/dg/permissions-source-function-arn.html - without the version.
    return token_of(Caller(function_arn(function.name), function.role, function.vpc.vpc))


def token_of(caller: Caller) -> str:
    """A session token that says who it is."""
    return base64.urlsafe_b64encode(msgspec.json.encode(caller)).decode()


def caller_of(token: str) -> Caller | None:
    """Whose session token it is; None for what is none of ours, and for no token."""
    if not token:
        return None
    try:
        return msgspec.json.decode(base64.urlsafe_b64decode(token), type=Caller)
    except (ValueError, msgspec.DecodeError):
        return None

"""The credentials of an execution environment, which are valid for the services of its stack and identify the function.

On AWS, the session token stands for the function's role in a form that only AWS can read; here anybody can read it.
Nobody can forge one: the access key that goes with it is derived from the stack's secret (`harness/guard.py`).
https://docs.aws.amazon.com/lambda/latest/dg/lambda-intro-execution-role.html
"""

import base64

import msgspec

from harness.gateway.names import function_arn
from harness.gateway.records import Function
from harness.guard import session_key


class Caller(msgspec.Struct, frozen=True):
    """The function that makes a call.

    Attributes:
        function: ARN of the function.
        role: ARN of its role.
        vpc: ID of the VPC that it has joined; empty if there is none.
    """

    function: str
    role: str
    vpc: str = ""

    @property
    def arn(self) -> str:
        """Return the ARN of the role's session, by which AWS's errors name the caller.

        https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_identifiers.html
        """
        account, role = self.role.split(":")[4], self.role.rpartition("/")[2]
        return f"arn:aws:sts::{account}:assumed-role/{role}/{self.function.rpartition(':')[2]}"


def environment_name(stream: str) -> str:
    """Return the environment's name, derived from its log stream; its access key contains it, to identify callers."""
    return stream[-16:]


def credentials(function: Function, stream: str, secret: str) -> dict[str, str]:
    """Return the variables with the credentials of an environment.

    Args:
        function: The environment's function.
        stream: Name of its log stream.
        secret: The stack's secret.
    """
    token = session_token(function)
    return {
        "AWS_ACCESS_KEY_ID": session_key(secret, environment_name(stream), token),
        # Signatures are not verified: the access key itself is the secret.
        "AWS_SECRET_ACCESS_KEY": "test",
        "AWS_SESSION_TOKEN": token,
    }


def session_token(function: Function) -> str:
    """Return the session token that a function's environments send with their requests."""
    # https://docs.aws.amazon.com/lambda/latest/dg/permissions-source-function-arn.html - without the version.
    return token_of(Caller(function_arn(function.name), function.role, function.vpc.vpc))


def token_of(caller: Caller) -> str:
    """Return a session token that identifies a caller."""
    return base64.urlsafe_b64encode(msgspec.json.encode(caller)).decode()


def caller_of(token: str) -> Caller | None:
    """Return the caller that a session token identifies; None if it is empty or not one of ours."""
    if not token:
        return None
    try:
        return msgspec.json.decode(base64.urlsafe_b64decode(token), type=Caller)
    except (ValueError, msgspec.DecodeError):
        return None

"""The credentials of an execution environment: they open the services of its stack alone, and tell whose they are.

On AWS the session token stands for the function's role, in a form that only AWS reads; here anybody may read it.
Nobody can make one: the access key that goes with it is derived from the stack's secret (`harness/guard.py`).
https://docs.aws.amazon.com/lambda/latest/dg/lambda-intro-execution-role.html
"""

import base64

import msgspec

from harness.gateway.names import function_arn
from harness.gateway.records import Function
from harness.guard import session_key


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


def environment_name(stream: str) -> str:
    """Return the name of the environment with that log stream: in its access key, which tells which of them calls."""
    return stream[-16:]


def credentials(function: Function, stream: str, secret: str) -> dict[str, str]:
    """Return the variables with the credentials of an environment.

    Args:
        function: Its function.
        stream: Its log stream.
        secret: The stack's.
    """
    token = session_token(function)
    return {
        "AWS_ACCESS_KEY_ID": session_key(secret, environment_name(stream), token),
        # Signatures are not verified: the access key is what is secret.
        "AWS_SECRET_ACCESS_KEY": "test",
        "AWS_SESSION_TOKEN": token,
    }


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

"""The credentials of an execution environment, which are valid for the services of its stack and identify the function.

On AWS, the session token stands for the function's role in a form that only AWS can read; here anybody can read it.
Nobody can forge one: the access key that goes with it is derived from the stack's secret (`harness/guard.py`).
https://docs.aws.amazon.com/lambda/latest/dg/lambda-intro-execution-role.html
"""

import base64
import hmac

import msgspec

from harness.gateway.names import function_arn
from harness.gateway.records import Function
from harness.guard import session_key

METADATA_API, METADATA_TOKEN = "AWS_LAMBDA_METADATA_API", "AWS_LAMBDA_METADATA_TOKEN"


class Caller(msgspec.Struct, frozen=True):
    """The function that makes a call.

    Attributes:
        function: ARN of the function.
        role: ARN of its role.
        vpc: ID of the VPC that it has joined; empty if there is none.
        environment: Name of its environment; empty for a function as such.
    """

    function: str
    role: str
    vpc: str = ""
    environment: str = ""

    @property
    def arn(self) -> str:
        """Return the ARN of the role's session, by which AWS's errors name the caller.

        https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_identifiers.html
        """
        account, role = self.role.split(":")[4], self.role.rpartition("/")[2]
        session = self.function.rpartition(":")[2]
        # A session's name has two characters at least.
        return f"arn:aws:sts::{account}:assumed-role/{role}/{session}{'' if session[1:] else '@lambda_function'}"


def environment_name(stream: str) -> str:
    """Return the environment's name, derived from its log stream; its access key contains it, to identify callers."""
    return stream[-16:]


def metadata_token(secret: str, environment: str) -> str:
    """Return an environment's token for the metadata endpoint, which begins with the environment's name.

    Args:
        secret: The stack's secret.
        environment: The environment's name.
    """
    return f"{environment}.{hmac.digest(secret.encode(), f'metadata {environment}'.encode(), 'sha256').hex()}"


def credentials(function: Function, stream: str, secret: str) -> dict[str, str]:
    """Return the variables with the credentials of an environment.

    Args:
        function: The environment's function.
        stream: Name of its log stream.
        secret: The stack's secret.
    """
    name = environment_name(stream)
    # https://docs.aws.amazon.com/lambda/latest/dg/permissions-source-function-arn.html - without the version.
    vpc = function.vpc.vpc if function.vpc else ""
    token = token_of(Caller(function_arn(function.name), function.role, vpc, name))
    # Signatures are not verified: the access key itself is the secret. This one only has AWS's form.
    random = hmac.digest(secret.encode(), f"secret access key {name}".encode(), "sha256")
    return {
        "AWS_ACCESS_KEY_ID": session_key(secret, name, token),
        "AWS_SECRET_ACCESS_KEY": base64.b64encode(random)[:40].decode(),
        "AWS_SESSION_TOKEN": token,
    }


def token_of(caller: Caller) -> str:
    """Return a session token that identifies a caller."""
    return base64.urlsafe_b64encode(msgspec.json.encode(caller)).decode()


def caller_of(token: str) -> Caller | None:
    """Return the caller that a session token identifies; None if it is empty or not one of ours."""
    if not token:
        return None
    try:
        return msgspec.json.decode(base64.urlsafe_b64decode(token), type=Caller)
    except (ValueError, msgspec.DecodeError, RecursionError):
        return None

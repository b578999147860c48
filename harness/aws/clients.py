"""boto3 clients for the services that a run uses, of a stack on this machine or of AWS."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import boto3
from botocore.config import Config

from harness.aws.errors import aws_settings
from harness.aws.stack_session import DIRECT, stack_session
from harness.stack.state import Endpoints

if TYPE_CHECKING:
    from mypy_boto3_lambda import LambdaClient
    from mypy_boto3_logs import CloudWatchLogsClient
    from mypy_boto3_s3 import S3Client

# A synchronous invocation is answered when the function ends, at most 15 minutes later; it must not be repeated.
INVOKE_READ_TIMEOUT_S = 910
# A service that is down refuses at once; one that shares busy cores with the workers may take this long.
CONTROL_TIMEOUT_S = 15
# AWS throttles callers, and expects them to retry.
SEVERAL_TRIES = Config(retries={"mode": "standard", "total_max_attempts": 8})


@dataclass(frozen=True)
class Clients:
    """The clients of a run.

    Attributes:
        s3: Data and results.
        functions: Lambda, with a timeout as long as a function may run; on a stack, no call is repeated.
        management: Lambda, to create and change functions; a call is repeated if its connection breaks.
        control: Lambda, for requests that are answered at once.
        logs: CloudWatch Logs, with the output of functions.
    """

    s3: "S3Client"
    functions: "LambdaClient"
    management: "LambdaClient"
    control: "LambdaClient"
    logs: "CloudWatchLogsClient"


def emulation_session(endpoints: Endpoints) -> boto3.Session:
    """Return a session with a stack's credentials, independent of the user's AWS settings."""
    return stack_session(endpoints.access_key)


def clients_for(endpoints: Endpoints, *, invoke_within_s: int = INVOKE_READ_TIMEOUT_S) -> Clients:
    """Return clients for a running stack, with the emulation's credentials.

    Args:
        endpoints: The stack's addresses.
        invoke_within_s: How long an invocation may take.
    """
    session = emulation_session(endpoints)
    patient = DIRECT.merge(Config(read_timeout=invoke_within_s, retries={"total_max_attempts": 1}))
    quick = DIRECT.merge(
        Config(connect_timeout=CONTROL_TIMEOUT_S, read_timeout=CONTROL_TIMEOUT_S, retries={"total_max_attempts": 1})
    )
    # A service that is down is reported soon: three attempts take a second or two.
    few_tries = DIRECT.merge(Config(retries={"mode": "standard", "total_max_attempts": 3}))
    return Clients(
        s3=session.client("s3", endpoint_url=endpoints.s3, config=few_tries),
        functions=session.client("lambda", endpoint_url=endpoints.lambda_, config=patient),
        # A connection that was kept alive may be closed at the very moment at which it is used again.
        management=session.client(
            "lambda", endpoint_url=endpoints.lambda_, config=few_tries.merge(Config(read_timeout=INVOKE_READ_TIMEOUT_S))
        ),
        control=session.client("lambda", endpoint_url=endpoints.lambda_, config=quick),
        logs=session.client("logs", endpoint_url=endpoints.aws, config=few_tries),
    )


def aws_clients(session: boto3.Session) -> Clients:
    """Return clients for AWS, with the user's credentials.

    A second invocation of the coordinator with the same job starts no second run, so calls may be retried.
    """
    patient = Config(read_timeout=INVOKE_READ_TIMEOUT_S, tcp_keepalive=True).merge(SEVERAL_TRIES)
    with aws_settings():
        functions = session.client("lambda", config=patient)
        return Clients(
            s3=session.client("s3", config=SEVERAL_TRIES),
            functions=functions,
            management=functions,
            control=session.client("lambda", config=SEVERAL_TRIES),
            logs=session.client("logs", config=SEVERAL_TRIES),
        )

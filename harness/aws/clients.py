"""boto3 clients for the services of a stack; the same calls go to AWS when a run does."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import boto3
from botocore.config import Config

from fixtures.emulation import DIRECT, stack_session
from harness.aws.errors import aws_settings
from harness.stack.state import Endpoints

if TYPE_CHECKING:
    from mypy_boto3_lambda import LambdaClient
    from mypy_boto3_logs import CloudWatchLogsClient
    from mypy_boto3_s3 import S3Client

# A synchronous invocation is answered when the function ends: at most 15 minutes later, and never asked for twice.
INVOKE_READ_TIMEOUT_S = 910
# A service that is gone refuses at once; one that is only busy, with the cores that workers train on, may take long.
CONTROL_TIMEOUT_S = 15
# AWS refuses whoever calls too often, and expects that the call is repeated.
SEVERAL_TRIES = Config(retries={"mode": "standard", "total_max_attempts": 8})


@dataclass(frozen=True)
class Clients:
    """What a run talks to.

    Attributes:
        s3: Data and results.
        functions: Invokes functions, and waits as long as they may run.
        control: The same service, for questions that are answered at once.
        logs: What functions print.
    """

    s3: "S3Client"
    functions: "LambdaClient"
    control: "LambdaClient"
    logs: "CloudWatchLogsClient"


def emulation_session(endpoints: Endpoints) -> boto3.Session:
    """Return a session with a stack's credentials; the user's AWS settings do not reach it."""
    return stack_session(endpoints.access_key)


def clients_for(endpoints: Endpoints) -> Clients:
    """Clients for a running stack, with the emulation's credentials."""
    session = emulation_session(endpoints)
    patient = DIRECT.merge(Config(read_timeout=INVOKE_READ_TIMEOUT_S, retries={"total_max_attempts": 1}))
    quick = DIRECT.merge(
        Config(connect_timeout=CONTROL_TIMEOUT_S, read_timeout=CONTROL_TIMEOUT_S, retries={"total_max_attempts": 1})
    )
    # A service that is gone refuses at once, and is told as that: three tries take a second or two.
    few_tries = DIRECT.merge(Config(retries={"mode": "standard", "total_max_attempts": 3}))
    return Clients(
        s3=session.client("s3", endpoint_url=endpoints.s3, config=few_tries),
        functions=session.client("lambda", endpoint_url=endpoints.lambda_, config=patient),
        control=session.client("lambda", endpoint_url=endpoints.lambda_, config=quick),
        logs=session.client("logs", endpoint_url=endpoints.aws, config=few_tries),
    )


def aws_clients(session: boto3.Session) -> Clients:
    """Clients for AWS, with the user's credentials.

    Asked twice, the coordinator starts no second run, so that calls may be tried again.
    """
    patient = Config(read_timeout=INVOKE_READ_TIMEOUT_S, tcp_keepalive=True).merge(SEVERAL_TRIES)
    with aws_settings():
        return Clients(
            s3=session.client("s3", config=SEVERAL_TRIES),
            functions=session.client("lambda", config=patient),
            control=session.client("lambda", config=SEVERAL_TRIES),
            logs=session.client("logs", config=SEVERAL_TRIES),
        )

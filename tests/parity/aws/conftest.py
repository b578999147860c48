"""AWS's behaviour, shown by boto3 alone: against the emulation, or with HARNESS_TARGET=aws against an account.

On AWS the tests take the account of the environment, and a role for the functions from HARNESS_TEST_ROLE.
They delete what they make.
"""

import os
import uuid
from collections.abc import Callable, Iterator
from typing import Any

import boto3
import msgspec
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError

from harness.aws.clients import emulation_session
from harness.gateway.isolation.view import Namespaces, permitted
from harness.settings import GatewaySettings, Settings
from harness.stack import start_private_stack
from tests.parity.aws.support import archive
from tests.support.functions import ROLE

ON_AWS = os.environ.get("HARNESS_TARGET") == "aws"
Clients = Callable[..., Any]


@pytest.fixture(scope="session")
def aws(settings: Settings) -> Iterator[Clients]:
    """A function that returns the client of a service."""
    if ON_AWS:
        yield boto3.Session().client
        return
    # Retries of events do not take minutes.
    hasty = msgspec.structs.replace(settings, gateway=GatewaySettings(retry_time_scale=0.001))
    with start_private_stack(hasty, s3="moto") as stack:
        session, endpoints = emulation_session(stack.endpoints), stack.endpoints
        addresses = {"lambda": endpoints.lambda_, "s3": endpoints.s3}
        yield lambda service, **options: session.client(
            service, **{"endpoint_url": addresses.get(service, endpoints.aws), **options}
        )


@pytest.fixture(scope="session")
def functions(aws: Clients) -> Any:
    """A client of Lambda that sends what it is given and tries once."""
    return aws("lambda", config=Config(parameter_validation=False, retries={"total_max_attempts": 1}))


@pytest.fixture(scope="session")
def role() -> str:
    """ARN of a role that functions may have."""
    return os.environ["HARNESS_TEST_ROLE"] if ON_AWS else ROLE


@pytest.fixture(scope="session")
def key() -> str:
    """ARN of a KMS key that encrypts environment variables; a test that needs one is skipped where there is none."""
    if ON_AWS and "HARNESS_TEST_KEY" not in os.environ:
        pytest.skip("NOT TESTED: HARNESS_TEST_KEY names no KMS key")
    made_up = "arn:aws:kms:us-east-1:123456789012:key/12345678-1234-1234-1234-123456789012"
    return os.environ["HARNESS_TEST_KEY"] if ON_AWS else made_up


@pytest.fixture(scope="session")
def isolated() -> None:
    """Skip a test where this machine cannot show functions AWS's paths."""
    if not ON_AWS and permitted()[0] is not Namespaces.USER:
        pytest.skip(f"NOT TESTED: functions see this machine's paths, as it has no user namespaces: {permitted()[1]}")


@pytest.fixture
def create(functions: Any, role: str) -> Iterator[Callable[..., str]]:
    """Creates a function, waits until it is active, and returns its name; it is deleted at the end."""
    created = []

    def create_function(source: str = "def handler(event, context):\n    return event\n", **configuration: Any) -> str:
        name = f"parity-{uuid.uuid4().hex[:12]}"
        functions.create_function(
            **{
                "FunctionName": name,
                "Runtime": "python3.11",
                "Handler": "app.handler",
                "Role": role,
                "Code": {"ZipFile": archive(source)},
            }
            | configuration
        )
        created.append(name)
        functions.get_waiter("function_active_v2").wait(FunctionName=name)
        return name

    yield create_function
    for name in created:
        try:
            functions.delete_function(FunctionName=name)
        except ClientError as error:
            if error.response["Error"]["Code"] != "ResourceNotFoundException":
                raise

"""Invocation of other functions through Lambda's API, from within a function."""

import os
from functools import lru_cache
from typing import TYPE_CHECKING

import boto3
import msgspec
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from training.errors import TrainingError

if TYPE_CHECKING:
    from mypy_boto3_lambda import LambdaClient

CONNECTIONS = 16
# The version of a function whose code and configuration can change.
# https://docs.aws.amazon.com/lambda/latest/dg/configuration-versions.html
_LATEST = "$LATEST"


class InvokeError(TrainingError, OSError):
    """Lambda did not accept an event; a later try may succeed."""


@lru_cache
def lambda_client() -> "LambdaClient":
    """Return the Lambda client, created on first use; AWS's own environment variables say where it connects.

    `training.run.results` explains why its retries are `legacy`.
    """
    return boto3.client(
        "lambda",
        # A rank that revives another one waits for this, and does nothing else meanwhile.
        config=Config(
            connect_timeout=5, retries={"mode": "legacy", "max_attempts": 5}, max_pool_connections=CONNECTIONS
        ),
    )


def own_function() -> str:
    """Return the name with which this function invokes itself: `name:version` where it runs as a published version.

    A version never changes, while an alias would lead to the code that it points to by then. `$LATEST` has no name of
    its own: it is what the bare name stands for.

    https://docs.aws.amazon.com/lambda/latest/dg/configuration-envvars.html#configuration-envvars-runtime
    """
    name, version = os.environ["AWS_LAMBDA_FUNCTION_NAME"], os.environ.get("AWS_LAMBDA_FUNCTION_VERSION", _LATEST)
    return name if version == _LATEST else f"{name}:{version}"


def invoke_event(function: str, event: object) -> str:
    """Queue an event for a function and return its request id.

    Raises:
        InvokeError: Lambda is not reachable or refuses the event.
    """
    try:
        answer = lambda_client().invoke(
            FunctionName=function, InvocationType="Event", Payload=msgspec.json.encode(event)
        )
    except (ClientError, BotoCoreError) as error:
        raise InvokeError(f"{function} could not be invoked: {error}") from error
    return answer["ResponseMetadata"]["RequestId"]

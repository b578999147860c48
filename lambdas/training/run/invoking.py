"""Invocation of other functions through Lambda's API, from within a function."""

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


class InvokeError(TrainingError, OSError):
    """Lambda did not accept an event; a later try may succeed."""


@lru_cache
def lambda_client() -> "LambdaClient":
    """Return the Lambda client, created on first use; AWS's own environment variables say where it connects.

    `training.run.results` explains why its retries are `legacy`.
    """
    return boto3.client(
        "lambda", config=Config(retries={"mode": "legacy", "max_attempts": 5}, max_pool_connections=CONNECTIONS)
    )


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

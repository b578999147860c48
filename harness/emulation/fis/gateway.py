"""The way to the Lambda service, which carries out the experiments."""

import os
from functools import cache
from typing import Any

import boto3
import httpx
import msgspec
from botocore.config import Config

from harness.emulation.environment import GATEWAY
from harness.gateway.experiments import ROUTE, ExperimentRequest
from harness.guard import SECRET_VARIABLE, authorization, own_key

_ANSWERS_WITHIN_S = 10.0


@cache
def functions(region: str) -> Any:  # noqa: ANN401 - boto3's client
    """Return a client of the Lambda service."""
    session = boto3.session.Session(own_key(os.environ[SECRET_VARIABLE]), "test", region_name=region)
    config = Config(
        retries={"total_max_attempts": 1}, connect_timeout=_ANSWERS_WITHIN_S, read_timeout=_ANSWERS_WITHIN_S
    )
    return session.client("lambda", endpoint_url=os.environ[GATEWAY], config=config)


def start(experiment: str, request: ExperimentRequest) -> None:
    """Start an experiment.

    Raises:
        httpx.HTTPError: The Lambda service does not answer, or refuses it.
    """
    _call("PUT", experiment, msgspec.json.encode(request))


def stop(experiment: str) -> None:
    """Stop an experiment; nothing happens if it has ended.

    Raises:
        httpx.HTTPError: The Lambda service does not answer.
    """
    _call("DELETE", experiment)


def _call(method: str, experiment: str, content: bytes = b"") -> None:
    url = f"{os.environ[GATEWAY]}{ROUTE}/{experiment}"
    headers = authorization(own_key(os.environ[SECRET_VARIABLE]))
    with httpx.Client(timeout=_ANSWERS_WITHIN_S, trust_env=False) as client:
        client.request(method, url, content=content, headers=headers).raise_for_status()

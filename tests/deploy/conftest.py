"""What tests of a deployment share: the emulation in processes, and what is to go wrong in it."""

import json
import urllib.request
import uuid
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from harness.deploy.target import Target, rehearsal_target
from harness.guard import authorization
from harness.settings import load_settings
from harness.stack import StackState, start_private_stack

FAULTS_ROUTE = "/_harness/faults"


@pytest.fixture(scope="session")
def cloud(tmp_path_factory: pytest.TempPathFactory) -> Iterator[StackState]:
    """The emulation, with moto as S3."""
    root = tmp_path_factory.mktemp("cloud")
    (root / "harness.toml").write_text('[stack]\ns3 = "moto"\n', encoding="utf-8")
    with start_private_stack(load_settings(root), mode="process") as state:
        yield state


@pytest.fixture(scope="session")
def target(cloud: StackState) -> Target:
    """The emulation as a place to deploy into."""
    return rehearsal_target(cloud)


@pytest.fixture
def faults(cloud: StackState) -> Iterator[Callable[..., None]]:
    """Tells the emulation what is to go wrong; nothing any more at the end of the test."""

    def put(**plan: Any) -> None:
        url, headers = cloud.endpoints.aws + FAULTS_ROUTE, authorization(cloud.endpoints.access_key)
        request = urllib.request.Request(url, json.dumps(plan).encode(), headers, method="PUT")
        with urllib.request.urlopen(request) as answer:
            assert 204 == answer.status

    yield put
    put()


@pytest.fixture
def name() -> str:
    """A stack's name that no other test has."""
    return f"test-{uuid.uuid4().hex[:8]}"

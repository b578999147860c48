"""The store of functions: changes that meet, and versions of what has changed."""

from datetime import UTC, datetime

import pytest

from harness.gateway.account import AccountLimits
from harness.gateway.errors import LambdaApiError
from harness.gateway.functions import FunctionStore, new_revision
from harness.gateway.names import Identifier
from harness.gateway.records import Function, Package
from harness.gateway.requests import FunctionCode, ImageConfig

NAME = "f"


def package(
    name: str, code: FunctionCode, config: ImageConfig, architecture: str, fetched: bytes | None = None
) -> Package:
    """Return the package of every function."""
    del name, code, config, architecture, fetched
    return Package(sha256="digest", size=1)


@pytest.fixture
def store() -> FunctionStore:
    """A store with one function."""
    functions = FunctionStore(package, AccountLimits(1000))

    def build() -> Function:
        return Function(
            name=NAME,
            role="arn:aws:iam::123456789012:role/r",
            runtime="python3.11",
            handler="app.handler",
            description="",
            timeout_s=3,
            memory_mb=128,
            environment=None,
            package=package(NAME, FunctionCode(), ImageConfig(), "x86_64"),
            modified=datetime.now(UTC),
            revision=new_revision(),
        )

    functions.create(NAME, build, {})
    return functions


def refusal(store: FunctionStore, read: Function) -> tuple[int, str]:
    """Return the status and the type with which a change of a function, as somebody has read it, is refused."""
    with pytest.raises(LambdaApiError) as caught:
        store.change(read, timeout_s=9)
    return caught.value.status, caught.value.type_


def test_of_two_changes_that_meet_one_is_refused(store: FunctionStore) -> None:
    """The other one would be lost: both have read the same function."""
    read = store.get(NAME)
    store.change(read, memory_mb=256)

    assert refusal(store, read) == (409, "ResourceConflictException")
    assert store.get(NAME).memory_mb == 256


def test_a_function_that_was_deleted_is_not_changed(store: FunctionStore) -> None:
    """It does not come back."""
    read = store.get(NAME)
    store.delete(Identifier(NAME, ""))

    assert refusal(store, read) == (404, "ResourceNotFoundException")
    assert store.all() == []


def test_a_change_keeps_what_was_set_beside_it(store: FunctionStore) -> None:
    """Recursion and tags are no part of the configuration."""
    read = store.get(NAME)
    store.set_recursion(read, allowed=True)
    store.renew_revision(NAME)

    store.change(read, timeout_s=9)

    assert (store.get(NAME).recursion_allowed, store.get(NAME).timeout_s) == (True, 9)


def test_a_change_there_and_back_publishes_nothing(store: FunctionStore) -> None:
    """What counts is the difference from the newest version."""
    store.publish(store.get(NAME), "first")
    for timeout_s in (9, 3):
        store.change(store.get(NAME), timeout_s=timeout_s)

    assert store.publish(store.get(NAME), "second").description == "first"
    store.change(store.get(NAME), timeout_s=9)
    assert store.publish(store.get(NAME), None).version == "2"


def test_what_was_deleted_or_changed_since_is_not_published(store: FunctionStore) -> None:
    """The caller has read it before it imported code, which takes time."""
    read = store.get(NAME)
    store.change(read, memory_mb=256)
    with pytest.raises(LambdaApiError) as changed:
        store.publish(read, None)
    store.delete(Identifier(NAME, ""))
    with pytest.raises(LambdaApiError) as deleted:
        store.publish(read, None)

    assert [error.value.status for error in (changed, deleted)] == [409, 404]
    assert not store.is_current(read)

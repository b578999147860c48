"""The versions that an alias's invocations run."""

from datetime import UTC, datetime
from pathlib import Path

import pytest

from harness.gateway.account import AccountLimits
from harness.gateway.functions import FunctionStore
from harness.gateway.names import Identifier
from harness.gateway.records import Alias, Function, Package


def chosen(seed, share, count=200):
    """Return the versions that so many invocations of an alias run."""
    package = Package(folder=Path("f"), sha256="", size=0)
    store = FunctionStore(lambda *_: package, AccountLimits(1), routing_seed=seed)
    function = Function("f", "r", "python3.11", "a.b", "", 3, 128, None, package, datetime.now(UTC), "1")
    store.create("f", lambda: function, {})
    store.add_alias(Alias("f", "live", "1", "", "1", {"2": share}))
    return [store.routed(Identifier("f", "live")).qualifier for _ in range(count)]


def test_a_seed_gives_the_same_choices_again():
    """A test of a gradual deployment can be repeated; another seed gives others."""
    assert chosen(7, 0.5) == chosen(7, 0.5)
    assert chosen(7, 0.5) != chosen(8, 0.5)


@pytest.mark.parametrize("share", [0.1, 0.9])
def test_a_version_gets_its_share(share):
    """Within what chance allows of so many choices."""
    assert abs(chosen(0, share, 5000).count("2") / 5000 - share) < 0.03

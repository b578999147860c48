"""Concurrency accounting: the account's limit, and the reservations of functions."""

import pytest

from harness.gateway.account import AccountLimits
from harness.gateway.errors import LambdaApiError


def reason_of(account, function):
    """Return why an invocation is refused."""
    with pytest.raises(LambdaApiError) as caught:
        account.enter(function)
    return caught.value.reason


def test_a_reservation_is_kept_free_for_its_function():
    """Other functions reach their limit before the account's is used up; the function with the reservation does not."""
    account = AccountLimits(102)
    account.reserve("a", 2)
    for _ in range(100):
        account.enter("b")

    refused = reason_of(account, "b")
    account.enter("a")
    account.enter("a")

    assert "ConcurrentInvocationLimitExceeded" == refused
    assert "ReservedFunctionConcurrentInvocationLimitExceeded" == reason_of(account, "a")
    account.leave("a")
    account.enter("a")


def test_what_runs_moves_when_a_reservation_is_made_or_given_back():
    """Running invocations are counted exactly once, whenever they end."""
    account = AccountLimits(101)
    account.enter("a")
    account.reserve("a", 1)

    assert "ReservedFunctionConcurrentInvocationLimitExceeded" == reason_of(account, "a")
    for _ in range(100):
        account.enter("b")
    assert "ConcurrentInvocationLimitExceeded" == reason_of(account, "b")
    account.release("a")
    account.leave("b")
    account.enter("c")
    assert "ConcurrentInvocationLimitExceeded" == reason_of(account, "c")
    account.leave("a")
    account.enter("c")


@pytest.mark.parametrize(("concurrency", "most", "least"), [(1000, 900, 100), (10, 0, 10)])
def test_some_concurrency_must_stay_unreserved(concurrency, most, least):
    """At least 100 stay unreserved on AWS, and all ten of a new account."""
    account = AccountLimits(concurrency)
    account.reserve("a", most)

    with pytest.raises(LambdaApiError, match=rf"below its minimum value of \[{least}\]"):
        account.reserve("a", most + 1)
    with pytest.raises(LambdaApiError):
        account.reserve("b", 1)
    assert concurrency - most == account.unreserved

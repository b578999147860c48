# ruff: noqa: ARG001 - handlers are written as users write theirs
"""The mark `lambda_container`: the same fixture on a stack of containers."""

import pytest

pytestmark = pytest.mark.lambda_container


def where(event, context):
    """Tell whether this is the base image; runs in Lambda."""
    import os  # noqa: PLC0415 - of the function

    return [os.environ["LAMBDA_TASK_ROOT"], event]


def fragile(event, context):
    """Fail; runs in Lambda."""
    raise ValueError("as planned")


@pytest.mark.parametrize("turn", [1, 2])
def test_a_function_runs_in_a_container_and_is_gone_after_the_test(base, lambda_stack, lambda_logs, turn):
    """Deployed from the test module, invoked, logged, and removed by the reset."""
    assert [] == lambda_stack.client("lambda").list_functions()["Functions"]

    assert ["/var/task", turn] == lambda_stack.deploy(where, timeout_s=60).invoke(turn).payload
    assert any("REPORT" in line for line in lambda_logs.lines)


def test_retries_run_on_the_tests_clock(base, lambda_stack):
    """Three attempts without three minutes."""
    lambda_stack.deploy(fragile, timeout_s=60).invoke(asynchronous=True)

    lambda_stack.retry_clock.advance(minutes=3, timeout_s=100)

    assert [0, 60, 180] == [attempt.at for attempt in lambda_stack.events.given_up[0].attempts]

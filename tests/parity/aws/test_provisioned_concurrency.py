"""Provisioned concurrency: environments that wait with their handler loaded, and their share of the limits.

https://docs.aws.amazon.com/lambda/latest/dg/provisioned-concurrency.html
"""

import base64
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from tests.parity.aws.support import answer_of, eventually, refusal

# How each invocation's environment was initialised, and when its module was loaded.
TELLS = """
import os, time
LOADED = time.time()

def handler(event, context):
    time.sleep(event.get("seconds", 0))
    if event.get("exit"):
        os._exit(1)
    return [os.environ["AWS_LAMBDA_INITIALIZATION_TYPE"], LOADED, context.function_version]
"""
FAILS = """
import os
if os.environ["AWS_LAMBDA_INITIALIZATION_TYPE"] != "on-demand":
    raise ValueError("only on demand")

def handler(event, context):
    return [os.environ["AWS_LAMBDA_INITIALIZATION_TYPE"]]
"""
PROVISIONED, ON_DEMAND = "provisioned-concurrency", "on-demand"
# On AWS, environments take a minute, and a failure all of its attempts.
WITHIN_S = 600.0
HELD_S = 3

Create = Callable[..., str]


@pytest.fixture
def version(functions: Any, create: Create) -> tuple[str, str]:
    """The name of a function and the number of its only version."""
    name = create(TELLS, Timeout=30)
    return name, functions.publish_version(FunctionName=name)["Version"]


def put(functions: Any, name: str, qualifier: str, number: int) -> Any:
    """Return the answer to a request for a number of environments."""
    return functions.put_provisioned_concurrency_config(
        FunctionName=name, Qualifier=qualifier, ProvisionedConcurrentExecutions=number
    )


def settled(functions: Any, name: str, qualifier: str) -> Any:
    """Return what was requested, once it is no longer in progress."""

    def ended() -> Any:
        config = functions.get_provisioned_concurrency_config(FunctionName=name, Qualifier=qualifier)
        return config if config["Status"] != "IN_PROGRESS" else None

    return eventually(ended, WITHIN_S)


def numbers(config: Any) -> list[int]:
    """Return the requested, the available and the allocated environments."""
    return [config[f"{kind}ProvisionedConcurrentExecutions"] for kind in ("Requested", "Available", "Allocated")]


def kind_of(functions: Any, name: str, qualifier: str) -> Any:
    """Return how the environment of an invocation was initialised."""
    return answer_of(functions.invoke(FunctionName=name, Qualifier=qualifier))[0]


def test_environments_are_ready_before_they_are_invoked(functions: Any, version: tuple[str, str]) -> None:
    """Their modules are loaded when the state is READY, and REPORT has no `Init Duration`."""
    asked = put(functions, *version, 2)
    assert asked["ResponseMetadata"]["HTTPStatusCode"] == 202
    assert (asked["Status"], numbers(asked)) == ("IN_PROGRESS", [2, 0, 0])
    ready = settled(functions, *version)
    assert (ready["Status"], numbers(ready)) == ("READY", [2, 2, 2])
    assert "StatusReason" not in ready
    name, qualifier = version
    first = functions.invoke(FunctionName=name, Qualifier=qualifier, LogType="Tail")
    assert answer_of(first)[0] == PROVISIONED
    log = base64.b64decode(first["LogResult"]).decode()
    assert "REPORT RequestId: " in log
    assert "Init Duration" not in log
    assert kind_of(functions, name, "$LATEST") == ON_DEMAND


def test_modules_are_loaded_ahead(functions: Any, version: tuple[str, str]) -> None:
    """Two invocations at once run in two environments, both loaded before the first of them."""
    put(functions, *version, 2)
    settled(functions, *version)
    name, qualifier = version
    earlier = answer_of(functions.invoke(FunctionName=name))[1]

    def hold(_: int) -> Any:
        return answer_of(functions.invoke(FunctionName=name, Qualifier=qualifier, Payload=f'{{"seconds": {HELD_S}}}'))

    with ThreadPoolExecutor(2) as threads:
        held = list(threads.map(hold, range(2)))
    assert [kind for kind, _, _ in held] == [PROVISIONED, PROVISIONED]
    assert all(loaded < earlier for _, loaded, _ in held)
    assert held[0][1] != held[1][1]


def test_more_invocations_than_environments_run_on_demand(functions: Any, version: tuple[str, str]) -> None:
    """What is provisioned comes first; the rest spills over."""
    put(functions, *version, 1)
    settled(functions, *version)
    name, qualifier = version

    def hold(_: int) -> Any:
        return answer_of(functions.invoke(FunctionName=name, Qualifier=qualifier, Payload=f'{{"seconds": {HELD_S}}}'))

    with ThreadPoolExecutor(2) as threads:
        held = list(threads.map(hold, range(2)))
    assert sorted(kind for kind, _, _ in held) == [ON_DEMAND, PROVISIONED]


def test_an_environment_that_has_ended_is_replaced(functions: Any, version: tuple[str, str]) -> None:
    """After the function has ended its process, another environment becomes ready."""
    put(functions, *version, 1)
    settled(functions, *version)
    name, qualifier = version
    loaded = answer_of(functions.invoke(FunctionName=name, Qualifier=qualifier))[1]
    ended = functions.invoke(FunctionName=name, Qualifier=qualifier, Payload='{"exit": true}')
    assert ended["FunctionError"] == "Unhandled"

    def renewed() -> Any:
        kind, again, _ = answer_of(functions.invoke(FunctionName=name, Qualifier=qualifier))
        return kind == PROVISIONED and again != loaded

    assert eventually(renewed, WITHIN_S)
    assert numbers(settled(functions, *version)) == [1, 1, 1]


def test_less_is_provisioned_and_nothing(functions: Any, version: tuple[str, str]) -> None:
    """A second request replaces the first one; without any, invocations run on demand."""
    put(functions, *version, 2)
    settled(functions, *version)
    put(functions, *version, 1)
    assert numbers(settled(functions, *version)) == [1, 1, 1]
    name, qualifier = version
    functions.delete_provisioned_concurrency_config(FunctionName=name, Qualifier=qualifier)
    assert eventually(lambda: kind_of(functions, name, qualifier) == ON_DEMAND, WITHIN_S)
    assert refusal(functions.get_provisioned_concurrency_config, FunctionName=name, Qualifier=qualifier) == (
        "ProvisionedConcurrencyConfigNotFoundException",
        404,
        "No Provisioned Concurrency Config found for this function",
    )


def test_it_moves_with_its_alias(functions: Any, version: tuple[str, str]) -> None:
    """An alias provides for the version that it points to, by whichever name that is invoked."""
    name, first = version
    functions.create_alias(FunctionName=name, Name="live", FunctionVersion=first)
    put(functions, name, "live", 1)
    settled(functions, name, "live")
    assert kind_of(functions, name, "live") == kind_of(functions, name, first) == PROVISIONED
    functions.update_function_configuration(FunctionName=name, Description="other", MemorySize=256)
    functions.get_waiter("function_updated_v2").wait(FunctionName=name)
    second = functions.publish_version(FunctionName=name)["Version"]
    functions.update_alias(FunctionName=name, Name="live", FunctionVersion=second)
    moving = functions.get_provisioned_concurrency_config(FunctionName=name, Qualifier="live")
    assert numbers(moving) == [1, 1, 1]
    assert settled(functions, name, "live")["Status"] == "READY"
    assert kind_of(functions, name, first) == ON_DEMAND
    kind, _, invoked = answer_of(functions.invoke(FunctionName=name, Qualifier="live"))
    assert (kind, invoked) == (PROVISIONED, second)
    (listed,) = functions.list_provisioned_concurrency_configs(FunctionName=name)["ProvisionedConcurrencyConfigs"]
    assert listed["FunctionArn"].endswith(f":function:{name}:live")
    functions.delete_alias(FunctionName=name, Name="live")
    assert functions.list_provisioned_concurrency_configs(FunctionName=name)["ProvisionedConcurrencyConfigs"] == []


def test_a_version_and_its_alias_do_not_both_provide(functions: Any, version: tuple[str, str]) -> None:
    """Who comes second is refused."""
    name, number = version
    functions.create_alias(FunctionName=name, Name="live", FunctionVersion=number)
    put(functions, name, number, 1)
    arguments = {"FunctionName": name, "ProvisionedConcurrentExecutions": 1}
    assert refusal(functions.put_provisioned_concurrency_config, **arguments, Qualifier="live") == (
        "ResourceConflictException",
        409,
        "Alias can't be used for Provisioned Concurrency configuration on an already Provisioned version",
    )
    functions.delete_provisioned_concurrency_config(FunctionName=name, Qualifier=number)
    put(functions, name, "live", 1)
    assert refusal(functions.put_provisioned_concurrency_config, **arguments, Qualifier=number) == (
        "ResourceConflictException",
        409,
        "Version is pointed by a Provisioned Concurrency alias",
    )


def test_a_handler_that_cannot_be_loaded_fails(functions: Any, create: Create) -> None:
    """Invocations run on demand meanwhile and afterwards; the error is in the state."""
    name = create(FAILS)
    number = functions.publish_version(FunctionName=name)["Version"]
    put(functions, name, number, 1)
    assert kind_of(functions, name, number) == ON_DEMAND
    failed = settled(functions, name, number)
    assert (failed["Status"], failed["StatusReason"]) == ("FAILED", "FUNCTION_ERROR_INIT_FAILURE")
    assert numbers(failed) == [1, 0, 0]
    assert kind_of(functions, name, number) == ON_DEMAND


def test_reservations_hold_for_it(functions: Any, version: tuple[str, str]) -> None:
    """It takes its share of the function's reservation, which may not become smaller than that."""
    name, number = version
    put(functions, name, number, 2)
    settled(functions, name, number)
    code, status, message = refusal(
        functions.put_function_concurrency, FunctionName=name, ReservedConcurrentExecutions=1
    )
    assert (code, status) == ("InvalidParameterValueException", 400)
    assert message == (
        " ReservedConcurrentExecutions  1 should not be lower than function's total provisioned concurrency [2]."
    )
    functions.put_function_concurrency(FunctionName=name, ReservedConcurrentExecutions=2)
    code, status, _ = refusal(functions.invoke, FunctionName=name)
    assert (code, status) == ("TooManyRequestsException", 429)
    assert kind_of(functions, name, number) == PROVISIONED
    code, status, message = refusal(
        functions.put_provisioned_concurrency_config,
        FunctionName=name,
        Qualifier=number,
        ProvisionedConcurrentExecutions=3,
    )
    assert (code, status) == ("InvalidParameterValueException", 400)
    assert message == (
        "Requested Provisioned Concurrency should not be greater than the reservedConcurrentExecution for function"
    )
    functions.put_function_concurrency(FunctionName=name, ReservedConcurrentExecutions=3)
    assert kind_of(functions, name, "$LATEST") == ON_DEMAND


def test_the_account_has_a_limit(functions: Any, version: tuple[str, str]) -> None:
    """Neither more than the account has, nor the last of it, can be provisioned."""
    name, number = version
    limit = functions.get_account_settings()["AccountLimit"]["UnreservedConcurrentExecutions"]
    arguments = {"FunctionName": name, "Qualifier": number}
    code, status, message = refusal(
        functions.put_provisioned_concurrency_config, **arguments, ProvisionedConcurrentExecutions=limit + 1
    )
    assert (code, status) == ("InvalidParameterValueException", 400)
    assert message == (
        f"Specified ConcurrentExecutions for function is greater than account's unreserved concurrency [{limit}]."
    )
    code, status, message = refusal(
        functions.put_provisioned_concurrency_config, **arguments, ProvisionedConcurrentExecutions=limit
    )
    assert (code, status) == ("InvalidParameterValueException", 400)
    assert message.startswith(
        "Specified ConcurrentExecutions for function decreases account's UnreservedConcurrentExecution below its "
        "minimum value of ["
    )


def test_only_versions_and_aliases_have_it(functions: Any, version: tuple[str, str]) -> None:
    """What does not exist, `$LATEST`, and a number below 1 are refused."""
    name, number = version
    get, delete = functions.get_provisioned_concurrency_config, functions.delete_provisioned_concurrency_config
    asks = functions.put_provisioned_concurrency_config
    arn = functions.get_function(FunctionName=name)["Configuration"]["FunctionArn"]
    for call, more in ((get, {}), (delete, {}), (asks, {"ProvisionedConcurrentExecutions": 1})):
        assert refusal(call, FunctionName=name, Qualifier="none", **more) == (
            "ResourceNotFoundException",
            404,
            f"Cannot find alias arn: {arn}:none",
        )
        assert refusal(call, FunctionName=name, Qualifier="10", **more) == (
            "ResourceNotFoundException",
            404,
            f"Function not found: {arn}:10",
        )
        code, status, message = refusal(call, FunctionName=name, Qualifier="$LATEST", **more)
        assert (code, status) == ("InvalidParameterValueException", 400)
        assert message == (
            "Provisioned Concurrency Configs cannot be applied to unpublished function versions."
            if more
            else "The function resource provided must be an alias or a published version."
        )
    delete(FunctionName=name, Qualifier=number)
    code, _, message = refusal(asks, FunctionName=name, Qualifier=number, ProvisionedConcurrentExecutions=0)
    assert code == "ValidationException"
    assert message == (
        "1 validation error detected: Value '0' at 'provisionedConcurrentExecutions' failed to satisfy constraint: "
        "Member must have value greater than or equal to 1"
    )


def test_metrics_tell_what_spilled_over(aws: Any, functions: Any, version: tuple[str, str]) -> None:
    """CloudWatch counts the invocations of either kind of environment, by the qualifier of the call."""
    put(functions, *version, 1)
    settled(functions, *version)
    name, qualifier = version

    def hold(_: int) -> None:
        functions.invoke(FunctionName=name, Qualifier=qualifier, Payload=f'{{"seconds": {HELD_S}}}')

    with ThreadPoolExecutor(2) as threads:
        list(threads.map(hold, range(2)))
    cloudwatch = aws("cloudwatch")

    def total(metric: str) -> float:
        found = cloudwatch.get_metric_statistics(
            Namespace="AWS/Lambda",
            MetricName=f"ProvisionedConcurrency{metric}",
            Dimensions=[{"Name": "FunctionName", "Value": name}, {"Name": "Resource", "Value": f"{name}:{qualifier}"}],
            StartTime=datetime.now(UTC) - timedelta(hours=1),
            EndTime=datetime.now(UTC) + timedelta(hours=1),
            Period=60,
            Statistics=["Sum"],
        )["Datapoints"]
        return float(sum(point["Sum"] for point in found))

    assert eventually(lambda: (total("Invocations"), total("SpilloverInvocations")) == (1, 1), WITHIN_S)

"""Reserved concurrency: https://docs.aws.amazon.com/lambda/latest/dg/configuration-concurrency.html."""

import pytest

from tests.parity.aws.support import refusal


def test_a_function_that_does_not_exist_reserves_nothing(functions):
    """AWS names `$LATEST` here."""
    arn = f"arn:aws:lambda:{functions.meta.region_name}:"

    code, status, message = refusal(
        functions.put_function_concurrency, FunctionName="none", ReservedConcurrentExecutions=1
    )

    assert (code, status) == ("ResourceNotFoundException", 404)
    assert message.startswith(f"Function not found: {arn}")
    assert message.endswith(":function:none:$LATEST")


@pytest.mark.parametrize("qualifier", ["$LATEST", "1"])
def test_a_version_reserves_nothing(functions, create, qualifier):
    """Only the whole function does."""
    assert refusal(
        functions.put_function_concurrency, FunctionName=f"{create()}:{qualifier}", ReservedConcurrentExecutions=1
    ) == (
        "InvalidParameterValueException",
        400,
        (
            "This operation is permitted on Lambda functions only. Aliases and versions do not support this operation. "
            "Please specify either a function name or an unqualified function ARN."
        ),
    )


@pytest.mark.parametrize("more", [0, 1])
def test_something_is_left_for_the_other_functions(functions, create, more):
    """All of the account's concurrency, or more, cannot be reserved."""
    whole = functions.get_account_settings()["AccountLimit"]["ConcurrentExecutions"]

    code, status, message = refusal(
        functions.put_function_concurrency, FunctionName=create(), ReservedConcurrentExecutions=whole + more
    )

    assert (code, status) == ("InvalidParameterValueException", 400)
    assert "decreases account's UnreservedConcurrentExecution below its minimum value of [" in message


def test_a_reservation_is_kept_until_it_is_released(functions, create):
    """It is missing from the account's unreserved concurrency."""
    name = create()
    before = functions.get_account_settings()["AccountLimit"]["UnreservedConcurrentExecutions"]

    functions.put_function_concurrency(FunctionName=name, ReservedConcurrentExecutions=1)
    reserved = functions.get_function_concurrency(FunctionName=name)["ReservedConcurrentExecutions"]
    between = functions.get_account_settings()["AccountLimit"]["UnreservedConcurrentExecutions"]
    functions.delete_function_concurrency(FunctionName=name)

    assert (reserved, between) == (1, before - 1)
    assert "ReservedConcurrentExecutions" not in functions.get_function_concurrency(FunctionName=name)


def test_the_account_counts_the_code_of_every_version(functions, create):
    """A publication adds the size of the code once more."""
    name = create()
    size = functions.get_function(FunctionName=name)["Configuration"]["CodeSize"]
    before = functions.get_account_settings()["AccountUsage"]

    functions.publish_version(FunctionName=name)

    after = functions.get_account_settings()["AccountUsage"]
    assert after["TotalCodeSize"] - before["TotalCodeSize"] == size
    assert after["FunctionCount"] == before["FunctionCount"]

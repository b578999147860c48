"""Names, ARNs and qualifiers: https://docs.aws.amazon.com/lambda/latest/api/API_GetFunction.html."""

import pytest

from tests.parity.aws.support import refusal

PATTERN = (
    r"(arn:(aws[a-zA-Z-]*)?:lambda:)?((eusc-)?[a-z]{2}((-gov)|(-iso([a-z]?)))?-[a-z]+-\d{1}:)?(\d{12}:)?(function:)?"
    r"([a-zA-Z0-9-_\.]+)(:(\$LATEST(\.PUBLISHED)?|[a-zA-Z0-9-_]+))?"
)

PATTERN_FAILS = "failed to satisfy constraint: Member must satisfy regular expression pattern"
TOO_LONG = "failed to satisfy constraint: Member must have length less than or equal to"


@pytest.mark.parametrize("name", ["my-function!", "*", "invalid-account:function:f", "function:f:$LATEST:extra"])
def test_a_malformed_name_is_refused_with_awss_expression(functions, name):
    """AWS names the value, the parameter and the expression."""
    assert refusal(functions.get_function, FunctionName=name) == (
        "ValidationException",
        400,
        f"1 validation error detected: Value '{name}' at 'functionName' {PATTERN_FAILS}: {PATTERN}",
    )


def test_a_qualifier_has_at_most_128_letters(functions):
    """Whether the function exists or not."""
    assert refusal(functions.get_function, FunctionName="f", Qualifier="a" * 129) == (
        "ValidationException",
        400,
        f"1 validation error detected: Value '{'a' * 129}' at 'qualifier' {TOO_LONG} 128",
    )


def test_two_qualifiers_have_to_agree(functions):
    """One in the name, one beside it."""
    assert refusal(functions.get_function, FunctionName="f:1", Qualifier="2") == (
        "InvalidParameterValueException",
        400,
        "The derived qualifier from the function name does not match the specified qualifier.",
    )


@pytest.mark.parametrize("verb", ["get_function", "delete_function", "invoke"])
def test_a_function_of_another_region_is_out_of_reach(functions, create, verb):
    """The local function of that name is neither shown, deleted nor run."""
    name = create()
    region, account = functions.get_function(FunctionName=name)["Configuration"]["FunctionArn"].split(":")[3:5]

    assert refusal(getattr(functions, verb), FunctionName=f"arn:aws:lambda:eu-west-9:{account}:function:{name}") == (
        "ResourceNotFoundException",
        404,
        f"Functions from 'eu-west-9' are not reachable in this region ('{region}')",
    )
    assert functions.get_function(FunctionName=name)


@pytest.mark.parametrize("verb", ["get_function", "delete_function", "invoke"])
def test_a_function_of_another_account_is_out_of_reach(functions, create, verb):
    """Nobody has granted anything."""
    name = create()
    region = functions.meta.region_name

    code, status, _ = refusal(
        getattr(functions, verb), FunctionName=f"arn:aws:lambda:{region}:999999999999:function:{name}"
    )

    assert (code, status) == ("AccessDeniedException", 403)
    assert functions.get_function(FunctionName=name)

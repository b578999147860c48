"""Event invoke configurations: https://docs.aws.amazon.com/lambda/latest/dg/invocation-async-configuring.html."""

import pytest

from tests.parity.aws.support import refusal

MISSING = ("ResourceNotFoundException", 404, "The function doesn't exist.")


def arn_of(functions, name):
    """Return a function's ARN."""
    return functions.get_function(FunctionName=name)["Configuration"]["FunctionArn"]


def test_only_what_was_set_is_shown(functions, create):
    """Put replaces all settings, Update only what it names."""
    name = create()

    put = functions.put_function_event_invoke_config(FunctionName=name, MaximumEventAgeInSeconds=60)
    updated = functions.update_function_event_invoke_config(FunctionName=name, MaximumRetryAttempts=0)
    again = functions.put_function_event_invoke_config(FunctionName=name, MaximumRetryAttempts=1)

    assert put["FunctionArn"] == f"{arn_of(functions, name)}:$LATEST"
    assert put["DestinationConfig"] == {"OnSuccess": {}, "OnFailure": {}}
    assert (put["MaximumEventAgeInSeconds"], "MaximumRetryAttempts" in put) == (60, False)
    assert (updated["MaximumEventAgeInSeconds"], updated["MaximumRetryAttempts"]) == (60, 0)
    assert ("MaximumEventAgeInSeconds" in again, again["MaximumRetryAttempts"]) == (False, 1)


@pytest.mark.parametrize("verb", ["put", "update", "list"])
def test_a_function_that_does_not_exist_has_no_settings(functions, verb):
    """In words of their own."""
    call = getattr(functions, f"{verb}_function_event_invoke_config{'s' if verb == 'list' else ''}")

    assert refusal(call, FunctionName="none", **({} if verb == "list" else {"MaximumRetryAttempts": 1})) == MISSING


def test_settings_that_say_nothing_are_refused(functions):
    """Whether the function exists or not."""
    assert refusal(functions.put_function_event_invoke_config, FunctionName="none") == (
        "InvalidParameterValueException",
        400,
        "You must specify at least one of error handling or destination setting.",
    )


def test_settings_that_were_never_put_cannot_be_updated(functions, create):
    """Read nor deleted either."""
    name = create()
    without = (
        "ResourceNotFoundException",
        404,
        f"The function {arn_of(functions, name)}:$LATEST doesn't have an EventInvokeConfig",
    )

    update = refusal(functions.update_function_event_invoke_config, FunctionName=name, MaximumRetryAttempts=0)

    assert update == without
    assert refusal(functions.get_function_event_invoke_config, FunctionName=name) == without
    assert refusal(functions.delete_function_event_invoke_config, FunctionName=name) == without


def test_a_function_is_no_destination_of_its_own(functions, create):
    """Another one is; one that does not exist is not."""
    name, other = create(), create()
    own = arn_of(functions, name)

    itself, unknown = (
        refusal(
            functions.put_function_event_invoke_config,
            FunctionName=name,
            DestinationConfig={"OnSuccess": {"Destination": arn}},
        )
        for arn in (own, f"{own}-none")
    )
    put = functions.put_function_event_invoke_config(
        FunctionName=name, DestinationConfig={"OnFailure": {"Destination": arn_of(functions, other)}}
    )

    invalid = "InvalidParameterValueException"
    assert itself == (invalid, 400, "You can't specify the function as a destination for itself.")
    assert unknown == (invalid, 400, f"The destination ARN {own}-none is invalid.")
    assert put["DestinationConfig"] == {"OnSuccess": {}, "OnFailure": {"Destination": arn_of(functions, other)}}


def test_a_service_that_receives_no_events_is_no_destination(functions, create):
    """AWS shows how it reads the settings."""
    name = create()
    arn = arn_of(functions, name).replace(":lambda:", ":iam:")

    assert refusal(
        functions.put_function_event_invoke_config,
        FunctionName=name,
        DestinationConfig={"OnSuccess": {"Destination": arn}},
    ) == (
        "InvalidParameterValueException",
        400,
        (
            f"The provided destination config DestinationConfig(onSuccess=OnSuccess(destination={arn}), "
            "onFailure=null) is invalid."
        ),
    )


def test_each_qualifier_has_settings_of_its_own(functions, create):
    """They come in pages."""
    name = create()
    functions.publish_version(FunctionName=name)
    functions.create_alias(FunctionName=name, Name="live", FunctionVersion="1")
    for qualifier in ("$LATEST", "1", "live"):
        functions.put_function_event_invoke_config(FunctionName=name, Qualifier=qualifier, MaximumRetryAttempts=1)

    first = functions.list_function_event_invoke_configs(FunctionName=name, MaxItems=2)
    rest = functions.list_function_event_invoke_configs(FunctionName=name, Marker=first["NextMarker"])
    listed = [one["FunctionArn"] for page in (first, rest) for one in page["FunctionEventInvokeConfigs"]]

    assert sorted(listed) == sorted(f"{arn_of(functions, name)}:{one}" for one in ("$LATEST", "1", "live"))
    assert "NextMarker" not in rest
    assert (
        refusal(functions.put_function_event_invoke_config, FunctionName=name, Qualifier="none", MaximumRetryAttempts=1)
        == MISSING
    )

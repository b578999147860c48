"""Aliases: https://docs.aws.amazon.com/lambda/latest/dg/configuring-alias-routing.html."""

import pytest

from tests.parity.aws.support import archive, refusal

WHO = "def handler(event, context):\n    return [context.function_version, context.invoked_function_arn]\n"


@pytest.fixture
def published(functions, create):
    """A function with two versions."""
    name = create(WHO)
    functions.publish_version(FunctionName=name)
    functions.update_function_code(FunctionName=name, ZipFile=archive(WHO, changed="yes"))
    functions.get_waiter("function_updated_v2").wait(FunctionName=name)
    functions.publish_version(FunctionName=name)
    return name


def test_an_alias_shares_its_invocations_between_two_versions(functions, published):
    """Each version runs; the caller is told which one, and the function sees the alias's ARN."""
    alias = functions.create_alias(
        FunctionName=published,
        Name="live",
        FunctionVersion="1",
        RoutingConfig={"AdditionalVersionWeights": {"2": 0.5}},
    )

    versions, seen = set(), set()
    for _ in range(60):
        invoked = functions.invoke(FunctionName=published, Qualifier="live")
        versions.add(invoked["ExecutedVersion"])
        seen.add(invoked["Payload"].read().decode())
        if len(versions) == 2:
            break

    assert versions == {"1", "2"}
    assert seen == {f'["{version}", "{alias["AliasArn"]}"]' for version in versions}


@pytest.mark.parametrize(("share", "version"), [(0.0, "1"), (1.0, "2")])
def test_a_share_may_be_nothing_or_everything(functions, published, share, version):
    """All invocations run one version."""
    functions.create_alias(
        FunctionName=published,
        Name="live",
        FunctionVersion="1",
        RoutingConfig={"AdditionalVersionWeights": {"2": share}},
    )

    ran = {functions.invoke(FunctionName=published, Qualifier="live")["ExecutedVersion"] for _ in range(5)}

    assert ran == {version}


def test_shares_are_shown_until_they_are_removed(functions, published):
    """An update without them keeps them; an empty one removes them, and each update has a revision of its own."""
    routing = {"AdditionalVersionWeights": {"2": 0.25}}
    made = functions.create_alias(FunctionName=published, Name="live", FunctionVersion="1", RoutingConfig=routing)
    kept = functions.update_alias(FunctionName=published, Name="live", Description="x")
    empty = {"AdditionalVersionWeights": {}}
    removed = functions.update_alias(FunctionName=published, Name="live", RoutingConfig=empty)

    assert (made["RoutingConfig"], kept["RoutingConfig"]) == (routing, routing)
    assert "RoutingConfig" not in removed
    assert "RoutingConfig" not in functions.get_alias(FunctionName=published, Name="live")
    assert len({made["RevisionId"], kept["RevisionId"], removed["RevisionId"]}) == 3


@pytest.mark.parametrize(
    ("version", "weights", "code", "message"),
    [
        (
            "1",
            {"1": 0.8, "2": 0.2},
            "InvalidParameterValueException",
            "Number of items in AdditionalVersionWeights cannot be greater than 1",
        ),
        (
            "1",
            {"1": 0.5},
            "InvalidParameterValueException",
            "Invalid function version 1. Function version 1 is already included in routing configuration.",
        ),
        (
            "$LATEST",
            {"1": 0.5},
            "InvalidParameterValueException",
            "$LATEST is not supported for an alias pointing to more than 1 version",
        ),
        (
            "1",
            {"2": 2},
            "ValidationException",
            (
                "1 validation error detected: Value '{2=2.0}' at 'routingConfig.additionalVersionWeights' failed to "
                "satisfy constraint: Map value must satisfy constraint: [Member must have value less than or equal to "
                "1.0, Member must have value greater than or equal to 0.0, Member must not be null]"
            ),
        ),
        (
            "1",
            {"$LATEST": 0.5},
            "ValidationException",
            (
                "1 validation error detected: Value '{$LATEST=0.5}' at 'routingConfig.additionalVersionWeights' failed "
                "to satisfy constraint: Map keys must satisfy constraint: [Member must have length less than or equal "
                "to 1024, Member must have length greater than or equal to 1, Member must satisfy regular expression "
                "pattern: [0-9]+]"
            ),
        ),
    ],
)
def test_impossible_shares_are_refused(functions, published, version, weights, code, message):
    """In AWS's words; nothing is made."""
    routing = {"AdditionalVersionWeights": weights}

    refused = refusal(
        functions.create_alias, FunctionName=published, Name="live", FunctionVersion=version, RoutingConfig=routing
    )

    assert refused == (code, 400, message)
    assert functions.list_aliases(FunctionName=published)["Aliases"] == []


@pytest.mark.parametrize(("version", "weights"), [("10", {}), ("1", {"10": 0.5})])
def test_versions_that_do_not_exist_are_refused(functions, published, version, weights):
    """Both the alias's own version and the additional one have to exist."""
    arn = functions.get_function(FunctionName=published)["Configuration"]["FunctionArn"]
    routing = {"AdditionalVersionWeights": weights}

    refused = refusal(
        functions.create_alias, FunctionName=published, Name="live", FunctionVersion=version, RoutingConfig=routing
    )

    assert refused == ("ResourceNotFoundException", 404, f"Function not found: {arn}:10")


def test_an_alias_that_does_not_exist_cannot_be_changed(functions, published):
    """Its ARN is in the message."""
    arn = functions.get_function(FunctionName=published)["Configuration"]["FunctionArn"]

    assert refusal(functions.update_alias, FunctionName=published, Name="none") == (
        "ResourceNotFoundException",
        404,
        f"Alias not found: {arn}:none",
    )


def test_a_version_with_a_share_cannot_be_deleted(functions, published):
    """As little as the version that the alias points to."""
    functions.create_alias(
        FunctionName=published, Name="live", FunctionVersion="1", RoutingConfig={"AdditionalVersionWeights": {"2": 0.1}}
    )

    code, status, _ = refusal(functions.delete_function, FunctionName=published, Qualifier="2")

    assert (code, status) == ("ResourceConflictException", 409)


def test_aliases_come_in_pages_and_by_version(functions, published):
    """`NextMarker` continues where the page ended."""
    for name, version in (("a", "1"), ("b", "2"), ("c", "1")):
        functions.create_alias(FunctionName=published, Name=name, FunctionVersion=version)

    pages = functions.get_paginator("list_aliases").paginate(FunctionName=published, PaginationConfig={"PageSize": 1})
    of_first = functions.list_aliases(FunctionName=published, FunctionVersion="1")["Aliases"]

    assert [[one["Name"] for one in page["Aliases"]] for page in pages] == [["a"], ["b"], ["c"]]
    assert [one["Name"] for one in of_first] == ["a", "c"]


def test_a_function_read_by_its_alias_has_the_aliass_arn(functions, published):
    """With the configuration of the version that it points to."""
    alias = functions.create_alias(FunctionName=published, Name="live", FunctionVersion="1")["AliasArn"]

    by_name = functions.get_function(FunctionName=published, Qualifier="live")["Configuration"]
    by_arn = functions.get_function_configuration(FunctionName=alias)

    assert (by_name["FunctionArn"], by_name["Version"]) == (alias, "1")
    assert (by_arn["FunctionArn"], by_arn["Version"]) == (alias, "1")

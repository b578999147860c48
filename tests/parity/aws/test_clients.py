"""Paginators and waiters of boto3: https://docs.aws.amazon.com/boto3/latest/guide/paginators.html."""

import uuid

import pytest

from tests.parity.aws.support import archive

SOURCE = "def handler(event, context):\n    return {number}\n"


def pages(client, operation, key, **arguments):
    """Return the pages of a list, each with one element at most."""
    found = client.get_paginator(operation).paginate(**arguments, PaginationConfig={"PageSize": 1})
    return [page[key] for page in found]


@pytest.fixture
def published(functions, create):
    """The name of a function with two versions, two aliases and settings for the events of each."""
    name = create()
    for number in (1, 2):
        functions.update_function_code(FunctionName=name, ZipFile=archive(SOURCE.format(number=number)))
        functions.get_waiter("function_updated_v2").wait(FunctionName=name)
        functions.publish_version(FunctionName=name)
        functions.get_waiter("published_version_active").wait(FunctionName=name, Qualifier=str(number))
        functions.create_alias(FunctionName=name, Name=f"alias-{number}", FunctionVersion=str(number))
        functions.put_function_event_invoke_config(
            FunctionName=name, Qualifier=f"alias-{number}", MaximumRetryAttempts=number
        )
    return name


def test_every_list_of_a_function_comes_in_pages(functions, published):
    """Each element is in exactly one page, and no page has more than was asked for."""
    versions = pages(functions, "list_versions_by_function", "Versions", FunctionName=published)
    aliases = pages(functions, "list_aliases", "Aliases", FunctionName=published)
    settings = pages(
        functions, "list_function_event_invoke_configs", "FunctionEventInvokeConfigs", FunctionName=published
    )

    assert {len(page) for page in versions + aliases + settings} <= {0, 1}
    assert [one["Version"] for page in versions for one in page] == ["$LATEST", "1", "2"]
    assert [one["Name"] for page in aliases for one in page] == ["alias-1", "alias-2"]
    assert sorted(one["MaximumRetryAttempts"] for page in settings for one in page) == [1, 2]


def test_functions_come_in_pages_with_and_without_their_versions(functions, published, create):
    """`FunctionVersion=ALL` lists the versions, too."""
    other = create()
    mine = {published, other}

    def listed(**arguments):
        every = pages(functions, "list_functions", "Functions", **arguments)
        assert {len(page) for page in every} <= {0, 1}
        return [(one["FunctionName"], one["Version"]) for page in every for one in page if one["FunctionName"] in mine]

    assert sorted(listed()) == sorted((name, "$LATEST") for name in mine)
    assert sorted(listed(FunctionVersion="ALL")) == sorted(
        [(other, "$LATEST"), *((published, version) for version in ("$LATEST", "1", "2"))]
    )


def test_every_waiter_of_a_function_ends(functions, create):
    """The older ones ask for the configuration, the newer ones for the function."""
    name = create()

    for waiter in (
        "function_exists",
        "function_active",
        "function_active_v2",
        "function_updated",
        "function_updated_v2",
    ):
        functions.get_waiter(waiter).wait(FunctionName=name, WaiterConfig={"Delay": 1, "MaxAttempts": 30})

    assert functions.get_function_configuration(FunctionName=name)["State"] == "Active"


def test_layers_and_their_versions_come_in_pages(functions):
    """A layer is listed once, with its newest version; its versions are listed from the newest to the first."""
    name = f"parity-{uuid.uuid4().hex[:12]}"
    try:
        for number in (1, 2):
            functions.publish_layer_version(
                LayerName=name, Content={"ZipFile": archive("", **{f"python/of_layer_{number}.py": ""})}
            )

        layers = pages(functions, "list_layers", "Layers")
        versions = pages(functions, "list_layer_versions", "LayerVersions", LayerName=name)
    finally:
        for number in (1, 2):
            functions.delete_layer_version(LayerName=name, VersionNumber=number)

    assert {len(page) for page in layers + versions} <= {0, 1}
    (mine,) = [one for page in layers for one in page if one["LayerName"] == name]
    assert mine["LatestMatchingVersion"]["Version"] == 2
    assert [one["Version"] for page in versions for one in page] == [2, 1]

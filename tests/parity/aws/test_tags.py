"""Tags: https://docs.aws.amazon.com/lambda/latest/dg/configuration-tags.html."""

import uuid

import pytest

from tests.parity.aws.support import archive, refusal

TOO_MANY = ("InvalidParameterValueException", 400, "Number of tags exceeds resource tag limit.")


@pytest.fixture
def arn(functions, create):
    """ARN of a function without tags."""
    return functions.get_function(FunctionName=create())["Configuration"]["FunctionArn"]


def test_a_resource_has_at_most_50_tags(functions, arn):
    """Those that it has already count, too; a tag with another value is not another tag."""
    fifty = {f"key-{number}": "x" for number in range(50)}

    at_once = refusal(functions.tag_resource, Resource=arn, Tags={**fifty, "one-more": "x"})
    functions.tag_resource(Resource=arn, Tags=fifty)
    later = refusal(functions.tag_resource, Resource=arn, Tags={"one-more": "x"})
    functions.tag_resource(Resource=arn, Tags={"key-1": "y"})

    assert (at_once, later) == (TOO_MANY, TOO_MANY)
    assert functions.list_tags(Resource=arn)["Tags"] == {**fifty, "key-1": "y"}


@pytest.mark.parametrize("key", ["aws:x", "AWS:cloudformation:stack-name"])
def test_keys_that_begin_with_aws_are_refused(functions, arn, key):
    """Only AWS's services set them."""
    kind, status, _ = refusal(functions.tag_resource, Resource=arn, Tags={"a": "b", key: "x"})

    assert (kind, status) == ("InvalidParameterValueException", 400)
    assert functions.list_tags(Resource=arn)["Tags"] == {}


def test_a_function_with_51_tags_is_not_created(functions, role):
    """Nothing is left of it."""
    name = f"parity-{uuid.uuid4().hex[:12]}"
    tags = {f"key-{number}": "x" for number in range(51)}
    code = {"ZipFile": archive("")}

    refused = refusal(
        functions.create_function,
        FunctionName=name,
        Runtime="python3.11",
        Handler="app.handler",
        Role=role,
        Code=code,
        Tags=tags,
    )

    assert refused == TOO_MANY
    assert refusal(functions.get_function, FunctionName=name)[1] == 404


@pytest.mark.parametrize("verb", ["tag_resource", "untag_resource", "list_tags"])
@pytest.mark.parametrize("qualifier", ["1", "$LATEST", "live"])
def test_versions_and_aliases_have_no_tags(functions, arn, verb, qualifier):
    """Whether they exist or not."""
    given = {"tag_resource": {"Tags": {"a": "b"}}, "untag_resource": {"TagKeys": ["a"]}, "list_tags": {}}[verb]

    assert refusal(getattr(functions, verb), Resource=f"{arn}:{qualifier}", **given) == (
        "InvalidParameterValueException",
        400,
        "Tags on function aliases and versions are not supported. Please specify a function ARN.",
    )


def test_no_tags_are_refused(functions, arn):
    """Neither to add nor to remove."""
    assert refusal(functions.tag_resource, Resource=arn, Tags={}) == (
        "InvalidParameterValueException",
        400,
        "An error occurred and the request cannot be processed.",
    )
    assert refusal(functions.untag_resource, Resource=arn, TagKeys=[]) == (
        "ValidationException",
        400,
        "1 validation error detected: Value null at 'tagKeys' failed to satisfy constraint: Member must not be null",
    )


def test_tags_change_the_revision_and_nothing_else_of_a_function(functions, arn):
    """Its code is not started anew."""
    stale = functions.get_function_configuration(FunctionName=arn)["RevisionId"]
    functions.tag_resource(Resource=arn, Tags={"a": "b"})
    tagged = functions.get_function_configuration(FunctionName=arn)["RevisionId"]
    functions.untag_resource(Resource=arn, TagKeys=["a"])
    untagged = functions.get_function_configuration(FunctionName=arn)["RevisionId"]

    refused = refusal(functions.update_function_configuration, FunctionName=arn, Timeout=4, RevisionId=stale)
    functions.update_function_configuration(FunctionName=arn, Timeout=4, RevisionId=untagged)

    assert len({stale, tagged, untagged}) == 3
    assert refused[:2] == ("PreconditionFailedException", 412)


def test_the_tags_of_what_does_not_exist_are_refused(functions, arn):
    """AWS names its kind."""
    mapping = f"{arn.rpartition(':function:')[0]}:event-source-mapping:{uuid.uuid4()}"

    assert refusal(functions.list_tags, Resource=f"{arn}-none")[2] == f"Function not found: {arn}-none"
    assert refusal(functions.list_tags, Resource=mapping) == (
        "ResourceNotFoundException",
        404,
        f"Event source mapping not found: {mapping}",
    )

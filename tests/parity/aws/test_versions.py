"""Versions and revisions: https://docs.aws.amazon.com/lambda/latest/dg/configuration-versions.html."""

import pytest

from tests.parity.aws.support import answer_of, archive, refusal

ANSWERS = "def handler(event, context):\n    return '{}'\n"


def revision(functions, name, **which):
    """Return the revision of a function or of a version."""
    return functions.get_function_configuration(FunctionName=name, **which)["RevisionId"]


def update(functions, name, **configuration):
    """Change a function's configuration and wait until that is done."""
    functions.update_function_configuration(FunctionName=name, **configuration)
    functions.get_waiter("function_updated_v2").wait(FunctionName=name)


def test_a_version_has_its_own_arn_code_and_description(functions, create):
    """It stays as it was when `$LATEST` changes."""
    name = create(ANSWERS.format("old"), Description="of the function")

    published = functions.publish_version(FunctionName=name, Description="of the version")
    functions.update_function_code(FunctionName=name, ZipFile=archive(ANSWERS.format("new")))
    functions.get_waiter("function_updated_v2").wait(FunctionName=name)

    assert published["Version"] == "1"
    assert published["Description"] == "of the version"
    assert published["FunctionArn"].endswith(f":function:{name}:1")
    assert (published["State"], published["LastUpdateStatus"]) == ("Active", "Successful")
    assert answer_of(functions.invoke(FunctionName=name, Qualifier="1")) == "old"
    assert answer_of(functions.invoke(FunctionName=name)) == "new"
    assert functions.get_function_configuration(FunctionName=name)["Description"] == "of the function"


def test_publishing_again_without_a_change_returns_the_newest_version(functions, create):
    """A description for the version is no change, one of the function is."""
    name = create()
    first = functions.publish_version(FunctionName=name, Description="first")

    again = functions.publish_version(FunctionName=name, Description="again")
    update(functions, name, Description="another")
    second = functions.publish_version(FunctionName=name)

    assert (again["Version"], again["Description"], again["RevisionId"]) == ("1", "first", first["RevisionId"])
    assert (second["Version"], second["Description"]) == ("2", "another")


def test_publishing_gives_latest_another_revision(functions, create):
    """The version's own stays; publishing what is published already changes nothing."""
    name = create()
    before = revision(functions, name)

    version = functions.publish_version(FunctionName=name, RevisionId=before)
    after = revision(functions, name)
    functions.publish_version(FunctionName=name)

    assert len({before, after, version["RevisionId"]}) == 3
    assert revision(functions, name) == after
    assert revision(functions, name, Qualifier="1") == version["RevisionId"]


def test_a_revision_that_has_passed_is_refused(functions, create):
    """By every operation that takes one."""
    name = create()

    for call, arguments in (
        (functions.publish_version, {}),
        (functions.update_function_configuration, {"Timeout": 5}),
        (functions.update_function_code, {"ZipFile": archive(ANSWERS.format("new"))}),
    ):
        assert refusal(call, FunctionName=name, RevisionId="passed", **arguments) == (
            "PreconditionFailedException",
            412,
            (
                "The Revision Id provided does not match the latest Revision Id. Call the GetFunction/GetAlias API to "
                "retrieve the latest Revision Id"
            ),
        )


def test_publishing_other_code_than_expected_is_refused(functions, create):
    """The message has both digests."""
    name = create()
    digest = functions.get_function_configuration(FunctionName=name)["CodeSha256"]

    assert refusal(functions.publish_version, FunctionName=name, CodeSha256="other") == (
        "InvalidParameterValueException",
        400,
        (
            f"CodeSHA256 (other) is different from current CodeSHA256 in $LATEST ({digest}). "
            "Please try again with the CodeSHA256 in $LATEST."
        ),
    )
    assert functions.publish_version(FunctionName=name, CodeSha256=digest)["Version"] == "1"


def test_a_function_is_created_with_its_first_version(functions, create):
    """Only the version's number tells that the answer is the version's."""
    name = create(Publish=True)

    versions = functions.list_versions_by_function(FunctionName=name)["Versions"]

    assert [version["Version"] for version in versions] == ["$LATEST", "1"]
    assert [version["FunctionArn"].rpartition(f":{name}:")[2] for version in versions] == ["$LATEST", "1"]
    assert functions.publish_version(FunctionName=name)["Version"] == "1"


def test_new_code_is_published_with_its_update(functions, create):
    """The answer is the new version, which is being created."""
    name = create()

    answer = functions.update_function_code(FunctionName=name, ZipFile=archive(ANSWERS.format("new")), Publish=True)
    functions.get_waiter("published_version_active").wait(FunctionName=name, Qualifier="1")

    assert (answer["Version"], answer["State"], answer["StateReasonCode"]) == ("1", "Pending", "Creating")
    assert "LastUpdateStatus" not in answer
    assert answer_of(functions.invoke(FunctionName=name, Qualifier="1")) == "new"


def test_a_list_of_versions_shows_neither_states_nor_the_runtimes_version(functions, create):
    """As in ListFunctions."""
    name = create()

    (latest,) = functions.list_versions_by_function(FunctionName=name)["Versions"]

    assert latest["FunctionArn"].endswith(f":{name}:$LATEST")
    assert {"State", "LastUpdateStatus", "RuntimeVersionConfig", "Environment", "VpcConfig"} & latest.keys() == set()


def test_versions_are_listed_page_by_page(functions, create):
    """A page has as many as requested, and the marker of the next one."""
    name = create(Publish=True)

    first = functions.list_versions_by_function(FunctionName=name, MaxItems=1)
    second = functions.list_versions_by_function(FunctionName=name, MaxItems=1, Marker=first["NextMarker"])

    assert [page["Versions"][0]["Version"] for page in (first, second)] == ["$LATEST", "1"]
    assert not second.get("NextMarker")


def test_a_version_that_does_not_exist_is_deleted_without_an_error(functions, create):
    """Unless the function does not exist either."""
    name = create()

    assert functions.delete_function(FunctionName=name, Qualifier="77")["ResponseMetadata"]["HTTPStatusCode"] == 204
    functions.delete_function(FunctionName=name)
    code, status, message = refusal(functions.delete_function, FunctionName=name, Qualifier="77")
    assert (code, status) == ("ResourceNotFoundException", 404)
    assert message.endswith(f":function:{name}")


def test_latest_is_not_deleted_alone(functions):
    """Whether the function exists or not."""
    assert refusal(functions.delete_function, FunctionName="nobody", Qualifier="$LATEST") == (
        "InvalidParameterValueException",
        400,
        "$LATEST version cannot be deleted without deleting the function.",
    )


def test_a_deleted_versions_number_is_not_given_again(functions, create):
    """The next version has the next number."""
    name = create()
    functions.publish_version(FunctionName=name)

    functions.delete_function(FunctionName=name, Qualifier="1")

    assert functions.publish_version(FunctionName=name)["Version"] == "2"


@pytest.mark.slow  # it makes another runtime's environment
def test_snap_start_is_on_for_published_versions(functions, create):
    """`$LATEST` has none."""
    name = create(Runtime="python3.12", SnapStart={"ApplyOn": "PublishedVersions"})

    functions.publish_version(FunctionName=name)
    functions.get_waiter("published_version_active").wait(FunctionName=name, Qualifier="1")

    shown = [functions.get_function_configuration(FunctionName=name, Qualifier=one) for one in ("$LATEST", "1")]
    assert [one["SnapStart"] for one in shown] == [
        {"ApplyOn": "PublishedVersions", "OptimizationStatus": "Off"},
        {"ApplyOn": "PublishedVersions", "OptimizationStatus": "On"},
    ]

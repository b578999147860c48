"""Resource policies: https://docs.aws.amazon.com/lambda/latest/dg/access-control-resource-based.html."""

import json

import pytest

from tests.parity.aws.support import refusal

MISSING = ("ResourceNotFoundException", 404, "The resource you requested does not exist.")
STALE = (
    "PreconditionFailedException",
    412,
    (
        "The Revision Id provided does not match the latest Revision Id. Call the GetPolicy API to retrieve the latest "
        "Revision Id"
    ),
)
INVOKE = {"StatementId": "s3", "Action": "lambda:InvokeFunction", "Principal": "s3.amazonaws.com"}


@pytest.fixture
def arn(functions, create):
    """ARN of a function."""
    return functions.get_function(FunctionName=create())["Configuration"]["FunctionArn"]


def test_a_policy_grows_and_shrinks_by_statements(functions, arn):
    """The last one takes it along; each change has a revision of its own."""
    bucket = "arn:aws:s3:::parity-bucket"
    first = json.loads(functions.add_permission(FunctionName=arn, **INVOKE)["Statement"])
    functions.add_permission(FunctionName=arn, **{**INVOKE, "StatementId": "two"}, SourceArn=bucket)
    both = functions.get_policy(FunctionName=arn)
    functions.remove_permission(FunctionName=arn, StatementId="s3", RevisionId=both["RevisionId"])
    one = functions.get_policy(FunctionName=arn)
    unknown = refusal(functions.remove_permission, FunctionName=arn, StatementId="s3")
    functions.remove_permission(FunctionName=arn, StatementId="two")

    second = {**first, "Sid": "two", "Condition": {"ArnLike": {"AWS:SourceArn": bucket}}}
    assert first == {
        "Sid": "s3",
        "Effect": "Allow",
        "Principal": {"Service": "s3.amazonaws.com"},
        "Action": "lambda:InvokeFunction",
        "Resource": arn,
    }
    assert json.loads(both["Policy"]) == {"Version": "2012-10-17", "Id": "default", "Statement": [first, second]}
    assert json.loads(one["Policy"])["Statement"] == [second]
    assert both["RevisionId"] != one["RevisionId"]
    assert unknown == ("ResourceNotFoundException", 404, "Statement s3 is not found in resource policy.")
    assert refusal(functions.get_policy, FunctionName=arn) == MISSING


def test_a_principal_is_everybody_a_service_an_account_or_an_identity(functions, arn):
    """AWS writes each in its own way."""
    account = arn.split(":")[4]

    def principal(number, given, **more):
        added = functions.add_permission(
            FunctionName=arn, StatementId=str(number), Action="lambda:InvokeFunction", Principal=given, **more
        )
        return json.loads(added["Statement"])["Principal"]

    assert principal(1, "*", SourceAccount=account) == "*"
    assert principal(2, "sns.amazonaws.com") == {"Service": "sns.amazonaws.com"}
    assert principal(3, account) == {"AWS": f"arn:aws:iam::{account}:root"}
    assert refusal(
        functions.add_permission,
        FunctionName=arn,
        StatementId="4",
        Action="lambda:InvokeFunction",
        Principal="some.website.com",
    ) == (
        "InvalidParameterValueException",
        400,
        "The provided principal was invalid. Please check the principal and try again.",
    )


def test_conditions_are_those_of_awss(functions, arn):
    """By organisation, account, kind of URL and source."""
    account, bucket = arn.split(":")[4], "arn:aws:s3:::parity-bucket"
    added = functions.add_permission(
        FunctionName=arn,
        StatementId="url",
        Action="lambda:InvokeFunctionUrl",
        Principal="*",
        SourceArn=bucket,
        SourceAccount=account,
        PrincipalOrgID="o-1234567890",
        FunctionUrlAuthType="NONE",
    )

    assert json.loads(added["Statement"])["Condition"] == {
        "StringEquals": {
            "AWS:SourceAccount": account,
            "lambda:FunctionUrlAuthType": "NONE",
            "aws:PrincipalOrgID": "o-1234567890",
        },
        "ArnLike": {"AWS:SourceArn": bucket},
    }


def test_a_version_and_an_alias_have_policies_of_their_own(functions, arn):
    """With the same statement id; `$LATEST` has none."""
    functions.publish_version(FunctionName=arn)
    functions.create_alias(FunctionName=arn, Name="live", FunctionVersion="1")
    for qualifier in ({}, {"Qualifier": "1"}, {"Qualifier": "live"}):
        functions.add_permission(FunctionName=arn, **INVOKE, **qualifier)

    def resource(**qualifier):
        return json.loads(functions.get_policy(FunctionName=arn, **qualifier)["Policy"])["Statement"][0]["Resource"]

    assert [resource(), resource(Qualifier="1"), resource(Qualifier="live")] == [arn, f"{arn}:1", f"{arn}:live"]
    assert refusal(functions.add_permission, FunctionName=arn, Qualifier="$LATEST", **INVOKE) == (
        "InvalidParameterValueException",
        400,
        "We currently do not support adding policies for $LATEST.",
    )
    functions.delete_alias(FunctionName=arn, Name="live")
    assert refusal(functions.get_policy, FunctionName=arn, Qualifier="live") == MISSING


def test_statements_are_refused_where_they_cannot_be(functions, arn):
    """What does not exist, an id that is taken or malformed, a stale revision."""
    add, remove = functions.add_permission, functions.remove_permission
    unassociated = refusal(remove, FunctionName=arn, StatementId="s3")
    add(FunctionName=arn, **INVOKE)
    missing = "ResourceNotFoundException"

    assert unassociated == (missing, 404, "No policy is associated with the given resource.")
    assert refusal(add, FunctionName=arn, **INVOKE) == (
        "ResourceConflictException",
        409,
        (
            "The statement id (s3) provided already exists. Please provide a new statement id, or remove the existing "
            "statement."
        ),
    )
    assert refusal(add, FunctionName=arn, **{**INVOKE, "StatementId": "two"}, RevisionId="wrong") == STALE
    assert refusal(remove, FunctionName=arn, StatementId="s3", RevisionId="wrong") == STALE
    assert refusal(add, FunctionName=f"{arn}-none", **INVOKE)[2] == f"Function not found: {arn}-none"
    assert refusal(remove, FunctionName=f"{arn}-none", StatementId="s3")[2] == f"No policy found for: {arn}-none"
    assert refusal(add, FunctionName=arn, Qualifier="42", **INVOKE)[2] == f"Function not found: {arn}:42"
    assert refusal(add, FunctionName=arn, Qualifier="none", **INVOKE)[2] == f"Cannot find alias arn: {arn}:none"

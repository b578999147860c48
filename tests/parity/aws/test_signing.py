"""Code signing configurations: https://docs.aws.amazon.com/lambda/latest/dg/configuration-codesigning.html."""

import pytest

from tests.parity.aws.support import archive, refusal


@pytest.fixture
def config(functions):
    """Makes a configuration with a policy, and returns its ARN; it is deleted at the end."""
    made = []
    publishers = {
        "SigningProfileVersionArns": [f"arn:aws:signer:{functions.meta.region_name}:123456789012:/signing-profiles/any"]
    }

    def make(policy="Warn"):
        created = functions.create_code_signing_config(
            AllowedPublishers=publishers, CodeSigningPolicies={"UntrustedArtifactOnDeployment": policy}
        )["CodeSigningConfig"]
        made.append(created["CodeSigningConfigArn"])
        return made[-1]

    yield make
    for arn in made:
        for function in functions.list_functions_by_code_signing_config(CodeSigningConfigArn=arn)["FunctionArns"]:
            functions.delete_function_code_signing_config(FunctionName=function)
        functions.delete_code_signing_config(CodeSigningConfigArn=arn)


def test_a_configuration_is_changed_and_given_to_functions(functions, create, config):
    """An update that says nothing changes nothing."""
    arn, name = config("Enforce"), create()
    whole = functions.get_function(FunctionName=name)["Configuration"]["FunctionArn"]

    same = functions.update_code_signing_config(CodeSigningConfigArn=arn)["CodeSigningConfig"]
    changed = functions.update_code_signing_config(
        CodeSigningConfigArn=arn, CodeSigningPolicies={"UntrustedArtifactOnDeployment": "Warn"}
    )["CodeSigningConfig"]
    before = functions.get_function_code_signing_config(FunctionName=name)
    put = functions.put_function_code_signing_config(FunctionName=name, CodeSigningConfigArn=arn)
    users = functions.list_functions_by_code_signing_config(CodeSigningConfigArn=arn)["FunctionArns"]

    assert same["CodeSigningPolicies"] == {"UntrustedArtifactOnDeployment": "Enforce"}
    assert changed["CodeSigningPolicies"] == {"UntrustedArtifactOnDeployment": "Warn"}
    assert "CodeSigningConfigArn" not in before
    assert (put["CodeSigningConfigArn"], put["FunctionName"], users) == (arn, name, [whole])
    assert refusal(functions.delete_code_signing_config, CodeSigningConfigArn=arn)[:2] == (
        "ResourceConflictException",
        409,
    )


def test_code_without_a_signature_is_refused_where_it_needs_one(functions, create, config):
    """With `Warn` it passes."""
    name = create()
    functions.put_function_code_signing_config(FunctionName=name, CodeSigningConfigArn=config("Enforce"))

    refused = refusal(functions.update_function_code, FunctionName=name, ZipFile=archive("x = 1"))
    functions.put_function_code_signing_config(FunctionName=name, CodeSigningConfigArn=config("Warn"))
    functions.update_function_code(FunctionName=name, ZipFile=archive("x = 1"))

    assert refused[:2] == ("CodeVerificationFailedException", 400)


def test_configurations_that_do_not_exist_are_refused(functions, config):
    """AWS looks for the configuration before it looks for the function."""
    arn = config()
    unknown = f"{arn[:-17]}{'0' * 17}"
    missing = (
        "ResourceNotFoundException",
        404,
        f"The Lambda code signing configuration {unknown} can not be found.",
    )

    assert refusal(functions.get_code_signing_config, CodeSigningConfigArn=unknown) == missing
    assert refusal(functions.update_code_signing_config, CodeSigningConfigArn=unknown) == missing
    assert refusal(functions.delete_code_signing_config, CodeSigningConfigArn=unknown) == missing
    assert refusal(functions.list_functions_by_code_signing_config, CodeSigningConfigArn=unknown) == missing
    assert refusal(functions.put_function_code_signing_config, FunctionName="none", CodeSigningConfigArn=unknown) == (
        "CodeSigningConfigNotFoundException",
        404,
        (
            "The code signing configuration cannot be found. Check that the provided configuration is not deleted: "
            f"{unknown}."
        ),
    )
    code, _, message = refusal(
        functions.put_function_code_signing_config, FunctionName="none", CodeSigningConfigArn=arn
    )
    assert (code, message.rpartition(":")[2]) == ("ResourceNotFoundException", "none")


def test_a_configuration_has_tags(functions, config):
    """They are changed and listed like a function's."""
    arn = config()

    functions.tag_resource(Resource=arn, Tags={"a": "1", "b": "2"})
    functions.untag_resource(Resource=arn, TagKeys=["a"])

    assert functions.list_tags(Resource=arn)["Tags"] == {"b": "2"}

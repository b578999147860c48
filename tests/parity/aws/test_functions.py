"""Functions and their configurations: https://docs.aws.amazon.com/lambda/latest/api/API_CreateFunction.html."""

import json
import uuid

import pytest
from botocore.config import Config

from tests.parity.aws.support import archive, refusal

INVALID = "InvalidParameterValueException"
RUNTIMES = (
    "[nodejs20.x, python3.14, provided.al2023, python3.12, python3.13, nodejs24.x, nodejs22.x, java25, python3.10, "
    "python3.11, java21, ruby3.3, ruby3.4, ruby3.2, python3.8, python3.9, java17, nodejs16.x, dotnet10, dotnet8, "
    "java11, dotnet6, nodejs18.x, provided.al2, java8.al2]"
)
UNABLE = "Lambda was unable to configure your environment variables because the environment variables you have provided"
SHOWN_BY_DEFAULT = {
    "Architectures", "CodeSha256", "CodeSize", "Description", "EphemeralStorage", "FunctionArn", "FunctionName",
    "Handler", "LastModified", "LoggingConfig", "MemorySize", "PackageType", "RevisionId", "Role", "Runtime",
    "RuntimeVersionConfig", "SnapStart", "State", "Timeout", "TracingConfig", "Version",
}  # fmt: skip


@pytest.fixture
def refused(functions, role):
    """Return how a CreateFunction is refused."""

    def refuse(**changes):
        arguments = {
            "FunctionName": f"parity-{uuid.uuid4().hex[:12]}",
            "Runtime": "python3.11",
            "Handler": "app.handler",
            "Role": role,
            "Code": {"ZipFile": archive("def handler(event, context): pass")},
        }
        return refusal(functions.create_function, **(arguments | changes))

    return refuse


def test_a_new_function_shows_only_what_every_function_has(functions, role):
    """It is pending; what was never given is absent."""
    name = f"parity-{uuid.uuid4().hex[:12]}"
    answer = functions.create_function(
        FunctionName=name,
        Runtime="python3.11",
        Handler="app.handler",
        Role=role,
        Code={"ZipFile": archive("def handler(event, context): pass")},
    )
    functions.get_waiter("function_active_v2").wait(FunctionName=name)
    found = functions.get_function(FunctionName=name)
    functions.delete_function(FunctionName=name)

    assert set(answer) - {"ResponseMetadata"} == SHOWN_BY_DEFAULT | {"StateReason", "StateReasonCode"}
    assert (answer["State"], answer["StateReasonCode"]) == ("Pending", "Creating")
    assert set(found["Configuration"]) == SHOWN_BY_DEFAULT | {"LastUpdateStatus"}
    assert found["Configuration"]["RevisionId"] != answer["RevisionId"]
    assert set(found) - {"ResponseMetadata"} == {"Configuration", "Code"}
    assert (answer["Timeout"], answer["MemorySize"], answer["EphemeralStorage"]) == (3, 128, {"Size": 512})
    assert answer["TracingConfig"] == {"Mode": "PassThrough"}
    assert answer["SnapStart"] == {"ApplyOn": "None", "OptimizationStatus": "Off"}


def test_an_update_is_in_progress_and_has_revisions_of_its_own(functions, create):
    """One while it is in progress, and another one when it is done."""
    name = create()
    before = functions.get_function_configuration(FunctionName=name)["RevisionId"]

    answer = functions.update_function_configuration(FunctionName=name, Timeout=7)
    functions.get_waiter("function_updated_v2").wait(FunctionName=name)
    after = functions.get_function_configuration(FunctionName=name)

    assert (answer["State"], answer["LastUpdateStatus"]) == ("Active", "InProgress")
    assert (answer["LastUpdateStatusReasonCode"], answer["Timeout"]) == ("Creating", 7)
    assert after["LastUpdateStatus"] == "Successful"
    assert len({before, answer["RevisionId"], after["RevisionId"]}) == 3


def test_what_an_update_does_not_name_stays(functions, create):
    """An empty environment is shown as such."""
    name = create(Description="the first", Environment={"Variables": {"KEY": "1"}}, Timeout=9)

    functions.update_function_configuration(FunctionName=name, Environment={"Variables": {}}, MemorySize=256)
    functions.get_waiter("function_updated_v2").wait(FunctionName=name)
    shown = functions.get_function_configuration(FunctionName=name)

    assert (shown["Description"], shown["Timeout"], shown["MemorySize"]) == ("the first", 9, 256)
    assert shown["Environment"] == {"Variables": {}}


def test_the_arn_has_the_qualifier_only_when_asked_with_one(functions, create):
    """`$LATEST` too."""
    name = create()

    plain, latest = (
        functions.get_function_configuration(FunctionName=name, **which)["FunctionArn"]
        for which in ({}, {"Qualifier": "$LATEST"})
    )

    assert plain.endswith(f":function:{name}")
    assert latest == f"{plain}:$LATEST"


def test_a_function_is_created_by_its_arn_too(functions, create, role):
    """The ARN may be partial."""
    account = functions.get_function_configuration(FunctionName=create())["FunctionArn"].split(":")[4]
    name = f"parity-{uuid.uuid4().hex[:12]}"

    answer = functions.create_function(
        FunctionName=f"{account}:function:{name}",
        Runtime="python3.11",
        Handler="app.handler",
        Role=role,
        Code={"ZipFile": archive("def handler(event, context): pass")},
    )
    functions.get_waiter("function_active_v2").wait(FunctionName=name)
    functions.delete_function(FunctionName=name)

    assert answer["FunctionName"] == name


@pytest.mark.parametrize("tracing", ["Active", "PassThrough"])
def test_tracing_is_shown_and_decides_whether_traces_are_sampled(functions, create, tracing):
    """The function finds the decision in its trace's header; a caller that has decided counts more."""
    name = create(
        "import os\ndef handler(event, context):\n    return os.environ['_X_AMZN_TRACE_ID']\n",
        TracingConfig={"Mode": tracing},
    )

    trace = json.loads(functions.invoke(FunctionName=name)["Payload"].read())

    assert functions.get_function_configuration(FunctionName=name)["TracingConfig"] == {"Mode": tracing}
    assert ("Sampled=1" in trace) == (tracing == "Active")


def test_a_key_is_shown_until_it_is_removed(functions, create, key):
    """An empty ARN removes it."""
    name = create(KMSKeyArn=key, Environment={"Variables": {"KEY": "1"}})

    shown = functions.get_function_configuration(FunctionName=name)
    functions.update_function_configuration(FunctionName=name, KMSKeyArn="")
    functions.get_waiter("function_updated_v2").wait(FunctionName=name)

    assert shown["KMSKeyArn"] == key
    assert "KMSKeyArn" not in functions.get_function_configuration(FunctionName=name)


def test_a_role_that_is_no_arn_is_refused(refused):
    """In the words of the service model."""
    assert refused(Role="r1") == (
        "ValidationException",
        400,
        (
            "1 validation error detected: Value 'r1' at 'role' failed to satisfy constraint: "
            "Member must satisfy regular expression pattern: "
            r"arn:(aws[a-zA-Z-]*)?:iam::\d{12}:role/?[a-zA-Z_0-9+=,.@\-_/]+"
        ),
    )


@pytest.mark.parametrize("runtime", ["python4.0", "PYTHON3.11"])
def test_a_runtime_that_never_was_is_refused_with_the_list(refused, functions, create, runtime):
    """When a function is created, and when it is updated."""
    expected = (
        INVALID,
        400,
        (
            f"Value {runtime} at 'runtime' failed to satisfy constraint: Member must satisfy enum value set: "
            f"{RUNTIMES} or be a valid ARN"
        ),
    )

    assert refused(Runtime=runtime) == expected
    assert refusal(functions.update_function_configuration, FunctionName=create(), Runtime=runtime) == expected


@pytest.mark.parametrize("runtime", ["python3.7", "nodejs14.x", "go1.x", "java8", "provided", "dotnetcore3.1"])
def test_a_runtime_that_has_ended_is_refused(refused, runtime):
    """AWS recommends a supported one."""
    assert refused(Runtime=runtime) == (
        INVALID,
        400,
        (
            f"The runtime parameter of {runtime} is no longer supported for creating or updating AWS Lambda functions. "
            "We recommend you use a supported runtime while creating or updating functions."
        ),
    )


@pytest.mark.parametrize("missing", [{"Runtime": None}, {"Handler": None}])
def test_a_package_needs_a_runtime_and_a_handler(functions, role, missing):
    """Both."""
    arguments = {"Runtime": "python3.11", "Handler": "app.handler"} | missing
    given = {name: value for name, value in arguments.items() if value}

    assert refusal(
        functions.create_function, FunctionName="parity-none", Role=role, Code={"ZipFile": archive("")}, **given
    ) == (
        INVALID,
        400,
        "Runtime and Handler are mandatory parameters for functions created with deployment packages.",
    )


def test_an_image_has_neither_runtime_nor_handler(refused):
    """Its own settings say what runs."""
    image = {"ImageUri": "123456789012.dkr.ecr.us-east-1.amazonaws.com/image:latest"}

    assert refused(PackageType="Image", Code=image) == (
        INVALID,
        400,
        "Please don't provide Handler or Runtime or Layer when the intended function PackageType is Image.",
    )


def test_a_package_has_no_settings_of_an_image(refused, functions, create):
    """Neither when it is created, nor later."""
    config = {"ImageConfig": {"Command": ["app.handler"]}}

    assert refused(**config)[:2] == (INVALID, 400)
    assert refusal(functions.update_function_configuration, FunctionName=create(), **config)[:2] == (INVALID, 400)


@pytest.mark.parametrize(
    ("architectures", "constraint"),
    [
        (["x86_64", "arm64"], "Member must have length less than or equal to 1"),
        (
            ["X86_64"],
            (
                "Member must satisfy constraint: [Member must satisfy enum value set: [x86_64, arm64], "
                "Member must not be null]"
            ),
        ),
    ],
)
def test_a_function_has_one_of_two_architectures(refused, architectures, constraint):
    """In the words of the service model."""
    assert refused(Architectures=architectures) == (
        "ValidationException",
        400,
        (
            f"1 validation error detected: Value '[{', '.join(architectures)}]' at 'architectures' failed to satisfy "
            f"constraint: {constraint}"
        ),
    )


def test_variables_are_measured_as_json(create, refused):
    """4,096 bytes with quotes, braces and all pass; one more does not."""
    overhead = len('{"NAME":""}')

    create(Environment={"Variables": {"NAME": "x" * (4096 - overhead)}})
    code, status, message = refused(Environment={"Variables": {"NAME": "x" * (4097 - overhead)}})

    assert (code, status) == (INVALID, 400)
    assert message.startswith(f'{UNABLE} exceeded the 4KB limit. String measured: {{"NAME":"xxx')


def test_variables_that_lambda_sets_are_reserved(refused):
    """The message names them."""
    assert refused(Environment={"Variables": {"AWS_REGION": "x", "MINE": "y"}}) == (
        INVALID,
        400,
        (
            f"{UNABLE} contains reserved keys that are currently not supported for modification. "
            "Reserved keys used in this request: AWS_REGION"
        ),
    )


def test_a_subnet_and_a_group_have_to_exist(refused, aws):
    """The group is looked up first; both or neither have to be given."""
    group = aws("ec2").describe_security_groups()["SecurityGroups"][0]["GroupId"]
    words = "Error occurred while {}. EC2 Error Code: {}. EC2 Error Message: {}"
    no_subnet, no_group = "subnet-0123456789abcdef0", "sg-0123456789abcdef0"

    assert refused(VpcConfig={"SubnetIds": [no_subnet], "SecurityGroupIds": [group]}) == (
        INVALID,
        400,
        words.format("DescribeSubnets", "InvalidSubnetID.NotFound", f"The subnet ID '{no_subnet}' does not exist"),
    )
    assert refused(VpcConfig={"SubnetIds": [no_subnet], "SecurityGroupIds": [no_group]}) == (
        INVALID,
        400,
        words.format(
            "DescribeSecurityGroups", "InvalidGroup.NotFound", f"The security group '{no_group}' does not exist"
        ),
    )
    assert refused(VpcConfig={"SubnetIds": [], "SecurityGroupIds": [group]}) == (
        INVALID,
        400,
        "SubnetIds and SecurityIds must coexist or be both empty list.",
    )


def test_snap_start_needs_a_runtime_that_has_it(refused):
    """Python 3.11 has none; a mode that does not exist is refused by the service model."""
    assert refused(SnapStart={"ApplyOn": "PublishedVersions"}) == (
        INVALID,
        400,
        "python3.11 is not supported for SnapStart enabled functions.",
    )
    assert refused(SnapStart={"ApplyOn": "Always"}) == (
        "ValidationException",
        400,
        (
            "1 validation error detected: Value 'Always' at 'snapStart.applyOn' failed to satisfy constraint: "
            "Member must satisfy enum value set: [PublishedVersions, None]"
        ),
    )


def test_a_name_of_65_letters_is_too_long(refused):
    """The service model allows 140, for ARNs."""
    assert refused(FunctionName="a" * 65) == (
        INVALID,
        400,
        (
            f"1 validation error detected: Value '{'a' * 65}' at 'functionName' failed to satisfy constraint: "
            "Member must have length less than or equal to 64"
        ),
    )


def test_a_request_that_is_signed_for_another_region_is_refused(aws, functions):
    """Whatever it asks for."""
    region = "eu-west-1" if functions.meta.region_name != "eu-west-1" else "us-west-2"
    client = aws(
        "lambda",
        region_name=region,
        endpoint_url=functions.meta.endpoint_url,
        config=Config(retries={"total_max_attempts": 1}),
    )

    code, status, message = refusal(client.list_functions)

    assert (code, status) == ("InvalidSignatureException", 403)
    assert message.startswith("Credential should be scoped to a valid region")

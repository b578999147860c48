"""The gateway's operations against AWS's service model of Lambda, as botocore ships it."""

import re

import botocore.session
import msgspec
import pytest

from harness.gateway.api.constraints import check
from harness.gateway.api.constraints import own_violations as violations
from harness.gateway.api.model import service_model
from harness.gateway.api.operations import OPERATIONS, operation_routes
from harness.gateway.api.surface import members
from harness.gateway.api.taken import untaken
from harness.gateway.app import INVOCATIONS, RESOURCES
from harness.gateway.errors import LambdaApiError


@pytest.fixture(scope="module")
def service():
    """Return botocore's description of Lambda."""
    return botocore.session.Session().get_service_model("lambda")


def form(path):
    """Return a path with uniform parameters and without a trailing slash."""
    return re.sub(r"{[^}]*}", "{}", path).rstrip("/")


def members_of(service, name):
    """Return the names of an operation's input members."""
    shape = service.operation_model(name).input_shape
    return set(shape.members) if shape else set()


def refusal(operation, **given):
    """Return the error of a request that violates the model; None for one that does not."""
    try:
        check(service_model().operations[operation], given, service_model())
    except LambdaApiError as error:
        return error.message
    return None


def test_every_operation_of_awss_has_a_route_with_and_without_a_slash_at_its_end(service):
    """boto3 and the AWS CLI use exactly these; some clients add a slash."""
    served = {(*route.methods - {"HEAD"}, form(route.path)) for route in operation_routes()}
    wanted = {
        (http["method"], form(http["requestUri"].partition("?")[0]))
        for http in (service.operation_model(name).http for name in service.operation_names if name != "Invoke")
    }

    assert served == wanted
    assert {route.path for route in operation_routes()} >= {
        path.rstrip("/") + "/" for path in (route.path for route in operation_routes())
    }


def test_invoke_has_the_method_and_the_path_of_awss(service):
    """The gateway's own route for it precedes the others."""
    expected = service.operation_model("Invoke").http

    assert ("POST", form(expected["requestUri"])) == (expected["method"], form(INVOCATIONS))


def test_an_input_takes_only_members_that_aws_has(service):
    """A misspelt member would never be filled."""
    assert RESOURCES
    for name, operation in OPERATIONS.items():
        fields = {field.encode_name for field in msgspec.structs.fields(operation.input)}
        assert fields <= members_of(service, name)


def test_every_operation_and_every_member_has_a_state(service):
    """Nothing is accepted and dropped: each member is built, shown, or refused by its name."""
    stated = {(one.operation, one.name) for one in members() if "." not in one.name}
    wanted = {(name, member) for name in service.operation_names for member in members_of(service, name)}

    assert stated == wanted
    assert {one.state for one in members()} == {"built", "shown", "refused"}


def test_what_no_record_takes_is_refused_by_its_path():
    """Members of nested structures too, and of structures in lists."""

    class Inner(msgspec.Struct, rename="pascal"):
        subnet_ids: list[str] = []

    class Outer(msgspec.Struct, rename="pascal"):
        vpc_config: Inner | None = None
        file_system_configs: list[Inner] = []

    model = service_model()
    given = {
        "Description": "",
        "Timeout": 3,
        "VpcConfig": {"SubnetIds": ["subnet-1"], "Ipv6AllowedForDualStack": True},
        "FileSystemConfigs": [{"Arn": "a"}],
    }

    found = untaken(given, Outer, model.operations["CreateFunction"].input, model)

    assert sorted(found) == ["FileSystemConfigs.Arn", "Timeout", "VpcConfig.Ipv6AllowedForDualStack"]


def test_a_name_is_checked_in_awss_words():
    """The expression is the service model's."""
    told = refusal("GetFunction", FunctionName="*")

    assert "Value '*' at 'functionName' failed to satisfy constraint: Member must satisfy regular expression" in told
    assert refusal("GetFunction", FunctionName="arn:aws:lambda:us-east-1:123456789012:function:f:1") is None


def test_all_violations_are_told_at_once():
    """AWS counts them."""
    told = refusal(
        "PutFunctionEventInvokeConfig", FunctionName="f", MaximumRetryAttempts=3, MaximumEventAgeInSeconds=59
    )

    assert told.startswith("2 validation errors detected: Value '3' at 'maximumRetryAttempts' failed to satisfy")
    assert told.endswith(
        "; Value '59' at 'maximumEventAgeInSeconds' failed to satisfy constraint: "
        "Member must have value greater than or equal to 60"
    )


def test_a_lists_elements_are_checked_together():
    """AWS shows the whole list, and every constraint of an element."""
    assert refusal("UpdateFunctionConfiguration", FunctionName="f", VpcConfig={"SubnetIds": ["bad"]}) == (
        "1 validation error detected: Value '[bad]' at 'vpcConfig.subnetIds' failed to satisfy constraint: Member must "
        "satisfy constraint: [Member must have length less than or equal to 1024, Member must have length greater than "
        "or equal to 0, Member must satisfy regular expression pattern: subnet-[0-9a-z]*]"
    )


def test_null_is_no_element_of_a_list_or_a_map():
    """AWS says so of every element that must not be null."""
    tag = {"Resource": "arn:aws:lambda:us-east-1:123456789012:function:f"}

    told = refusal("TagResource", **tag, Tags={"a": None})
    assert "Value '{a=null}' at 'tags' failed to satisfy constraint: Map value must satisfy" in told
    assert "Member must not be null" in told
    assert "Value '[null]' at 'layers'" in refusal("UpdateFunctionConfiguration", FunctionName="f", Layers=[None])


def test_a_number_of_any_size_is_checked():
    """JSON has numbers that no double holds."""
    weights = {"AdditionalVersionWeights": {"1": 10**400}}

    assert "Value '{1=inf}'" in refusal("UpdateAlias", FunctionName="f", Name="a", RoutingConfig=weights)


def test_a_member_of_another_type_is_not_measured():
    """The length of a text says nothing about a number; its type is refused afterwards."""
    assert refusal("UpdateFunctionConfiguration", FunctionName="f", MemorySize="128", Timeout=[]) is None


def test_a_missing_member_is_null():
    """AWS does not say `missing`."""
    assert refusal("UntagResource", Resource="arn:aws:lambda:us-east-1:123456789012:function:f") == (
        "1 validation error detected: Value null at 'tagKeys' failed to satisfy constraint: Member must not be null"
    )


def test_every_expression_of_the_model_is_one_of_pythons():
    """The model's are Java's."""
    tag = {"Resource": "arn:aws:lambda:us-east-1:123456789012:function:f"}

    assert refusal("TagResource", **tag, Tags={"Größe": "zwei 2"}) is None
    assert "Map keys must satisfy" in refusal("TagResource", **tag, Tags={"a#b": ""})
    for shape in service_model().shapes.values():
        list(violations("x", shape))

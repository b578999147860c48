"""What AWS's API has and the emulation lacks: refused by its name through boto3, never accepted and dropped."""

import re

import pytest
from botocore import xform_name
from botocore.config import Config
from botocore.exceptions import ClientError

import harness.gateway.api.resources  # noqa: F401 - registers the operations
from harness.aws.clients import emulation_session
from harness.gateway.api.model import service_model
from harness.gateway.api.surface import members, operations

MISSING = sorted(name for name, built in operations().items() if not built)
REFUSED = [(one.operation, one.name) for one in members() if one.state == "refused" and one.operation not in MISSING]
# Valid values of members that every request of an operation must have.
VALID = {
    "Role": "arn:aws:iam::123456789012:role/any",
    "Code": {"ZipFile": b"x"},
    "FunctionVersion": "1",
    "UUID": "12345678-1234-1234-1234-123456789012",
}
# What else a request has, so that nothing but the member is wrong with it.
ALSO = {"CreateEventSourceMapping": {"EventSourceArn": "arn:aws:sqs:us-east-1:123456789012:absent"}}
SCALARS = {"integer": 1, "long": 1, "double": 0.5, "timestamp": 1, "boolean": True, "blob": b"x", "string": "x"}


@pytest.fixture(scope="module")
def functions(stack):
    """A client of Lambda that sends what it is given and tries once."""
    config = Config(parameter_validation=False, retries={"total_max_attempts": 1})
    return emulation_session(stack.endpoints).client("lambda", endpoint_url=stack.endpoints.lambda_, config=config)


def uri_members(name):
    """Return the members without which there is no path."""
    return {one.name: "x" for one in service_model().operations[name].members.values() if one.location == "uri"}


def sample(shape, path=""):
    """Return a value of a shape, with the member of that path in it, or else with all of its members."""
    model = service_model()
    if shape["type"] == "structure":
        first, _, rest = path.partition(".")
        return {
            name: sample(model.shape(reference), rest)
            for name, reference in shape["members"].items()
            if first in ("", name)
        }
    if shape["type"] == "list":
        return [sample(model.shape(shape["member"]), path)]
    if shape["type"] == "map":
        return {"x": sample(model.shape(shape["value"]))}
    return shape["enum"][0] if "enum" in shape else SCALARS[shape["type"]]


@pytest.mark.parametrize("name", MISSING)
def test_an_operation_that_is_not_emulated_is_named(functions, name):
    """In AWS's envelope and at once, with a status that boto3 does not take for a failure of the service."""
    with pytest.raises(ClientError) as caught:
        getattr(functions, xform_name(name))(**uri_members(name))

    error = caught.value.response
    assert error["Error"] == {"Code": "NotImplementedException", "Message": f"{name} is not emulated."}
    assert error["ResponseMetadata"]["HTTPStatusCode"] == 501
    assert error["ResponseMetadata"]["RequestId"]


@pytest.mark.parametrize(("name", "member"), REFUSED)
def test_a_member_that_is_not_emulated_is_named(functions, name, member):
    """Nothing is done without what the caller asked for."""
    operation = service_model().operations[name]
    required = {one.name: VALID.get(one.name, sample(one.shape)) for one in operation.members.values() if one.required}

    with pytest.raises(ClientError) as caught:
        getattr(functions, xform_name(name))(**{**required, **ALSO.get(name, {}), **sample(operation.input, member)})

    error = caught.value.response["Error"]
    assert error["Code"] in {"InvalidParameterValueException", "ValidationException"}
    assert re.search(rf"\b{member.rpartition('.')[2]}\b", error["Message"], re.IGNORECASE)

"""Function URLs of the gateway: who may call one, by which address, and what the function learns of the caller."""

import http.client
import json
import uuid
from urllib.parse import urlsplit

import pytest

from harness.aws.clients import clients_for
from harness.guard import authorization
from tests.parity.aws.support import archive
from tests.support.functions import ROLE

ECHO = "def handler(event, context):\n    return event\n"


@pytest.fixture(scope="module")
def stack(hasty):
    """A stack of this module's tests."""
    return hasty


@pytest.fixture(scope="module")
def url(stack, mode):
    """The URL, for everybody, of a function that returns its event."""
    if mode == "container":
        pytest.skip("functions of a package run in process mode")
    functions, name = clients_for(stack.endpoints).functions, f"url-{uuid.uuid4().hex[:8]}"
    functions.create_function(
        FunctionName=name, Runtime="python3.11", Handler="app.handler", Role=ROLE, Code={"ZipFile": archive(ECHO)}
    )
    made = functions.create_function_url_config(FunctionName=name, AuthType="NONE")
    functions.add_permission(
        FunctionName=name,
        StatementId="url",
        Action="lambda:InvokeFunctionUrl",
        Principal="*",
        FunctionUrlAuthType="NONE",
    )
    yield made["FunctionUrl"]
    functions.delete_function(FunctionName=name)


def answered(url, path, **headers):
    """Return the status and the content of an answer to a request without credentials of its own."""
    connection = http.client.HTTPConnection(urlsplit(url).netloc, timeout=60)
    try:
        connection.request("GET", path, headers=headers)
        answer = connection.getresponse()
        return answer.status, answer.read()
    finally:
        connection.close()


def test_a_url_has_a_host_name_of_its_own_too(url):
    """Its first part is the id; whatever the path, the Lambda API is not behind that name."""
    host = f"{urlsplit(url).path.strip('/').rpartition('/')[2]}.lambda-url.us-east-1.localhost"

    status, content = answered(url, "/2015-03-31/functions/", Host=f"{host}:80")
    event = json.loads(content)

    assert (status, event["rawPath"]) == (200, "/2015-03-31/functions/")
    assert event["requestContext"]["domainPrefix"] == host.partition(".")[0]


def test_a_guessed_url_is_nobodys(url):
    """Nothing tells whether such a function exists."""
    path = f"/lambda-url/{'a' * 32}/"

    assert answered(url, path) == (403, b'{"Message":null}')
    assert answered(url, "/", Host=f"{'a' * 32}.lambda-url.us-east-1.localhost") == (403, b'{"Message":null}')


def test_a_function_does_not_learn_the_credentials_of_the_stack(stack, url):
    """Those of the caller's own, such as a bearer token, reach it."""
    path = urlsplit(url).path
    key = stack.endpoints.access_key

    _, signed = answered(url, path, **authorization(key))
    _, own = answered(url, path, Authorization="Bearer mine")

    assert key.encode() not in signed
    assert json.loads(own)["headers"]["authorization"] == "Bearer mine"


@pytest.fixture
def update(stack, url):
    """Changes the settings of the URL for one test."""
    functions = clients_for(stack.endpoints).functions
    (name,) = [
        one["FunctionName"] for one in functions.list_functions()["Functions"] if one["FunctionName"].startswith("url-")
    ]
    assert functions.get_function_url_config(FunctionName=name)["FunctionUrl"] == url
    yield lambda **settings: functions.update_function_url_config(FunctionName=name, **settings)
    functions.update_function_url_config(FunctionName=name, AuthType="NONE", InvokeMode="BUFFERED")


def test_a_streaming_url_sends_the_answer_as_it_is(update, url):
    """Python's runtime does not stream, so that a status code is content like all else."""
    update(InvokeMode="RESPONSE_STREAM")

    status, content = answered(url, urlsplit(url).path)

    assert status == 200
    assert json.loads(content)["version"] == "2.0"


def test_a_url_with_authorisation_takes_the_credentials_of_the_stack(stack, update, url):
    """Others are refused."""
    update(AuthType="AWS_IAM")

    status, content = answered(url, urlsplit(url).path, **authorization(stack.endpoints.access_key))
    refused, _ = answered(url, urlsplit(url).path, **authorization("AKIAIOSFODNN7EXAMPLE"))

    assert (status, refused) == (200, 403)
    assert json.loads(content)["requestContext"]["authorizer"]["iam"]["userArn"] == "arn:aws:iam::123456789012:root"

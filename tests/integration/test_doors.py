"""The doors of a stack: every service refuses a web page, another user, and whoever has no credentials."""

import http.client
import json
import os
import pwd
import socket
import subprocess
import sys
import uuid
from collections.abc import Callable
from pathlib import Path
from urllib.parse import urlsplit

import boto3
import httpx
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError

from harness.aws.clients import clients_for
from harness.gateway.limits import ANY_ROLE
from harness.guard import CLOUDFORMATION, HEALTH, authorization, new_secret, own_key, session_key
from harness.stack import StackState, client_environment
from harness.stack.state import Mode
from tests.support.functions import code_arguments, handlers_image

ROOT = Path(__file__).parents[2]
HTTP_SERVICES = ("lambda_", "aws", "s3")
PATHS = {"lambda_": "/2015-03-31/functions", "aws": "/", "s3": "/"}
CODES = {
    "lambda": "UnrecognizedClientException",
    "logs": "UnrecognizedClientException",
    "s3": "InvalidAccessKeyId",
    "sts": "InvalidClientTokenId",
    "ec2": "AuthFailure",
}
CALLS = {
    "lambda": "list_functions",
    "logs": "describe_log_groups",
    "s3": "list_buckets",
    "sts": "get_caller_identity",
    "ec2": "describe_vpcs",
}


@pytest.fixture(params=HTTP_SERVICES)
def service(request: pytest.FixtureRequest) -> str:
    """One of the stack's HTTP services."""
    return str(request.param)


@pytest.fixture
def ask(stack: StackState, service: str) -> Callable[..., httpx.Response]:
    """Sends a request as the stack's user does, but for what the test changes."""
    url = getattr(stack.endpoints, service) + PATHS[service]
    signed = authorization(stack.endpoints.access_key, {"lambda_": "lambda", "aws": "sts"}.get(service, service))

    def send(method: str = "GET", headers: dict[str, str] | None = None, path: str = "") -> httpx.Response:
        return httpx.request(method, url + path, headers=signed | (headers or {}), trust_env=False, timeout=10)

    return send


def test_the_stacks_user_is_let_in(ask):
    """The key that `harness status --shell` exports opens every service."""
    assert ask().status_code not in {401, 403}


@pytest.mark.parametrize("method", ["GET", "POST", "OPTIONS", "PUT"])
@pytest.mark.parametrize("headers", [{"Origin": "http://page.example"}, {"Host": "page.example"}, {"Origin": "null"}])
def test_a_web_page_is_refused(ask, method, headers):
    """Even one that knows the key: neither another origin nor a rebound name passes, and CORS allows nothing."""
    answer = ask(method, {**headers, "Access-Control-Request-Method": "PUT"})

    assert answer.status_code == 403
    assert not [name for name in answer.headers if name.lower().startswith("access-control-")]


def test_health_needs_no_credentials_and_tells_nothing(stack, service):
    """A probe learns that the service answers; LocalStack has a route of its own, which does tell, and needs them."""
    url = getattr(stack.endpoints, service)

    answer = httpx.get(url + HEALTH, trust_env=False)

    assert (200, b"") == (answer.status_code, answer.content)
    assert httpx.get(f"{url}/_localstack/health", trust_env=False).status_code in {403, 404}


@pytest.fixture(scope="module")
def guarded_bucket(stack):
    """A bucket with an object to be copied, and one whose key is the path that needs no credentials."""
    s3 = boto3.Session(stack.endpoints.access_key, "test", region_name="us-east-1").client(
        "s3", endpoint_url=stack.endpoints.s3, config=Config(proxies={}, s3={"addressing_style": "path"})
    )
    s3.create_bucket(Bucket="guarded")
    objects = {HEALTH.removeprefix("/"): b"kept", "secret": b"rows"}
    for key, body in objects.items():
        s3.put_object(Bucket="guarded", Key=key, Body=body)
    yield "guarded"

    found = {entry["Key"] for entry in s3.list_objects_v2(Bucket="guarded")["Contents"]}
    assert objects == {key: s3.get_object(Bucket="guarded", Key=key)["Body"].read() for key in found}


@pytest.mark.parametrize("host", ["", "guarded.localhost", "guarded.s3.localhost", "guarded.s3.us-east-1.localhost"])
@pytest.mark.parametrize("path", [HEALTH, f"/guarded{HEALTH}", f"/{HEALTH}", f"{HEALTH}/", "/_harness/%68ealth"])
def test_no_path_without_credentials_leads_to_an_object(stack, service, guarded_bucket, host, path):
    """To S3, a path is a key wherever the host names a bucket: nothing is read, written, copied or deleted by it."""
    url = httpx.URL(getattr(stack.endpoints, service))
    headers = {"Host": f"{host}:{url.port}"} if host else {}
    copy = {"x-amz-copy-source": f"{guarded_bucket}/secret"}
    with httpx.Client(base_url=url, headers=headers, trust_env=False, timeout=10) as client:
        read = [client.request(method, path) for method in ("GET", "HEAD")]
        more = [client.request(method, path, content=b"x") for method in ("PUT", "POST", "DELETE")]
        more.append(client.put(path, headers=copy))

    assert {answer.status_code for answer in read} <= {200, 403}
    assert not [answer for answer in read if answer.status_code == 200 and answer.content]
    assert {403} == {answer.status_code for answer in more}


@pytest.mark.parametrize("path", ["/_localstack/health", "/_localstack/info", "/_aws/s3", "/_localstack"])
@pytest.mark.parametrize("method", ["GET", "POST"])
def test_a_function_does_not_reach_localstacks_own_routes(stack, method, path):
    """`{"action": "kill"}` would end it; the credentials of an environment open S3 alone."""
    if stack.s3 != "localstack":
        pytest.skip("moto has no such routes")
    secret = json.loads((stack.directory / "plan.json").read_bytes())["secret"]
    signed = authorization(session_key(secret, "0123456789abcdef", "token"), "s3") | {"X-Amz-Security-Token": "token"}

    assert httpx.get(stack.endpoints.s3, headers=signed, trust_env=False).status_code == 200
    answer = httpx.request(method, stack.endpoints.s3 + path, headers=signed, json={"action": "none"}, trust_env=False)

    assert answer.status_code == 403
    assert "may not steer" in answer.text


def keys_of_others(stack):
    """Credentials that look like the stack's, and are not: a key and a session token each."""
    other, own = new_secret(), stack.endpoints.access_key
    return {
        "none": ("", ""),
        "any": ("test", ""),
        "of another stack": (own_key(other), ""),
        "of another stack's CloudFormation": (own_key(other, CLOUDFORMATION), ""),
        "of another stack's environment": (session_key(other, "0123456789abcdef", "token"), "token"),
        "cut short": (own[:-1], ""),
        "longer": (own + "0", ""),
        "an environment's form": ("LHAS" + own[4:], ""),
        "form alone": ("LHAS", ""),
        "not ASCII": ("LHAKé", ""),
    }


@pytest.mark.parametrize(
    "which",
    [
        "none",
        "any",
        "of another stack",
        "of another stack's CloudFormation",
        "of another stack's environment",
        "cut short",
        "longer",
        "an environment's form",
        "form alone",
        "not ASCII",
    ],
)
def test_other_credentials_are_refused(stack, service, which):
    """Whatever their form."""
    key, token = keys_of_others(stack)[which]
    headers = [(b"Host", b"127.0.0.1")]
    if key:
        headers += [(b"Authorization", authorization(key)["Authorization"].encode())]
    if token:
        headers += [(b"X-Amz-Security-Token", token.encode())]
    url = getattr(stack.endpoints, service) + PATHS[service]

    answer = httpx.get(url, headers=headers, trust_env=False)

    assert answer.status_code == 403


@pytest.mark.parametrize("name", CODES)
def test_the_refusal_is_in_awss_words(stack, name):
    """boto3 shows the code that AWS's service answers with; an anonymous call gets the same."""
    where = {"lambda": stack.endpoints.lambda_, "s3": stack.endpoints.s3}.get(name, stack.endpoints.aws)
    config = Config(proxies={}, retries={"total_max_attempts": 1})
    client = boto3.Session("AKIAIOSFODNN7EXAMPLE", "secret", region_name="us-east-1").client(
        name, endpoint_url=where, config=config
    )

    with pytest.raises(ClientError) as caught:
        getattr(client, CALLS[name])()

    told = caught.value.response
    assert CODES[name] == told["Error"]["Code"]
    assert told["ResponseMetadata"]["HTTPStatusCode"] == (401 if name == "ec2" else 403)
    if name == "lambda":
        assert told["Error"]["Message"] == "The security token included in the request is invalid."


@pytest.mark.parametrize("version", ["s3v4", "s3"])
def test_presigned_urls_carry_the_credentials(stack, version):
    """One that the stack's user made opens an object; with another key in it, it does not."""

    def presigned(key: str) -> str:
        config = Config(signature_version=version, s3={"addressing_style": "path"}, proxies={})
        client = boto3.Session(key, "test", region_name="us-east-1").client(
            "s3", endpoint_url=stack.endpoints.s3, config=config
        )
        return str(client.generate_presigned_url("get_object", {"Bucket": "doors", "Key": "object"}))

    s3 = boto3.Session(stack.endpoints.access_key, "test", region_name="us-east-1").client(
        "s3", endpoint_url=stack.endpoints.s3, config=Config(proxies={})
    )
    s3.create_bucket(Bucket="doors")
    s3.put_object(Bucket="doors", Key="object", Body=b"rows")

    ours, theirs = (
        httpx.get(presigned(key), trust_env=False) for key in (stack.endpoints.access_key, "AKIAIOSFODNN7EXAMPLE")
    )

    assert (200, b"rows") == (ours.status_code, ours.content)
    assert theirs.status_code == 403
    assert "<Code>InvalidAccessKeyId</Code>" in theirs.text


def test_credentials_of_an_assumed_role_open_nothing(stack):
    """Moto gives any role's to whoever asks: taken, they would let a function out of its own."""
    clients = {
        "endpoint_url": stack.endpoints.aws,
        "region_name": "us-east-1",
        "config": Config(proxies={}, retries={"total_max_attempts": 1}),
    }
    ours = boto3.Session(stack.endpoints.access_key, "test").client("sts", **clients)
    given = ours.assume_role(RoleArn=ANY_ROLE, RoleSessionName="other")["Credentials"]
    theirs = boto3.Session(given["AccessKeyId"], given["SecretAccessKey"], given["SessionToken"])

    with pytest.raises(ClientError, match="InvalidClientTokenId"):
        theirs.client("sts", **clients).get_caller_identity()


@pytest.mark.parametrize("role", ["x", "", "arn:aws:iam::1:role", "arn:aws:iam::123456789012:role/a b", 7])
def test_a_session_token_with_a_short_role_is_refused(ask, role):
    """Not answered with 500 by the check of its permissions."""
    import base64  # noqa: PLC0415 - as a caller would forge one

    claims = {"function": "arn:aws:lambda:us-east-1:123456789012:function:f", "role": role, "vpc": ""}
    token = base64.urlsafe_b64encode(json.dumps(claims).encode()).decode()

    answer = ask("POST", {"X-Amz-Security-Token": token}, "/x/invocations")

    assert answer.status_code == 403


@pytest.mark.parametrize("service", ["batch", "lambda", "ecs", "dynamodb", "sagemaker"])
def test_services_that_nobody_here_uses_are_off(stack, service):
    """Some of moto's run containers."""
    headers = authorization(stack.endpoints.access_key, service)

    answer = httpx.get(f"{stack.endpoints.aws}/2015-03-31/functions/", headers=headers, trust_env=False)

    assert answer.status_code == 501
    assert "not part of the stack" in answer.text


@pytest.mark.parametrize("path", ["/moto-api/reset", "/moto-api/data.json", "/moto-api/", "/latest/meta-data/iam"])
def test_motos_own_routes_are_off(stack, path):
    """Nobody resets a stack, with or without credentials."""
    url = stack.endpoints.aws + path

    with_key = httpx.post(url, headers=authorization(stack.endpoints.access_key), trust_env=False)

    assert httpx.post(url, trust_env=False).status_code == 403
    assert with_key.status_code == 501


HTTP_REQUEST = b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 60\r\n\r\n"


@pytest.mark.parametrize("method", [b"GET", b"HEAD", b"POST", b"PUT", b"DELETE", b"OPTIONS", b"PATCH"])
@pytest.mark.parametrize("service", ["memcached", "discovery"])
def test_commands_in_the_body_of_an_http_request_are_not_carried_out(stack, service, method):
    """What a page can send without asking: the connection ends at its first line, and nothing was done."""
    host, _, port = getattr(stack.endpoints, service).rpartition(":")
    commands = b"version\r\nset page 0 0 1\r\nx\r\nconfig get cluster\r\n"

    with socket.create_connection((host, int(port)), timeout=5) as connection:
        connection.sendall(HTTP_REQUEST.replace(b"POST", method) + commands)
        answer = read_to_the_end(connection)

    assert answer == b""


def read_to_the_end(connection: socket.socket) -> bytes:
    """All that comes until the other side closes, by FIN or by RST."""
    received = b""
    try:
        while chunk := connection.recv(4096):
            received += chunk
    except ConnectionResetError:
        pass
    return received


AS_NOBODY = """
import encodings.idna, http.client, json, os, socket, sys  # all of it now: nobody may not read every folder
os.setgroups([]); os.setgid(int(sys.argv[2])); os.setuid(int(sys.argv[1]))
told = {}
for name, address in json.loads(sys.argv[3]).items():
    host, _, port = address.rpartition(":")
    if name == "discovery":
        with socket.create_connection((host, int(port)), timeout=5) as connection:
            connection.sendall(b"config get cluster\\r\\n")
            try:
                told[name] = connection.recv(4096).decode()
            except ConnectionResetError:
                told[name] = ""
        continue
    connection = http.client.HTTPConnection(host, int(port), timeout=10)
    connection.request("GET", "/2015-03-31/functions" if name == "lambda_" else "/")
    told[name] = connection.getresponse().status
for path in sys.argv[4:]:
    try:
        with open(path) as file: told[path] = file.read(1)
    except OSError as error:
        told[path] = type(error).__name__
print(json.dumps(told))
"""


def test_another_user_of_this_machine_is_refused(stack: StackState, mode: Mode):
    """By gateway, moto and S3, who has no credentials; by discovery, who is another; and the stack's files are shut."""
    if os.geteuid() != 0:
        pytest.skip("NOT TESTED, as only root can act as another user")
    nobody = pwd.getpwnam("nobody")
    addresses = {name: urlsplit(getattr(stack.endpoints, name)).netloc for name in HTTP_SERVICES}
    if mode == "process":
        addresses["discovery"] = stack.endpoints.discovery
    files = [str(stack.directory / name) for name in ("state.json", "plan.json", "supervisor.log")]
    arguments = [str(nobody.pw_uid), str(nobody.pw_gid), json.dumps(addresses), *files]

    done = subprocess.run(
        [sys.executable, "-I", "-c", AS_NOBODY, *arguments], capture_output=True, text=True, check=True
    )

    told = json.loads(done.stdout)
    assert {403} == {told[name] for name in HTTP_SERVICES}
    assert "" == told.get("discovery", "")
    assert {"PermissionError"} == {told[path] for path in files}


def test_no_command_line_holds_the_key(stack, mode):
    """Every user may read the command lines of all processes."""
    if mode == "container":
        pytest.skip("containers get it as processes of this machine do, in their environment")
    secret = stack.endpoints.access_key[4:]

    lines = [Path(f"/proc/{pid}/cmdline").read_bytes() for pid in (stack.pid, *stack.processes.values())]

    assert all(lines)
    assert not [line for line in lines if secret.encode() in line]


def test_the_environment_of_a_shell_is_complete(stack):
    """Whoever evaluates `harness status --shell` needs nothing else."""
    assert stack.endpoints.access_key == client_environment(stack)["AWS_ACCESS_KEY_ID"]


def test_a_connection_is_good_for_more_after_a_refusal(stack):
    """A refused body is not taken for the next request."""
    host = urlsplit(stack.endpoints.aws)
    connection = http.client.HTTPConnection(host.hostname or "", host.port, timeout=10)
    connection.request("POST", "/", b"GET /moto-api/reset HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")
    first = connection.getresponse()
    first.read()
    connection.request("GET", "/", headers=authorization(stack.endpoints.access_key, "s3"))
    second = connection.getresponse()
    connection.close()

    assert (403, 200) == (first.status, second.status)


WRONG_BODIES = [
    b"",
    b"null",
    b"[]",
    b"{}",
    b'"text"',
    b"{",
    b"\xff\xfe",
    b"[" * 100_000,
    b'{"n_workers": 2}',
    b'{"n_workers": "2", "plan": {}}',
    b'{"n_workers": -1, "plan": {}}',
    b'{"n_workers": 1e400, "plan": {}}',
    b'{"n_workers": 2, "plan": {"faults": [{"action": "kill", "target": "nobody"}]}}',
    b'{"n_workers": 2, "plan": {"faults": [{"action": "freeze", "target": "worker"}]}}',
    b'{"n_workers": 2, "plan": {"faults": [{"action": "kill", "target": "worker", "rank": 7}]}}',
    b'{"n_workers": 2, "plan": {"faults": [{"action": "freeze", "target": "worker", "s": -1}]}}',
    b'{"n_workers": 2, "plan": {"faults": 7}}',
    b'{"fault": {"action": "kill", "target": "memcached"}, "ranks": [0]}',
    b'{"fault": {}, "ranks": []}',
    b'{"fault": {"action": "kill", "target": "worker"}, "ranks": ["x"]}',
    b'{"concurrency": -1}',
    b'[{"error": 7}]',
    b'[{"error": "Two\\r\\nHeaders"}]',
    b'[{"error": "Throttling", "status": 7}]',
    b'{"calls": [{"error": "Throttling", "status": 1000}]}',
]


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("PUT", "faults/run"),
        ("PUT", "faults/%00%ff"),
        ("POST", "faults/run/strike"),
        ("PUT", "account"),
        ("PUT", "calls"),
    ],
)
def test_control_routes_refuse_what_is_malformed_in_words(stack, method, path):
    """400 and a message, whatever comes; an empty body is nothing to do for some."""
    headers = authorization(stack.endpoints.access_key)
    with httpx.Client(headers=headers, trust_env=False, timeout=30) as client:
        for body in WRONG_BODIES:
            answer = client.request(method, f"{stack.endpoints.lambda_}/_harness/{path}", content=body)

            harmless = path in {"account", "calls"} and body in {b"", b"{}", b"[]"}
            assert answer.status_code == 400 or (harmless and answer.status_code == 200), (body[:80], answer.text)
            assert answer.json() or harmless


@pytest.mark.parametrize("path", ["faults/run", "access"])
def test_motos_control_routes_do_so_too(stack, path):
    """Faults of calls, and the question whether a role allows something."""
    headers, method = authorization(stack.endpoints.access_key), "PUT" if path.startswith("faults") else "POST"
    url = f"{stack.endpoints.aws}/_harness/{path.partition('/')[0]}"
    with httpx.Client(headers=headers, trust_env=False, timeout=30) as client:
        for body in WRONG_BODIES:
            answer = client.request(method, url, content=body)

            harmless = path.startswith("faults") and body in {b"", b"{}"}
            assert answer.status_code == 400 or (harmless and answer.status_code == 204), (body[:80], answer.text)


def test_a_caller_that_goes_away_leaves_no_traceback(stack, mode):
    """In the middle of its head, of its body, or before its answer comes."""
    if mode == "container":
        pytest.skip("the gateway's log is the engine's")
    before = (stack.directory / "gateway.log").read_text().count("Traceback")
    host = urlsplit(stack.endpoints.lambda_)
    head = "".join(f"{name}: {value}\r\n" for name, value in authorization(stack.endpoints.access_key).items())
    begin = f"POST /2015-03-31/functions HTTP/1.1\r\nHost: 127.0.0.1\r\n{head}Content-Length: 1000\r\n"
    whole = f"GET /2015-03-31/functions HTTP/1.1\r\nHost: 127.0.0.1\r\n{head}\r\n"

    for sent in (begin, begin + "\r\n{", whole):
        for _ in range(3):
            with socket.create_connection((host.hostname, host.port), timeout=5) as connection:
                connection.sendall(sent.encode())
    # What was sent before is handled before.
    with httpx.Client(headers=authorization(stack.endpoints.access_key), trust_env=False) as client:
        assert client.get(f"{stack.endpoints.lambda_}/2015-03-31/functions").status_code == 200

    assert before == (stack.directory / "gateway.log").read_text().count("Traceback")


@pytest.fixture(scope="module")
def image(mode, tmp_path_factory):
    """The image of all handlers in container mode; None in process mode."""
    if mode == "process":
        yield None
        return
    with handlers_image(tmp_path_factory.mktemp("image")) as image_id:
        yield image_id


def test_a_function_has_its_own_credentials_and_no_others(stack, image):
    """With them it reaches the services, without them or with half of them none, and never what steers the stack."""
    functions = clients_for(stack.endpoints).functions
    name = f"knock-{uuid.uuid4().hex[:8]}"
    functions.create_function(FunctionName=name, Role=ANY_ROLE, Timeout=30, **code_arguments("knock", image))
    addresses = {
        "AWS_ENDPOINT_URL": "/",
        "AWS_ENDPOINT_URL_S3": "/",
        "AWS_ENDPOINT_URL_LAMBDA": "/2015-03-31/functions",
    }
    ways = ("whole", "without token", "with another token", "not at all")
    requests = [(variable, path, how) for variable, path in addresses.items() for how in ways]
    routes = {"AWS_ENDPOINT_URL_LAMBDA": "/_harness/environments", "AWS_ENDPOINT_URL": "/_harness/faults"}
    steering = [(variable, path, "whole") for variable, path in routes.items()]
    try:
        payload = json.dumps({"requests": [*requests, *steering]})
        answer = functions.invoke(FunctionName=name, Payload=payload)["Payload"].read()
    finally:
        functions.delete_function(FunctionName=name)

    told = json.loads(answer)
    assert [200, 403, 403, 403] * len(addresses) == told[: len(requests)], told
    assert [403, 403] == told[len(requests) :]


@pytest.mark.parametrize("verb", [["run", "--n-workers", "1"], ["logs", "linear_ec_1"]])
def test_another_account_than_the_expected_one_is_refused_before_anything_is_done(stack, verb):
    """STS says whose the credentials are; here moto plays AWS, by its variables."""
    harness = Path(sys.executable).with_name("harness")
    options = ["--target", "aws", "--region", "us-east-1", "--expect-account", "999999999999"]
    environment = os.environ | client_environment(stack)

    done = subprocess.run(
        [harness, *verb, *options], env=environment, cwd=ROOT, capture_output=True, text=True, check=False
    )

    assert done.returncode == 1
    assert "error: these credentials are of account 123456789012, not of 999999999999" in done.stderr

"""The user's AWS settings: a stack's clients ignore them all, and those for AWS name the one that is wrong."""

import pytest
from botocore.config import Config
from botocore.exceptions import ConnectionClosedError, EndpointConnectionError

from harness.aws.stack_session import DIRECT, stack_session
from harness.datasets.s3 import s3_client
from harness.deploy.target import aws_target
from harness.errors import HarnessError
from training.errors import InputError

ONE_TRY = Config(retries={"total_max_attempts": 1}, connect_timeout=2)
NOBODY = "http://127.0.0.1:1"

# Each breaks boto3's own session or client, or sends it elsewhere.
VARIABLES = {
    "AWS_PROFILE": "nosuch",
    "AWS_RETRY_MODE": "sometimes",
    "AWS_MAX_ATTEMPTS": "0",
    "AWS_DEFAULTS_MODE": "fast",
    "AWS_STS_REGIONAL_ENDPOINTS": "nowhere",
    "AWS_S3_US_EAST_1_REGIONAL_ENDPOINT": "nowhere",
    "AWS_REQUEST_CHECKSUM_CALCULATION": "seldom",
    "AWS_RESPONSE_CHECKSUM_VALIDATION": "seldom",
    "AWS_REQUEST_MIN_COMPRESSION_SIZE_BYTES": "many",
    "AWS_ACCOUNT_ID_ENDPOINT_MODE": "perhaps",
    "AWS_METADATA_SERVICE_TIMEOUT": "long",
    "AWS_ENDPOINT_URL": "nonsense",
    "AWS_ENDPOINT_URL_S3": "nonsense",
    "AWS_IGNORE_CONFIGURED_ENDPOINT_URLS": "maybe",
    "AWS_CA_BUNDLE": "/nosuch.pem",
    "REQUESTS_CA_BUNDLE": "/nosuch.pem",
    "AWS_USE_FIPS_ENDPOINT": "true",
    "AWS_USE_DUALSTACK_ENDPOINT": "true",
    "AWS_DEFAULT_REGION": "not a region",
    "AWS_DATA_PATH": "/nosuch",
    "AWS_ACCESS_KEY_ID": "half-of-a-pair",
    "HTTP_PROXY": "http://127.0.0.1:2",
}
FILES = {
    "broken": b"[default\nregion",
    "not UTF-8": b"[default]\nregion = \xff\xfe\n",
    "sso session without a section": b"[default]\nsso_session = nosuch\nsso_account_id = 1\nsso_role_name = x\n",
    "accelerated S3": b"[default]\ns3 =\n  use_accelerate_endpoint = true\n",
    "unknown addressing": b"[default]\ns3 =\n  addressing_style = odd\n",
    "s3 is no section": b"[default]\ns3 = odd\n",
    "services without a section": b"[default]\nservices = nosuch\n",
    "source profile": b"[default]\nrole_arn = arn:aws:iam::123456789012:role/x\nsource_profile = nosuch\n",
    "credential process": b"[default]\ncredential_process = /nosuch\n",
}


@pytest.fixture(autouse=True)
def config(tmp_path, monkeypatch):
    """Writes what is to be the user's `~/.aws/config`; no other setting is there."""
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)
    path = tmp_path / "config"
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("AWS_CONFIG_FILE", str(path))
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "credentials"))
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    path.write_bytes(b"")
    return path


def call_stack(*services):
    """Calls services of a stack that is not there; whoever is asked refuses the connection."""
    session = stack_session()
    for service in services:
        client = session.client(service, endpoint_url=NOBODY, config=DIRECT.merge(ONE_TRY))
        with pytest.raises(EndpointConnectionError, match=NOBODY):
            client.list_buckets() if service == "s3" else client.list_functions()


def test_a_stack_is_called_whatever_the_variables_say(monkeypatch):
    """Neither the session, the client nor the call looks at them."""
    for name, value in VARIABLES.items():
        monkeypatch.setenv(name, value)
    call_stack("s3", "lambda")


@pytest.mark.parametrize("kind", FILES)
def test_a_stack_is_called_whatever_the_file_holds(kind, config):
    """Nobody reads it, be it broken or only meant for AWS."""
    config.write_bytes(FILES[kind])
    call_stack("s3")


def test_a_stack_has_the_service_models_of_the_library(tmp_path):
    """Descriptions of services below `~/.aws/models` are for the user's own programs."""
    folder = tmp_path / ".aws" / "models" / "s3" / "2199-01-01"
    folder.mkdir(parents=True)
    (folder / "service-2.json").write_text("{")
    call_stack("s3")


@pytest.mark.parametrize(
    "name",
    ["AWS_PROFILE", "AWS_REQUEST_CHECKSUM_CALCULATION", "AWS_METADATA_SERVICE_TIMEOUT", "AWS_ENDPOINT_URL"],
)
def test_a_wrong_variable_is_named_by_clients_for_aws(name, monkeypatch):
    """One error of at most three lines, with the variable in it."""
    monkeypatch.setenv(name, VARIABLES[name])

    with pytest.raises(HarnessError, match=name) as error:
        aws_target("us-east-1").run_clients()
    assert 3 >= len(str(error.value).splitlines())


@pytest.mark.parametrize(
    ("kind", "key"),
    [
        ("broken", ""),
        ("not UTF-8", ""),
        ("sso session without a section", "sso_session in [default] of "),
        ("unknown addressing", "addressing_style in [default] of "),
        ("source profile", "source_profile in [default] of "),
        ("credential process", "credential_process in [default] of "),
        ("services without a section", "services in [default] of "),
    ],
)
def test_a_wrong_file_is_named_with_its_key_by_clients_for_aws(kind, key, config):
    """File and key; of a file that cannot be read, the file."""
    config.write_bytes(FILES[kind])

    with pytest.raises(HarnessError) as error:
        aws_target("us-east-1").run_clients()
    assert f"{key}{config}" in str(error.value)
    assert 3 >= len(str(error.value).splitlines())


def test_a_file_that_breaks_botocore_itself_is_one_error(config):
    """Also where botocore raises none of its own errors."""
    config.write_bytes(FILES["s3 is no section"])
    with pytest.raises(HarnessError, match="an AWS setting of yours is wrong"):
        aws_target("us-east-1").run_clients()


def test_the_data_tools_name_the_wrong_setting(monkeypatch):
    """They talk to AWS when no stack runs and somebody has credentials."""
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "x")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "x")
    monkeypatch.setenv("AWS_DEFAULTS_MODE", "fast")
    with pytest.raises(InputError, match="correct AWS_DEFAULTS_MODE"):
        s3_client("http://s3.example")


def test_the_data_tools_reach_an_emulator_whatever_is_set(config, monkeypatch):
    """An address of this machine is an emulator's."""
    monkeypatch.setenv("AWS_RETRY_MODE", "sometimes")
    config.write_bytes(FILES["accelerated S3"])
    with pytest.raises((EndpointConnectionError, ConnectionClosedError)):
        s3_client(NOBODY).list_buckets()

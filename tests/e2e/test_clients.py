"""Clients by others, installed from PyPI and unchanged: none of them notices that the account is this machine."""

import base64
import json
import zipfile

import boto3
import pytest

from harness.stack.state import client_environment
from harness.system.probes import wait_until
from tests.support.clients import Client, install, install_library

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]

ROLE = "arn:aws:iam::123456789012:role/any"
SOURCE = """
import os

def handler(event, context):
    print("hello", event)
    return {"event": event, "version": context.function_version, "stage": os.environ["STAGE"]}
"""
POWERTOOLS = """
import warnings

warnings.simplefilter("error")
warnings.simplefilter("ignore", ResourceWarning)
from aws_lambda_powertools import Logger, Metrics, Tracer
from aws_lambda_powertools.metrics import MetricUnit

logger, tracer, metrics = Logger(service="shop"), Tracer(service="shop"), Metrics(namespace="Shop", service="shop")

@tracer.capture_method
def double(n):
    return n * 2

@logger.inject_lambda_context
@tracer.capture_lambda_handler
@metrics.log_metrics(capture_cold_start_metric=True)
def handler(event, context):
    metrics.add_metric(name="Orders", unit=MetricUnit.Count, value=3)
    tracer.put_annotation("shop", "here")
    logger.info("working")
    return double(event["n"])
"""
CHALICE = """
from chalice import Chalice

app = Chalice(app_name="shop")

@app.lambda_function(name="first")
def first(event, context):
    print("hello from chalice")
    return {"chalice": event}
"""


@pytest.fixture(scope="module")
def variables(stack):
    """What `harness status --shell` exports."""
    return client_environment(stack)


def zipped(folder, name, **files):
    """Write an archive of a few files, and return AWS CLI's name of it."""
    with zipfile.ZipFile(folder / name, "w") as archive:
        for path, text in files.items():
            archive.writestr(path.replace("__", "/") + ".py", text)
    return f"fileb://{name}"


@pytest.fixture(scope="module")
def aws(variables, tmp_path_factory):
    """AWS CLI 1, as `pip install awscli` makes it."""
    folder = tmp_path_factory.mktemp("aws")
    return Client(install("awscli", folder / "environment") / "aws", variables, folder), folder


def test_aws_cli_leads_a_function_through_its_life(aws):
    """Created, invoked, updated, published, called by an alias, tagged, given a layer, read in its log, and deleted."""
    cli, folder = aws

    def operate(verb, *arguments):
        return cli.json("lambda", verb, "--function-name", "life", *arguments)

    def invoke(*arguments):
        told = operate("invoke", *arguments, "--payload", '{"n": 1}', "answer.json")
        return told, json.loads((folder / "answer.json").read_text())

    first = zipped(folder, "first.zip", app=SOURCE)
    made = operate(
        *("create-function", "--runtime", "python3.11", "--handler", "app.handler", "--role", ROLE),
        *("--zip-file", first, "--environment", "Variables={STAGE=dev}", "--tags", "team=blue"),
    )
    cli.run("lambda", "wait", "function-active-v2", "--function-name", "life")
    told, answer = invoke("--log-type", "Tail")
    assert answer == {"event": {"n": 1}, "version": "$LATEST", "stage": "dev"}
    assert "hello {'n': 1}" in base64.b64decode(told["LogResult"]).decode()

    operate("update-function-code", "--zip-file", zipped(folder, "second.zip", app=SOURCE.replace("hello", "again")))
    cli.run("lambda", "wait", "function-updated-v2", "--function-name", "life")
    assert operate("publish-version")["Version"] == "1"
    cli.run("lambda", "wait", "published-version-active", "--function-name", "life", "--qualifier", "1")
    operate("create-alias", "--name", "live", "--function-version", "1")
    told, answer = invoke("--qualifier", "live")
    assert (told["ExecutedVersion"], answer["version"]) == ("1", "1")

    cli.run("lambda", "tag-resource", "--resource", made["FunctionArn"], "--tags", "cost=low")
    tags = cli.json("lambda", "list-tags", "--resource", made["FunctionArn"])
    assert tags == {"Tags": {"team": "blue", "cost": "low"}}

    layer = cli.json(
        *("lambda", "publish-layer-version", "--layer-name", "shared"),
        *("--zip-file", zipped(folder, "layer.zip", python__shared="VALUE = 'of the layer'\n")),
    )
    operate("update-function-configuration", "--layers", layer["LayerVersionArn"])
    cli.run("lambda", "wait", "function-updated-v2", "--function-name", "life")
    uses = SOURCE.replace("import os", "import os, shared").replace('"hello", event', "shared.VALUE")
    operate("update-function-code", "--zip-file", zipped(folder, "third.zip", app=uses))
    cli.run("lambda", "wait", "function-updated-v2", "--function-name", "life")
    told, _ = invoke("--log-type", "Tail")
    assert "of the layer" in base64.b64decode(told["LogResult"]).decode()

    url = operate("create-function-url-config", "--auth-type", "NONE")["FunctionUrl"]
    assert operate("get-function-url-config")["FunctionUrl"] == url
    operate("delete-function-url-config")

    read = ("logs", "filter-log-events", "--log-group-name", "/aws/lambda/life", "--query", "events[].message")
    assert wait_until(lambda: {"again {'n': 1}", "of the layer"} <= {line.rstrip() for line in cli.json(*read)}, 10)

    operate("delete-function")
    gone = cli.run_any("lambda", "get-function", "--function-name", "life")
    assert "(ResourceNotFoundException) when calling the GetFunction operation" in gone.stderr


def test_powertools_traces_logs_and_measures_without_a_warning(aws, variables, tmp_path):
    """Its tracer finds a trace, its logger the context, and CloudWatch has its metrics."""
    cli, folder = aws
    package = tmp_path / "package"
    install_library("aws-lambda-powertools[tracer]", package)
    (package / "app.py").write_text(POWERTOOLS)
    with zipfile.ZipFile(folder / "powertools.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        for path in package.rglob("*"):
            if path.relative_to(package).parts[0] not in {"botocore", "bin"}:  # the runtime has botocore
                archive.write(path, path.relative_to(package))

    cli.run(
        *("lambda", "create-function", "--function-name", "traced", "--runtime", "python3.11"),
        *("--handler", "app.handler", "--role", ROLE, "--zip-file", "fileb://powertools.zip"),
        *("--timeout", "30", "--memory-size", "256", "--tracing-config", "Mode=Active"),
    )
    cli.run("lambda", "wait", "function-active-v2", "--function-name", "traced")
    told = cli.json(
        *("lambda", "invoke", "--function-name", "traced", "--payload", '{"n": 4}', "--log-type", "Tail", "traced.json")
    )

    log = base64.b64decode(told["LogResult"]).decode()
    assert ("FunctionError" in told, (folder / "traced.json").read_text()) == (False, "8"), log
    lines = [json.loads(line) for line in log.splitlines() if line.startswith("{")]
    (logged,) = [line for line in lines if line.get("message") == "working"]
    assert logged["function_arn"].endswith(":function:traced")
    assert logged["xray_trace_id"].startswith("1-")
    assert "WARNING" not in log
    assert "Warning" not in log
    cloudwatch = boto3.client(
        "cloudwatch",
        endpoint_url=variables["AWS_ENDPOINT_URL"],
        region_name=variables["AWS_REGION"],
        aws_access_key_id=variables["AWS_ACCESS_KEY_ID"],
        aws_secret_access_key=variables["AWS_SECRET_ACCESS_KEY"],
    )
    assert wait_until(
        lambda: (
            {"Orders", "ColdStart"}
            <= {metric["MetricName"] for metric in cloudwatch.list_metrics(Namespace="Shop")["Metrics"]}
        ),
        20,
    )


def test_chalice_deploys_and_deploys_again(variables, tmp_path):
    """The project of `chalice new-project`, without a REST API: role and function are made, updated and deleted."""
    project = tmp_path / "project"
    (project / ".chalice").mkdir(parents=True)
    (project / "app.py").write_text(CHALICE)
    (project / "requirements.txt").touch()
    stage = {"environment_variables": {"STAGE": "dev"}, "tags": {"team": "blue"}}
    config = {"version": "2.0", "app_name": "shop", "stages": {"dev": stage}}
    (project / ".chalice" / "config.json").write_text(json.dumps(config))
    chalice = Client(install("chalice", tmp_path / "environment") / "chalice", variables, project)

    assert "Creating lambda function: shop-dev-first" in chalice.run("deploy")
    assert json.loads(chalice.run("invoke", "-n", "first", text='{"n": 1}')) == {"chalice": {"n": 1}}
    (project / "app.py").write_text(CHALICE.replace('"chalice"', '"changed"'))
    assert "Updating lambda function: shop-dev-first" in chalice.run("deploy")
    assert json.loads(chalice.run("invoke", "-n", "first", text='{"n": 2}')) == {"changed": {"n": 2}}
    assert wait_until(lambda: chalice.run("logs", "-n", "first").count("hello from chalice") == 2, 10)
    assert "Deleting function" in chalice.run("delete")


def test_sam_invokes_remotely_and_reads_logs(aws, variables, tmp_path):
    """`sam remote invoke` prints log and answer, `sam logs` the log group."""
    cli, folder = aws
    arn = cli.json(
        *("lambda", "create-function", "--function-name", "called", "--runtime", "python3.11"),
        *("--handler", "app.handler", "--role", ROLE, "--zip-file", zipped(folder, "called.zip", app=SOURCE)),
        *("--environment", "Variables={STAGE=dev}"),
    )["FunctionArn"]
    cli.run("lambda", "wait", "function-active-v2", "--function-name", "called")
    sam = Client(install("aws-sam-cli", tmp_path / "environment") / "sam", variables, tmp_path)

    assert '{"event": {"n": 1}, "version": "$LATEST", "stage": "dev"}' in sam.run(
        *("remote", "invoke", arn, "--event", '{"n": 1}')
    )
    assert wait_until(lambda: "hello {'n': 1}" in sam.run("logs", "--cw-log-group", "/aws/lambda/called"), 10)

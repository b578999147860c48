# ruff: noqa: ARG001, ARG005, T201, LOG015 - handlers are written as users write theirs
"""The fixture `lambda_stack`: functions deployed from test modules, folders and files, invoked and forgotten."""

import json
import logging
import os

import pytest
from botocore.exceptions import ClientError

from harness.errors import HarnessError

VAT = 19


def price(event, context):
    """Compute a price; runs in Lambda."""
    logging.getLogger().setLevel(logging.INFO)
    print("priced", event)
    logging.info("net %s", event["net"])
    return {"gross": json.loads(f"{event['net'] * (100 + VAT)}"), "function": context.function_name}


def broken(event, context):
    """Fail; runs in Lambda."""
    raise KeyError(event["missing"])


def look(event, context):
    """Return the variables of this environment; runs in Lambda."""
    return {name: os.environ.get(name, "") for name in event}


def test_a_function_of_the_test_module_runs_with_what_it_needs_of_the_module(lambda_stack):
    """Imports and constants come along; the rest of the module does not."""
    function = lambda_stack.deploy(price)

    result = function.invoke({"net": 2})

    assert {"gross": 238, "function": "price"} == result.payload
    assert "REPORT RequestId: " + result.request_id in result.log
    assert (200, "$LATEST", None) == (result.status, result.version, result.error)


@pytest.mark.parametrize("turn", [1, 2])
def test_the_next_test_begins_with_an_empty_stack(lambda_stack, turn):
    """Functions, resources and logs of one test are gone in the next; only the session's stack stays."""
    s3, functions = lambda_stack.client("s3"), lambda_stack.client("lambda")

    assert [] == s3.list_buckets()["Buckets"]
    assert [] == functions.list_functions()["Functions"]
    assert [] == lambda_stack.logs.records
    s3.create_bucket(Bucket=f"bucket-{turn}")
    lambda_stack.client("sqs").create_queue(QueueName="queue")
    lambda_stack.deploy(price).invoke({"net": turn})


def test_an_error_is_typed_and_asking_for_the_payload_shows_the_log(lambda_stack):
    """A test that expects success sees the traceback of the function, with the lines of the test module."""
    result = lambda_stack.deploy(broken).invoke({"missing": "key"})

    assert result.error is not None
    assert ("Unhandled", "KeyError", "'key'") == (result.error.kind, result.error.type, result.error.message)
    with pytest.raises(AssertionError, match="KeyError: 'key'") as failed:
        _ = result.payload
    assert f'test_lambda_stack.py", line {broken.__code__.co_firstlineno + 2}, in broken' in str(failed.value)
    assert "END RequestId" in str(failed.value)


def test_settings_are_those_of_harness_toml(lambda_stack):
    """Keyword arguments are the keys of a function's table."""
    function = lambda_stack.deploy(look, name="Looks", memory_mb=256, timeout_s=7, environment={"COLOUR": "green"})

    seen = function.invoke(["COLOUR", "AWS_LAMBDA_FUNCTION_MEMORY_SIZE", "AWS_LAMBDA_FUNCTION_NAME"]).payload

    assert ["green", "256", "Looks"] == list(seen.values())
    assert 7 == lambda_stack.client("lambda").get_function_configuration(FunctionName="Looks")["Timeout"]


def test_a_second_deployment_updates_the_function(lambda_stack):
    """Deploying again under the same name changes code and settings."""
    lambda_stack.deploy(price, name="shop")
    lambda_stack.deploy(look, name="shop", environment={"COLOUR": "blue"})

    assert {"COLOUR": "blue"} == lambda_stack.invoke("shop", ["COLOUR"]).payload


def test_a_folder_and_a_file_are_deployed_with_the_handler_that_is_in_them(lambda_stack, tmp_path):
    """The usual names of modules and handlers are found; everything in the folder comes along."""
    (tmp_path / "shop").mkdir()
    (tmp_path / "shop" / "prices.py").write_text("EURO = 3\n")
    (tmp_path / "shop" / "app.py").write_text(
        "import prices\n\ndef lambda_handler(event, context):\n    return prices.EURO\n"
    )
    (tmp_path / "single.py").write_text("def only(event, context):\n    return event\n")

    assert 3 == lambda_stack.deploy(tmp_path / "shop").invoke().payload
    assert [1] == lambda_stack.deploy(str(tmp_path / "single.py")).invoke([1]).payload


def test_the_functions_log_is_read_like_caplog(lambda_stack, lambda_logs):
    """Lines printed and logged are there as soon as the answer is, with level and function."""
    lambda_stack.deploy(price).invoke({"net": 5})

    assert ["priced {'net': 5}", "net 5"] == lambda_logs.messages
    assert ["INFO"] == [record.level for record in lambda_logs.of("price") if record.level]
    assert "price: REPORT RequestId" in lambda_logs.text
    lambda_logs.clear()
    assert [] == lambda_logs.lines


def test_a_log_in_json_is_read_like_caplog(lambda_stack, lambda_logs):
    """Messages, levels and functions are known in a log group of another name, too."""
    name = lambda_stack.deploy(price).name
    functions = lambda_stack.client("lambda")
    config = {"LogFormat": "JSON", "LogGroup": "shared"}
    functions.update_function_configuration(FunctionName=name, LoggingConfig=config)
    functions.invoke(FunctionName=name, Payload=b'{"net": 5}')

    assert ["priced {'net': 5}", "net 5"] == lambda_logs.messages
    (logged,) = [record for record in lambda_logs.of("price") if record.level]
    (report,) = [record for record in lambda_logs.of("price") if "platform.report" in record.line]
    assert ("INFO", report.request_id) == (logged.level, logged.request_id)


def test_lambdas_own_errors_are_those_of_boto3(lambda_stack):
    """A function that is missing is reported as on AWS."""
    with pytest.raises(ClientError, match="Function not found") as refused:
        lambda_stack.invoke("nothing")
    assert "ResourceNotFoundException" == refused.value.response["Error"]["Code"]


@pytest.mark.parametrize(
    ("source", "config", "words"),
    [
        ("linear_ec_3", {}, "did you mean 'linear_ec_2'?"),
        (price, {"memory": 256}, "did you mean 'memory_mb'?"),
        (price, {"memory_mb": 1}, r"memory_mb: Expected `int` >= 128"),
        (price, {"reserved_concurrency": 950}, r"raise \[gateway\] account_concurrency in harness.toml"),
        (price, {"environment": {"AWS_REGION": "mine"}}, "^function price: CreateFunction failed"),
        (3, {}, r"deploy\(3\): int is nothing to deploy"),
        (lambda event, context: event, {}, "written with `def`"),
    ],
)
def test_bad_input_is_named(lambda_stack, source, config, words):
    """The error names what is wrong and what would be right."""
    with pytest.raises(HarnessError, match=words):
        lambda_stack.deploy(source, **config)


def test_a_function_that_needs_variables_of_the_test_is_refused(lambda_stack):
    """A closure cannot travel into another process."""
    secret = 7

    def closed_over(event, context):
        return secret

    with pytest.raises(HarnessError, match="it uses secret of the function around it"):
        lambda_stack.deploy(closed_over)


def test_a_function_within_the_test_is_deployed(lambda_stack):
    """Its imports may be inside, its constants in the module."""

    def inner(event, context):
        return [VAT, event]

    assert [VAT, "x"] == lambda_stack.deploy(inner).invoke("x").payload

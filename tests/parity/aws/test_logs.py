"""What Lambda writes to a function's log, in text and in JSON, and where.

https://docs.aws.amazon.com/lambda/latest/dg/monitoring-cloudwatchlogs.html
"""

import base64
import contextlib
import json
import math
import re
import uuid

import pytest
from botocore.exceptions import ClientError

from tests.parity.aws.support import answer_of, eventually


@pytest.fixture(scope="session")
def logs(aws):
    """A client of CloudWatch Logs."""
    return aws("logs")


@pytest.fixture
def read(logs):
    """Reads the messages of a group, in order, as soon as one of them contains a text so many times."""

    def messages(group):
        try:
            pages = logs.get_paginator("filter_log_events").paginate(logGroupName=group)
            return [event["message"] for page in pages for event in page["events"]]
        except logs.exceptions.ResourceNotFoundException:
            return []

    def read_group(group, until="REPORT RequestId", times=1):
        found = []

        def there():
            found[:] = messages(group)
            return sum(until in message for message in found) >= times

        assert eventually(there), found
        return found

    return read_group


@pytest.fixture
def own_group(logs):
    """The name of a log group of this test alone, which is not there."""
    name = f"parity-{uuid.uuid4().hex[:12]}"
    yield name
    with contextlib.suppress(logs.exceptions.ResourceNotFoundException):
        logs.delete_log_group(logGroupName=name)


PRINTS = """
import logging
print("while loading")
def handler(event, context):
    print("\\nmulti\\nline\\n\\nanother\\rline")
    logging.getLogger().warning("one\\nevent")
    if event.get("raise"):
        raise ValueError("broken")
"""
REPORT = re.compile(
    r"REPORT RequestId: (?P<id>\S+)\tDuration: (?P<ms>\d+\.\d\d) ms\tBilled Duration: (?P<billed>\d+) ms"
    r"\tMemory Size: 128 MB\tMax Memory Used: (?P<used>\d+) MB\t(Init Duration: (?P<init>\d+\.\d\d) ms\t)?"
    r"(Status: (?P<status>\w+)(\tError Type: (?P<type>\S+))?)?\n"
)


def test_the_lines_of_a_cold_and_of_a_warm_invocation(create, functions, read):
    """A cold start has INIT_START, and its initialisation in REPORT; each line but empty ones is an event."""
    name = create(PRINTS)
    for _ in range(2):
        functions.invoke(FunctionName=name)

    found = read(f"/aws/lambda/{name}", times=2)
    first, loading, start, *printed, end, report = found[:9]
    warm = found[9:]

    runtime = r"Runtime Version: python:3\.11\.\S+\tRuntime Version ARN: arn:aws:lambda:\S+::runtime:[0-9a-f]{64}"
    assert re.fullmatch(rf"INIT_START {runtime}\n", first)
    assert "while loading\n" == loading
    assert re.fullmatch(r"START RequestId: \S+ Version: \$LATEST\n", start)
    assert ["multi\n", "line\n", "another\rline\n"] == printed[:3]
    assert re.fullmatch(r"\[WARNING\]\t\S+Z\t\S+\tone\nevent\n", printed[3])
    assert re.fullmatch(r"END RequestId: \S+\n", end)
    cold = REPORT.fullmatch(report)
    assert math.ceil(float(cold["ms"]) + float(cold["init"])) == int(cold["billed"])
    assert ["START", "multi", "line", "another", "[WARNING]", "END", "REPORT"] == [line.split()[0] for line in warm]
    assert (None, None) == REPORT.fullmatch(warm[-1]).group("init", "status")


def test_an_exception_is_one_event_without_an_end(create, functions, read):
    """The platform has done its work: REPORT has no status."""
    name = create(PRINTS)
    functions.invoke(FunctionName=name, Payload=b'{"raise": true}')

    *_, error, _, report = read(f"/aws/lambda/{name}")

    assert error.startswith("[ERROR] ValueError: broken\nTraceback (most recent call last):\n")
    assert not error.endswith("\n")
    assert REPORT.fullmatch(report)["status"] is None


def test_a_timeout_is_reported_with_the_limit_as_its_duration(create, functions, read):
    """The initialisation is billed on top."""
    name = create("import time\ndef handler(event, context):\n    time.sleep(30)\n", Timeout=1)
    answer = functions.invoke(FunctionName=name, LogType="Tail")

    body = answer_of(answer)
    assert "Sandbox.Timedout" == body["errorType"]
    assert body["errorMessage"].endswith(" Error: Task timed out after 1.00 seconds")
    *_, start, end, report = read(f"/aws/lambda/{name}")
    assert ("START", "END") == (start.split()[0], end.split()[0])
    told = REPORT.fullmatch(report)
    assert ("1000.00", "timeout", None) == told.group("ms", "status", "type")
    assert math.ceil(1000 + float(told["init"])) == int(told["billed"])
    assert int(told["used"]) > 0
    assert report in base64.b64decode(answer["LogResult"]).decode()


def test_an_exit_is_reported_with_its_type(create, functions, read):
    """There is no other line about it."""
    name = create("import os\ndef handler(event, context):\n    print('last words')\n    os._exit(3)\n")
    functions.invoke(FunctionName=name)

    *_, start, words, end, report = read(f"/aws/lambda/{name}")

    assert ("START", "last", "END") == (start.split()[0], words.split()[0], end.split()[0])
    assert ("error", "Runtime.ExitError") == REPORT.fullmatch(report).group("status", "type")


def test_a_module_that_cannot_be_loaded_is_loaded_twice(create, functions, read):
    """Each time has an INIT_REPORT, before START; the second belongs to the invocation's duration."""
    name = create("import no_such_module\n")
    functions.invoke(FunctionName=name)

    found = read(f"/aws/lambda/{name}")

    reports = [line for line in found if line.startswith("INIT_REPORT")]
    form = r"INIT_REPORT Init Duration: \d+\.\d\d ms\tPhase: {}\tStatus: error\tError Type: Runtime.ImportModuleError\n"
    assert [True, True] == [
        bool(re.fullmatch(form.format(phase), line)) for phase, line in zip(("init", "invoke"), reports, strict=True)
    ]
    assert 2 == sum("No module named 'no_such_module'" in line for line in found)
    assert ["INIT_REPORT", "START", "END", "REPORT"] == [line.split()[0] for line in found[-4:]]
    told = REPORT.fullmatch(found[-1])
    assert ("error", "Runtime.ImportModuleError", None) == told.group("status", "type", "init")


def test_the_initialisation_has_a_time_limit_of_its_own(create, functions, read):
    """A function whose module takes longer than the function's own limit to load succeeds."""
    name = create("import time\ntime.sleep(1.5)\ndef handler(event, context):\n    return 'ready'\n", Timeout=1)

    answer = functions.invoke(FunctionName=name)

    assert (b'"ready"', None) == (answer["Payload"].read(), answer.get("FunctionError"))
    told = REPORT.fullmatch(read(f"/aws/lambda/{name}")[-1])
    assert float(told["ms"]) < 1000
    assert float(told["init"]) >= 1500


def test_no_line_is_lost_when_a_group_was_deleted(create, functions, logs, read):
    """The next invocation makes it again, and its lines are all there."""
    name = create(PRINTS)
    functions.invoke(FunctionName=name)
    read(f"/aws/lambda/{name}")
    logs.delete_log_group(logGroupName=f"/aws/lambda/{name}")

    functions.invoke(FunctionName=name)

    kinds = [line.split()[0] for line in read(f"/aws/lambda/{name}")]
    assert ["START", "multi", "line", "another", "[WARNING]", "END", "REPORT"] == kinds


LOGS = """
import json, logging, os
logger = logging.getLogger("mine")
def handler(event, context):
    logger.debug("a detail")
    logger.info("news")
    logger.error("a problem", extra={"count": 3})
    print("plain")
    print(json.dumps({"level": "DEBUG", "message": "printed detail"}))
    print(json.dumps({"level": "ERROR", "message": "printed problem"}))
    return {name: os.environ[name] for name in os.environ if name.startswith("AWS_LAMBDA_LOG_")}
"""


def test_a_log_in_json_has_the_platforms_events(create, functions, read):
    """Messages of Python's logging are in JSON, too; other text is as it was printed."""
    name = create(LOGS, LoggingConfig={"LogFormat": "JSON"})
    variables = answer_of(functions.invoke(FunctionName=name))

    found = read(f"/aws/lambda/{name}", until="platform.report")

    assert ("JSON", "INFO") == (variables["AWS_LAMBDA_LOG_FORMAT"], variables["AWS_LAMBDA_LOG_LEVEL"])
    assert f"/aws/lambda/{name}" == variables["AWS_LAMBDA_LOG_GROUP_NAME"]
    assert "plain\n" in found
    events = [json.loads(message) for message in found if message.startswith("{")]
    init, start, news, problem, printed, report = events
    assert ["platform.initStart", "platform.start", "platform.report"] == [one["type"] for one in (init, start, report)]
    assert {"initializationType": "on-demand", "phase": "init", "functionName": name}.items() <= init["record"].items()
    assert variables["AWS_LAMBDA_LOG_STREAM_NAME"] == init["record"]["instanceId"]
    assert ("news", "INFO", "mine") == (news["message"], news["level"], news["logger"])
    assert ("a problem", "ERROR", 3) == (problem["message"], problem["level"], problem["count"])
    assert "printed problem" == printed["message"]
    record = report["record"]
    assert start["record"]["requestId"] == record["requestId"] == news["requestId"]
    assert "success" == record["status"]
    metrics = record["metrics"]
    assert {"durationMs", "billedDurationMs", "memorySizeMB", "maxMemoryUsedMB", "initDurationMs"} == set(metrics)
    # Lambda's own events have no line feed at their end.
    assert not any(message.endswith("\n") for message in found if "platform." in message)


def test_levels_decide_what_a_log_in_json_holds(create, functions, read, own_group):
    """`DEBUG` of the system adds events; `ERROR` of the application leaves out its messages below it."""
    name = create(
        LOGS,
        LoggingConfig={
            "LogFormat": "JSON",
            "ApplicationLogLevel": "ERROR",
            "SystemLogLevel": "DEBUG",
            "LogGroup": own_group,
        },
    )
    functions.invoke(FunctionName=name)

    found = read(own_group, until="platform.report")

    kinds = [json.loads(message).get("type", "message") for message in found if message.startswith("{")]
    assert [
        "platform.initStart",
        "platform.initRuntimeDone",
        "platform.initReport",
        "platform.start",
        "message",
        "message",
        "platform.runtimeDone",
        "platform.report",
    ] == kinds


def test_a_timeout_is_a_warning_in_json(create, functions, read):
    """`WARN` of the system leaves out what went well."""
    source = "import time\ndef handler(event, context):\n    time.sleep(event)\n"
    name = create(source, Timeout=1, LoggingConfig={"LogFormat": "JSON", "SystemLogLevel": "WARN"})
    functions.invoke(FunctionName=name, Payload=b"0")
    functions.invoke(FunctionName=name, Payload=b"30")

    done, report = map(json.loads, read(f"/aws/lambda/{name}", until="platform.report"))

    assert ("platform.runtimeDone", "timeout") == (done["type"], done["record"]["status"])
    assert ("platform.report", "timeout") == (report["type"], report["record"]["status"])
    assert 1000 == report["record"]["metrics"]["durationMs"]


def test_an_exception_in_json_is_one_object(create, functions, read):
    """It has the error's type, its message and its stack trace."""
    name = create(PRINTS, LoggingConfig={"LogFormat": "JSON"})
    answer = functions.invoke(FunctionName=name, Payload=b'{"raise": true}')

    assert "Unhandled" == answer["FunctionError"]
    found = read(f"/aws/lambda/{name}", until="platform.report")
    (error,) = [json.loads(message) for message in found if '"ValueError"' in message]
    assert ("ERROR", "ValueError", "broken") == (error["level"], error["errorType"], error["errorMessage"])


def test_a_group_that_is_named_holds_the_log(create, functions, logs, read, own_group):
    """It is made when it is not there; its streams have the function's name, because functions may share it."""
    name = create(PRINTS, LoggingConfig={"LogGroup": own_group})
    functions.invoke(FunctionName=name)

    assert "INIT_START" == read(own_group)[0].split()[0]
    (stream,) = logs.describe_log_streams(logGroupName=own_group)["logStreams"]
    assert re.fullmatch(rf"\d{{4}}/\d\d/\d\d/{name}\[\$LATEST\][0-9a-f]{{32}}", stream["logStreamName"])
    assert not logs.describe_log_groups(logGroupNamePrefix=f"/aws/lambda/{name}")["logGroups"]


def test_a_level_needs_json(create, functions):
    """A log in text has no levels, neither in a request nor in an answer."""
    name = create()

    with pytest.raises(ClientError) as refused:
        functions.update_function_configuration(FunctionName=name, LoggingConfig={"SystemLogLevel": "DEBUG"})

    assert "InvalidParameterValueException" == refused.value.response["Error"]["Code"]
    assert "LogLevel is not supported when LogFormat is set to" in refused.value.response["Error"]["Message"]
    kept = functions.get_function_configuration(FunctionName=name)["LoggingConfig"]
    assert {"LogFormat": "Text", "LogGroup": f"/aws/lambda/{name}"} == kept


def test_an_update_keeps_what_it_does_not_name(create, functions, own_group):
    """The format, the levels and the group change on their own; text forgets the levels."""
    name = create(LoggingConfig={"LogFormat": "JSON", "ApplicationLogLevel": "DEBUG"})
    shown = []
    for change in ({"LogGroup": own_group}, {"SystemLogLevel": "WARN"}, {"LogFormat": "Text"}, {"LogFormat": "JSON"}):
        functions.update_function_configuration(FunctionName=name, LoggingConfig=change)
        functions.get_waiter("function_updated_v2").wait(FunctionName=name)
        shown.append(functions.get_function_configuration(FunctionName=name)["LoggingConfig"])

    json_log = {"LogFormat": "JSON", "ApplicationLogLevel": "DEBUG", "SystemLogLevel": "INFO", "LogGroup": own_group}
    assert [
        json_log,
        json_log | {"SystemLogLevel": "WARN"},
        {"LogFormat": "Text", "LogGroup": own_group},
        json_log | {"ApplicationLogLevel": "INFO"},
    ] == shown

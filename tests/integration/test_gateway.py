"""The gateway through boto3: real RIE environments behind AWS's Lambda API."""

import base64
import io
import json
import re
import urllib.error
import urllib.request
import uuid
import zipfile
from urllib.parse import urlsplit

import psutil
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError, ReadTimeoutError

from harness.aws.clients import clients_for, emulation_session
from harness.runs.functions import package
from harness.settings import FunctionSettings
from harness.system.probes import wait_until
from tests.support.functions import HANDLERS, ROLE, code_arguments, handlers_image, lines_of


@pytest.fixture(scope="module")
def clients(stack):
    """Return clients of the session's stack."""
    return clients_for(stack.endpoints)


@pytest.fixture(scope="module")
def image(mode, tmp_path_factory):
    """Return the image of all handlers in container mode; None in process mode."""
    if mode == "process":
        yield None
        return
    with handlers_image(tmp_path_factory.mktemp("image")) as image_id:
        yield image_id


@pytest.fixture
def cache(stack):
    """Return the address at which this stack's environments meet, and a key of this test alone."""
    return {"cache": stack.functions_see.memcached, "key": uuid.uuid4().hex}


@pytest.fixture
def create(clients, image):
    """Create functions from fixtures/handlers, deleted at the end."""
    created = []

    def create_function(behaviour, **configuration):
        name = f"{behaviour}-{uuid.uuid4().hex[:8]}"
        clients.functions.create_function(
            FunctionName=name, Role=ROLE, **(code_arguments(behaviour, image) | configuration)
        )
        created.append(name)
        return name

    yield create_function
    for name in created:
        clients.functions.delete_function(FunctionName=name)


@pytest.fixture
def invoke(clients):
    """Invoke a function; return the whole answer with its payload decoded."""

    def invoke_function(name, event=None, **options):
        answer = clients.functions.invoke(FunctionName=name, Payload=json.dumps(event or {}), **options)
        body = answer["Payload"].read()
        return {**answer, "Body": json.loads(body) if body else None}

    return invoke_function


@pytest.fixture
def own_queue(stack):
    """Provide a queue of this test alone."""
    return Queue(emulation_session(stack.endpoints).client("sqs", endpoint_url=stack.endpoints.aws))


class Queue:
    """An SQS queue."""

    def __init__(self, sqs):
        self._sqs = sqs
        self._url = sqs.create_queue(QueueName=f"own-{uuid.uuid4().hex[:8]}")["QueueUrl"]
        attributes = sqs.get_queue_attributes(QueueUrl=self._url, AttributeNames=["QueueArn"])
        self.arn = attributes["Attributes"]["QueueArn"]

    def next_message(self):
        """Wait for a message and return its body."""
        messages = []
        receive = self._sqs.receive_message
        assert wait_until(lambda: messages.extend(receive(QueueUrl=self._url).get("Messages", [])) or messages, 60)
        return json.loads(messages[0]["Body"])


def wait_for_line(clients, name, text):
    """Wait until a line of the log contains the text, and return that line."""
    assert wait_until(lambda: any(text in line for line in lines_of(clients.logs, name)), 60), lines_of(
        clients.logs, name
    )
    return next(line for line in lines_of(clients.logs, name) if text in line)


def tries_of(clients, name):
    """Return the request ids of all attempts of `fail_times`, in the order of its log."""
    return [line.split()[2] for line in lines_of(clients.logs, name) if line.startswith("try ")]


def test_a_function_gets_its_event_and_awss_environment(create, invoke):
    """The handler sees the event, AWS's variables and its own, but none of the harness's."""
    name = create("echo", Timeout=20, MemorySize=256, Environment={"Variables": {"MINE": "yes"}})

    answer = invoke(name, {"a": [1, None, "ü"]})

    assert 200 == answer["StatusCode"]
    assert "FunctionError" not in answer
    assert {"a": [1, None, "ü"]} == answer["Body"]["event"]
    environment = answer["Body"]["environment"]
    assert "yes" == environment["MINE"]
    assert name == environment["AWS_LAMBDA_FUNCTION_NAME"]
    assert "256" == environment["AWS_LAMBDA_FUNCTION_MEMORY_SIZE"]
    assert f"/aws/lambda/{name}" == environment["AWS_LAMBDA_LOG_GROUP_NAME"]
    assert not {key for key in environment if key.startswith(("HARNESS", "VIRTUAL_ENV", "PYTEST"))}
    assert 15_000 < answer["Body"]["remaining_ms"] <= 20_000


def test_the_request_id_is_one_everywhere(create, invoke, clients):
    """boto3's answer, the handler's context and the log contain the same id."""
    name = create("echo")

    answer = invoke(name)

    request_id = answer["ResponseMetadata"]["RequestId"]
    assert request_id == answer["Body"]["request_id"]
    assert wait_for_line(clients, name, "REPORT").startswith(f"REPORT RequestId: {request_id}\t")


def test_a_warm_environment_is_used_again(create, invoke):
    """Two consecutive invocations run in the same process and find its state."""
    name = create("echo")

    first, second = invoke(name)["Body"], invoke(name)["Body"]

    assert (first["pid"], 1) == (second["pid"], first["count"])
    assert 2 == second["count"]


def test_as_many_environments_run_at_once_as_are_needed(create, invoke, clients, cache):
    """Eight events, each of which waits until all eight run, all succeed."""
    name = create("barrier", Timeout=60)

    for _ in range(8):
        answer = invoke(name, {**cache, "count": 8, "seconds": 40}, InvocationType="Event")
        assert 202 == answer["StatusCode"]

    ended = wait_until(lambda: sum(line.startswith("REPORT") for line in lines_of(clients.logs, name)) == 8, 50)
    assert ended, lines_of(clients.logs, name)
    assert not [line for line in lines_of(clients.logs, name) if "TimeoutError" in line]


def test_an_exception_is_a_function_error_with_awss_body(create, invoke):
    """The answer to an exception has status 200 and `Unhandled`, with type, message and stack trace."""
    answer = invoke(create("raise_error"), {"message": "broken"}, LogType="Tail")

    assert (200, "Unhandled") == (answer["StatusCode"], answer["FunctionError"])
    assert ("ValueError", "broken") == (answer["Body"]["errorType"], answer["Body"]["errorMessage"])
    assert "raise_error.py" in answer["Body"]["stackTrace"][0]
    log = base64.b64decode(answer["LogResult"]).decode()
    assert "about to fail" in log
    assert "[ERROR] ValueError: broken" in log


def test_a_body_that_only_looks_like_an_error_is_none(create, invoke):
    """A handler that returns a dictionary with an error's keys has not failed."""
    answer = invoke(create("return_error_body"))

    assert "FunctionError" not in answer
    assert "not really" == answer["Body"]["errorMessage"]


def test_a_dead_process_is_reported_and_replaced(create, invoke, clients):
    """A handler that exits causes `Runtime.ExitError`, and the next invocation succeeds."""
    name = create("exit_process")

    answer = invoke(name, {"status": 3})

    assert (200, "Unhandled") == (answer["StatusCode"], answer["FunctionError"])
    assert "Runtime.ExitError" == answer["Body"]["errorType"]
    assert "exit status 3" in answer["Body"]["errorMessage"]
    assert wait_for_line(clients, name, "REPORT").endswith("\tStatus: error\tError Type: Runtime.ExitError")
    assert "alive" == invoke(name)["Body"]


def test_a_timeout_is_reported_and_the_environment_replaced(create, invoke):
    """A handler that exceeds its time limit is ended, reported in AWS's words, and replaced by a fresh environment."""
    name = create("sleep", Timeout=3)

    answer = invoke(name, {"seconds": 30})

    assert "Unhandled" == answer["FunctionError"]
    assert "Sandbox.Timedout" == answer["Body"]["errorType"]
    assert "Task timed out after 3.00 seconds" in answer["Body"]["errorMessage"]
    assert "slept" == invoke(name, {"seconds": 0})["Body"]


def test_a_module_that_cannot_be_imported_is_named(create, invoke):
    """The answer is the runtime's import error, with the module's name."""
    answer = invoke(create("fail_on_import"))

    assert "Unhandled" == answer["FunctionError"]
    assert "no_such_module" in answer["Body"]["errorMessage"]


def test_a_log_group_that_was_deleted_is_made_again(create, invoke, clients):
    """After a function's log is deleted, as with a CloudFormation stack, some lines are lost, but later ones arrive."""
    name = create("print_lines")
    invoke(name, {"lines": ["before"]})
    wait_for_line(clients, name, "REPORT")

    clients.logs.delete_log_group(logGroupName=f"/aws/lambda/{name}")

    def told():
        invoke(name, {"lines": ["after"]})
        return any("after" in line for line in lines_of(clients.logs, name))

    assert wait_until(told, 60)


def test_the_log_holds_the_output_between_start_and_report(create, invoke, clients, mode):
    """A function's output is between START and END; REPORT contains the measured memory, not the memory size."""
    name = create("print_lines", MemorySize=3000)
    invoke(name, {"lines": ["one", "two"]})

    report = wait_for_line(clients, name, "REPORT")

    kinds = [line.split(" ")[0] for line in lines_of(clients.logs, name)]
    # An image brings its own runtime, which has no version of AWS's.
    started = [] if mode == "container" else ["INIT_START"]
    assert [*started, "START", "one", "two", "on", "no", "END", "REPORT"] == [kind.strip() for kind in kinds]
    used = int(report.split("Max Memory Used: ")[1].split(" ")[0])
    assert 5 < used < 300


def test_an_error_after_output_without_a_lines_end_is_one(create, invoke):
    """Output without a line end before an exception does not hide the error."""
    answer = invoke(create("print_lines"), {"lines": [], "raise": True})

    assert "Unhandled" == answer["FunctionError"]


def test_a_very_long_line_breaks_nothing(create, invoke):
    """A line of several megabytes is logged in pieces, and the environment stays usable."""
    name = create("print_lines", Timeout=10)

    for _ in range(2):
        assert "FunctionError" not in invoke(name, {"lines": ["x" * 3_000_000]})


def test_a_failed_event_is_tried_no_more_often_than_it_may(create, invoke, clients, cache):
    """With a `MaximumRetryAttempts` of 0, a failed event runs once."""
    name = create("fail_times")
    clients.functions.put_function_event_invoke_config(FunctionName=name, MaximumRetryAttempts=0)

    answer = invoke(name, {**cache, "failures": 9}, InvocationType="Event")

    wait_for_line(clients, name, "REPORT")
    assert [answer["ResponseMetadata"]["RequestId"]] == tries_of(clients, name)
    configuration = clients.functions.get_function_event_invoke_config(FunctionName=name)
    assert 0 == configuration["MaximumRetryAttempts"]


@pytest.mark.parametrize(("failures", "tries"), [(1, 2), (9, 3)])
def test_failed_events_are_tried_again_with_the_same_request_id(hasty, image, failures, tries):
    """A failed event is retried at most twice, with the same id; AWS's delays are scaled down."""
    clients, name = clients_for(hasty.endpoints), f"fail-{uuid.uuid4().hex[:8]}"
    clients.functions.create_function(FunctionName=name, Role=ROLE, **code_arguments("fail_times", image))
    try:
        event = json.dumps({"cache": hasty.functions_see.memcached, "key": name, "failures": failures})
        answer = clients.functions.invoke(FunctionName=name, InvocationType="Event", Payload=event)

        assert wait_until(lambda: len(tries_of(clients, name)) == tries, 60)
        assert not wait_until(lambda: len(tries_of(clients, name)) > tries, 0.5)
        assert {answer["ResponseMetadata"]["RequestId"]} == set(tries_of(clients, name))
    finally:
        clients.functions.delete_function(FunctionName=name)


@pytest.mark.parametrize("headers", [{"Origin": "http://page.example"}, {"Host": "page.example"}])
def test_a_web_page_cannot_invoke(stack, headers):
    """Requests that a browser sends for a page are refused, because an invocation runs code on this machine."""
    request = urllib.request.Request(f"{stack.endpoints.lambda_}/2015-03-31/functions", headers=headers)

    with pytest.raises(urllib.error.HTTPError, match="403"):
        urllib.request.urlopen(request)


def test_a_function_made_anew_keeps_its_environments_warm(create, invoke, clients, image):
    """After a function is deleted and created again with the same name, its environments are reused as before."""
    name = create("echo")
    invoke(name)
    clients.functions.delete_function(FunctionName=name)
    clients.functions.create_function(FunctionName=name, Role=ROLE, **code_arguments("echo", image))

    assert [1, 2, 3] == [invoke(name)["Body"]["count"] for _ in range(3)]


def test_an_unknown_qualifier_is_not_found(create, clients):
    """Without versions, only $LATEST exists."""
    with pytest.raises(clients.functions.exceptions.ResourceNotFoundException):
        clients.functions.invoke(FunctionName=create("echo"), Qualifier="nosuch")


@pytest.mark.parametrize(
    ("setting", "made", "error"), [("Terminate", 15, "RecursiveInvocationException"), ("Allow", 18, None)]
)
def test_a_chain_of_self_invocations_is_stopped_unless_allowed(create, invoke, clients, setting, made, error):
    """A function runs 16 times in one chain, and the 17th is refused unless its recursion setting allows it."""
    name = create("call_itself", Timeout=60)
    clients.functions.put_function_recursion_config(FunctionName=name, RecursiveLoop=setting)

    answer = invoke(name, {"links": 18})

    assert {"made": made, "error": error} == answer["Body"]
    assert setting == clients.functions.get_function_recursion_config(FunctionName=name)["RecursiveLoop"]


def test_client_context_reaches_the_handler(create, invoke):
    """The handler receives the caller's client context."""
    context = base64.b64encode(json.dumps({"custom": {"who": "me"}}).encode()).decode()

    assert {"who": "me"} == invoke(create("echo"), ClientContext=context)["Body"]["client"]


def test_dry_run_runs_nothing(create, invoke, clients):
    """DryRun answers 204 and leaves no log."""
    name = create("echo")

    assert 204 == invoke(name, InvocationType="DryRun")["StatusCode"]
    assert [] == lines_of(clients.logs, name)


@pytest.mark.parametrize(
    ("options", "size", "code", "status"),
    [
        ({}, 6 * 1024 * 1024 + 1, "RequestEntityTooLargeException", 413),
        ({"InvocationType": "Event"}, 1024 * 1024 + 1, "RequestEntityTooLargeException", 413),
    ],
)
def test_payloads_above_awss_limits_are_refused(create, clients, options, size, code, status):
    """A payload that is one byte too large is refused with AWS's error, and nothing runs."""
    name = create("echo")

    with pytest.raises(ClientError) as caught:
        clients.functions.invoke(FunctionName=name, Payload=b'"' + b"x" * (size - 2) + b'"', **options)

    assert (code, status) == (
        caught.value.response["Error"]["Code"],
        caught.value.response["ResponseMetadata"]["HTTPStatusCode"],
    )


def test_an_answer_above_awss_limit_is_a_function_error(create, invoke):
    """An answer over 6 MB becomes `Function.ResponseSizeTooLarge`."""
    answer = invoke(create("big_answer", Timeout=30), {"bytes": 6_291_557})

    assert "Unhandled" == answer["FunctionError"]
    assert "Function.ResponseSizeTooLarge" == answer["Body"]["errorType"]


@pytest.mark.parametrize("payload", [b"{", b"nonsense", b"\xff"])
def test_a_payload_that_is_no_json_is_refused(create, clients, payload):
    """AWS refuses such a request before it reaches the function."""
    with pytest.raises(clients.functions.exceptions.InvalidRequestContentException):
        clients.functions.invoke(FunctionName=create("echo"), Payload=payload)


def test_an_unknown_function_is_not_found(clients):
    """The error names the function's ARN."""
    with pytest.raises(clients.functions.exceptions.ResourceNotFoundException, match=r"function:none:\$LATEST$"):
        clients.functions.invoke(FunctionName="none")


@pytest.mark.parametrize("configuration", [{"Timeout": 901}, {"MemorySize": 10_241}])
def test_sizes_outside_awss_range_are_refused(create, configuration):
    """CreateFunction refuses the sizes that AWS refuses."""
    with pytest.raises(ClientError, match="ValidationException"):
        create("echo", **configuration)


def test_functions_are_configured_listed_and_deleted(create, clients, mode):
    """Create, get, update, list and delete work as on AWS."""
    name = create("echo", Description="first")
    code_before = clients.functions.get_function(FunctionName=name)["Configuration"]["CodeSha256"]

    clients.functions.update_function_configuration(FunctionName=name, Timeout=17, Description="second")
    if mode == "process":
        other = package(FunctionSettings(source=HANDLERS, handler="sleep.handler", include=(HANDLERS,)))
        clients.functions.update_function_code(FunctionName=name, ZipFile=other)
    else:
        clients.functions.update_function_code(FunctionName=name, ImageUri="lambda-harness/lambda-python:3.11")

    configuration = clients.functions.get_function_configuration(FunctionName=f"{name}:$LATEST")
    assert (17, "second", 128) == (configuration["Timeout"], configuration["Description"], configuration["MemorySize"])
    assert code_before != configuration["CodeSha256"]
    assert name in [function["FunctionName"] for function in clients.functions.list_functions()["Functions"]]
    clients.functions.get_waiter("function_active_v2").wait(FunctionName=name)


def test_new_code_and_configuration_replace_warm_environments(create, invoke, clients, mode):
    """After an update, the next invocation runs in a new environment with the new settings."""
    name = create("echo")
    before = invoke(name)["Body"]

    clients.functions.update_function_configuration(FunctionName=name, Environment={"Variables": {"NEW": "1"}})
    after = invoke(name)["Body"]

    assert 1 == after["count"]
    assert "1" == after["environment"]["NEW"]
    if mode == "process":
        assert wait_until(lambda: not psutil.pid_exists(before["pid"]), 60)


# Runs until the file is created, however long that takes.
WAITS = """
import os, time
def handler(event, context):
    while not os.path.exists(event["until"]): time.sleep(0.01)
"""


def test_code_is_kept_as_long_as_a_version_or_an_environment_needs_it(create, invoke, clients, stack, mode, tmp_path):
    """Replaced code is removed after the invocation that runs it, but not a version's; in the end all is removed."""
    if mode == "container":
        pytest.skip("container mode takes images only")

    def folder(**which):
        location = clients.functions.get_function(FunctionName=name, **which)["Code"]["Location"]
        package = urlsplit(location).path.rpartition("/")[2]
        return stack.directory / "gateway" / "functions" / name / package.removesuffix(".zip")

    def archive(text):
        with zipfile.ZipFile(buffer := io.BytesIO(), "w") as file:
            file.writestr("sleep.py", text)
        return buffer.getvalue()

    name = create("sleep", Timeout=60, Code={"ZipFile": archive(WAITS)})
    invoke(name, {"until": str(tmp_path / "end")}, InvocationType="Event")
    wait_for_line(clients, name, "START")
    first = folder()
    other = package(FunctionSettings(source=HANDLERS, handler="sleep.handler", include=(HANDLERS,)))
    clients.functions.update_function_code(FunctionName=name, ZipFile=other)
    assert first.is_dir()
    (tmp_path / "end").touch()
    assert wait_until(lambda: not first.exists(), 60)

    clients.functions.publish_version(FunctionName=name)
    published = folder()
    new = archive("def handler(event, context): return 'new'")
    clients.functions.update_function_code(FunctionName=name, ZipFile=new, DryRun=True)
    kept = {published, published.with_suffix(".zip")}
    assert wait_until(lambda: kept == set(published.parent.iterdir()), 60)
    clients.functions.update_function_code(FunctionName=name, ZipFile=new)
    assert "new" == invoke(name)["Body"]
    assert published == folder(Qualifier="1")
    assert published.is_dir()

    clients.functions.delete_function(FunctionName=name)
    assert wait_until(lambda: not published.parent.exists(), 60)
    clients.functions.create_function(FunctionName=name, Role=ROLE, **code_arguments("sleep", None))


def test_a_name_that_is_taken_is_refused(create, clients):
    """Creating a function twice is a conflict."""
    name = create("echo")

    with pytest.raises(clients.functions.exceptions.ResourceConflictException):
        clients.functions.create_function(
            FunctionName=name, Runtime="python3.11", Role=ROLE, Handler="echo.handler", Code={"ZipFile": b""}
        )


def test_code_that_is_no_archive_is_refused(create, invoke, clients, mode):
    """A deployment package must be a zip file; a refused update changes nothing."""
    if mode == "container":
        pytest.skip("container mode takes images only")
    with pytest.raises(clients.functions.exceptions.InvalidParameterValueException, match="unzip"):
        clients.functions.create_function(
            FunctionName="broken", Runtime="python3.11", Role=ROLE, Handler="a.b", Code={"ZipFile": b"no zip"}
        )
    name = create("echo")
    before = clients.functions.get_function(FunctionName=name)["Configuration"]
    for options in ({}, {"Publish": True}, {"DryRun": True}):
        with pytest.raises(clients.functions.exceptions.InvalidParameterValueException, match="unzip"):
            clients.functions.update_function_code(FunctionName=name, ZipFile=b"no zip", **options)
    assert before == clients.functions.get_function(FunctionName=name)["Configuration"]
    assert "event" in invoke(name)["Body"]


def test_a_caller_that_goes_away_does_not_break_the_environment(create, invoke, stack):
    """After a client disconnects during an invocation, the next one is served as usual."""
    name = create("sleep", Timeout=20)
    session = emulation_session(stack.endpoints)
    hasty = session.client(
        "lambda",
        endpoint_url=stack.endpoints.lambda_,
        config=Config(read_timeout=0.5, retries={"total_max_attempts": 1}),
    )
    with pytest.raises(ReadTimeoutError):
        hasty.invoke(FunctionName=name, Payload=b'{"seconds": 2}')

    answers = [invoke(name, {"seconds": 0})["Body"] for _ in range(3)]

    assert ["slept"] * 3 == answers


def test_bytes_that_are_no_json_are_an_answer(create, clients):
    """A function may return any bytes: a pickle, or the beginning of what looks like an error."""
    name = create("answer_oddly", Timeout=20)

    for answer in (b"\x80\x04\x95\xff", b'{"errorMessage"', b"Task timed out after 3.00 seconds"):
        answered = clients.functions.invoke(FunctionName=name, Payload=json.dumps({"bytes": answer.hex()}))
        assert (answer, None) == (answered["Payload"].read(), answered.get("FunctionError"))


def test_an_event_whose_answer_is_no_json_ends_with_a_record(create, clients, own_queue):
    """The event has succeeded, and its destination receives the record."""
    name = create("answer_oddly", Timeout=20)
    clients.functions.put_function_event_invoke_config(
        FunctionName=name, DestinationConfig={"OnSuccess": {"Destination": own_queue.arn}}
    )

    clients.functions.invoke(FunctionName=name, InvocationType="Event", Payload=b'{"bytes": "80ff"}')

    record = own_queue.next_message()
    assert ("Success", "\ufffd\ufffd") == (record["requestContext"]["condition"], record["responsePayload"])


def test_lines_that_look_like_the_platforms_stay_in_the_log(create, invoke):
    """This holds for lines of other invocations, which a coordinator may print, and of this very one."""
    printed = (
        "START RequestId: {id} Version: $LATEST\nEND RequestId: 11111111-2222-3333-4444-555555555555\n"
        "worker: REPORT RequestId: 11111111-2222-3333-4444-555555555555\tDuration: 9 ms\n"
        "REPORT RequestId: {id}\tDuration: 9 ms\nEND RequestId: {id}\nbehind it\n"
    )

    answer = invoke(create("answer_oddly", Timeout=20), {"print": printed}, LogType="Tail")

    first, *between, end, report, nothing = base64.b64decode(answer["LogResult"]).decode().split("\n")
    assert printed.replace("{id}", answer["ResponseMetadata"]["RequestId"]).split("\n")[:-1] == between
    assert ("START", "END", "REPORT", "") == (first.split()[0], end.split()[0], report.split()[0], nothing)


@pytest.mark.parametrize("end", ["exit", "kill"])
def test_the_last_words_of_a_dying_handler_come_before_its_report(create, invoke, end):
    """They are in `LogResult`, too."""
    name = create("answer_oddly", Timeout=20)

    for _ in range(5):
        answer = invoke(name, {"print": "last words", "end": end}, LogType="Tail")
        lines = base64.b64decode(answer["LogResult"]).decode().splitlines()
        assert ["START", "last", "END", "REPORT"] == [line.split()[0] for line in lines]
        assert lines[-1].endswith("\tStatus: error\tError Type: Runtime.ExitError")


def test_a_forked_child_that_answers_too_harms_nobody(create, invoke, mode):
    """The invocation's answer is its own process's, and the environment stays usable."""
    if mode == "container":
        pytest.skip("the image's own runtime lets a forked child answer, and RIE takes what comes first")
    name = create("answer_oddly", Timeout=20)

    for _ in range(3):
        answer = invoke(name, {"end": "fork"})
        assert (1, None) == (answer["Body"], answer.get("FunctionError"))


def test_the_log_result_is_cut_between_characters(create, invoke):
    """In a log of three-byte characters, 4 KB may end within a character."""
    answer = invoke(create("answer_oddly", Timeout=20), {"print": "日本\n" * 2000}, LogType="Tail")

    assert 4090 < len(base64.b64decode(answer["LogResult"]).decode().encode()) <= 4096


def test_one_who_prints_much_waits_and_nothing_is_lost(create, invoke, clients):
    """The gateway holds a batch of lines, not all of them."""
    name = create("answer_oddly", Timeout=60)

    invoke(name, {"lines": 20_000})

    wait_for_line(clients, name, "REPORT")
    assert [str(number) for number in range(20_000)] == [
        line.split()[1] for line in lines_of(clients.logs, name) if line.startswith("line ")
    ]


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"Payload": b'{"loss": NaN}'}, "Could not parse request body into json"),
        ({"Payload": b"[" * 5000 + b"]" * 5000}, "Could not parse request body into json"),
        ({"ClientContext": "nonsense"}, "Client context must be a valid Base64-encoded JSON object"),
        ({"ClientContext": base64.b64encode(b"[]").decode()}, "Client context must be a valid"),
    ],
)
def test_content_that_awss_json_does_not_know_is_refused(create, clients, options, words):
    """This holds for synchronous invocations and for events."""
    name = create("echo")

    for kind in ("RequestResponse", "Event"):
        with pytest.raises(clients.functions.exceptions.InvalidRequestContentException, match=words):
            clients.functions.invoke(FunctionName=name, InvocationType=kind, **options)


ACCOUNT = "arn:aws:lambda:us-east-1:123456789012"


@pytest.mark.parametrize(
    ("configuration", "error", "words"),
    [
        ({"Environment": {"Variables": {"AA": "a\0b"}}}, "InvalidParameterValueException", "environment variables"),
        ({"Environment": {"Variables": {"A=B": "c"}}}, "ValidationException", "Map keys must satisfy"),
        ({"Environment": {"Variables": {"my-key": "c"}}}, "ValidationException", "my-key"),
        ({"Environment": {"Variables": {"A": "c"}}}, "ValidationException", "Map keys must satisfy"),
        ({"Environment": {"Variables": {"AWS_REGION": "eu-west-1"}}}, "InvalidParameterValueException", "AWS_REGION"),
        ({"Runtime": "nodejs20.x"}, "InvalidParameterValueException", "nodejs20.x is not emulated"),
        ({"Runtime": "python3.7"}, "InvalidParameterValueException", "python3.7 is no longer supported"),
        ({"Runtime": "python9.9"}, "InvalidParameterValueException", "must satisfy enum value set"),
        (
            {"Layers": ["arn:aws:lambda:us-east-1:123456789012:layer:none:1"]},
            "InvalidParameterValueException",
            "Layer version .*:layer:none:1 does not exist",
        ),
        (
            {"DeadLetterConfig": {"TargetArn": "arn:aws:s3:::dead"}},
            "InvalidParameterValueException",
            "arn:aws:s3:::dead is neither an SQS queue nor an SNS topic",
        ),
    ],
)
def test_a_configuration_that_is_not_run_as_it_says_is_refused(create, clients, mode, configuration, error, words):
    """CreateFunction and UpdateFunctionConfiguration refuse it as on AWS, or name the feature that only AWS has."""
    name = create("echo")
    if mode == "container" and configuration.keys() & {"Runtime", "Layers"}:
        pytest.skip("container mode takes images only, which have neither a runtime nor layers")

    for refused in (
        lambda: create("echo", **configuration),
        lambda: clients.functions.update_function_configuration(FunctionName=name, **configuration),
    ):
        with pytest.raises(ClientError, match=words) as answer:
            refused()
        assert error == answer.value.response["Error"]["Code"]


def test_the_handler_sees_what_was_called_and_its_trace(create, invoke, clients, mode):
    """It sees the ARN with the qualifier, as CreateFunction returns it, and the trace id of a chain of invocations."""
    if mode == "container":
        pytest.skip("the image's own runtime takes RIE's ARN, and no trace id")
    name, root = create("echo", Timeout=20), "Root=1-5759e988-bd862e3fe1be46a994272793"
    arn = clients.functions.get_function_configuration(FunctionName=name)["FunctionArn"]
    clients.functions.create_alias(FunctionName=name, Name="live", FunctionVersion="$LATEST")

    bodies = [invoke(name, **options)["Body"] for options in ({}, {"Qualifier": "live"}, {"Qualifier": "$LATEST"})]

    def send_along(request, **_):
        request.headers["X-Amzn-Trace-Id"] = f"{root};Parent=53995c3f42cd8ad8"

    clients.functions.meta.events.register("before-sign.lambda.Invoke", send_along)
    called = invoke(name)["Body"]["environment"]["_X_AMZN_TRACE_ID"]
    clients.functions.meta.events.unregister("before-sign.lambda.Invoke", send_along)

    assert [arn, f"{arn}:live", f"{arn}:$LATEST"] == [body["arn"] for body in bodies]
    traces = {body["environment"]["_X_AMZN_TRACE_ID"] for body in bodies}
    assert 3 == len(traces)
    form = r"Root=1-[0-9a-f]{8}-[0-9a-f]{24};Parent=[0-9a-f]{16};Sampled=0;Lineage=1:[0-9a-f]{8}:0"
    assert all(re.fullmatch(form, trace) for trace in [*traces, called])
    assert called.startswith(f"{root};Parent=")


def test_the_metadata_endpoint_answers_as_awss(create, invoke):
    """A function learns its zone with its own token; other tokens and other methods are refused."""
    name = create("ask_metadata")

    answer = invoke(name)["Body"]
    refused = [invoke(name, event)["Body"] for event in ({"token": ""}, {"token": "x.y"}, {"method": "PUT"})]

    assert (answer["status"], json.loads(answer["body"])) == (200, {"AvailabilityZoneID": "use1-az1"})
    assert (answer["type"], answer["cache"]) == ("application/json", "private, max-age=43200, immutable")
    assert [each["status"] for each in refused] == [401, 401, 405]

"""Invocations: https://docs.aws.amazon.com/lambda/latest/api/API_Invoke.html."""

import base64
import json
import re

import pytest

from tests.parity.aws.support import answer_of, refusal

BEHAVES = """
import sys, time

def handler(event, context):
    kind = event.get("kind")
    if kind == "raise":
        raise ValueError("no such thing")
    if kind == "exit":
        sys.exit(0)
    if kind == "signal":
        import os, signal
        os.kill(os.getpid(), signal.SIGKILL)
    if kind == "sleep":
        time.sleep(60)
    if kind == "large":
        return "x" * 6_291_555
    if kind == "context":
        client = context.client_context
        return {"custom": client.custom, "client": client.client.installation_id}
    if kind == "print":
        print("x" * 5000)
        print("the last line")
    return None
"""


@pytest.fixture
def behaves(create):
    """The name of a function that does what its event says."""
    return create(BEHAVES, Timeout=3)


def invoke(functions, name, kind=None, **arguments):
    """Invoke a function, and return its answer."""
    return functions.invoke(FunctionName=name, Payload=json.dumps({"kind": kind}), **arguments)


def test_a_result_is_its_json(functions, behaves):
    """None is `null`; the answer names the version, and no error."""
    answered = invoke(functions, behaves)

    assert (answered["StatusCode"], answered["ExecutedVersion"]) == (200, "$LATEST")
    assert answered["Payload"].read() == b"null"
    assert "FunctionError" not in answered
    assert "LogResult" not in answered


@pytest.mark.parametrize(("kind", "status"), [("Event", 202), ("DryRun", 204)])
def test_what_does_not_wait_has_no_result(functions, behaves, kind, status):
    """Neither a payload nor a version, which nobody knows yet."""
    answered = invoke(functions, behaves, InvocationType=kind)

    assert answered["StatusCode"] == status
    assert answered["Payload"].read() == b""
    assert "ExecutedVersion" not in answered


def test_an_exception_has_its_type_message_and_stack(functions, behaves):
    """With status 200: the invocation has succeeded, the function has not."""
    answered = invoke(functions, behaves, "raise")

    body = answer_of(answered)
    assert (answered["StatusCode"], answered["FunctionError"]) == (200, "Unhandled")
    assert (body["errorType"], body["errorMessage"]) == ("ValueError", "no such thing")
    assert body["requestId"] == answered["ResponseMetadata"]["RequestId"]
    assert len(body["stackTrace"]) == 1


def test_an_import_that_fails_has_no_request(functions, create):
    """The error of the import, with an empty request id."""
    body = answer_of(functions.invoke(FunctionName=create("raise RuntimeError('no start')")))

    assert (body["errorType"], body["errorMessage"], body["requestId"]) == ("RuntimeError", "no start", "")


def test_a_module_that_is_missing_is_named(functions, create):
    """In the words of AWS's runtime."""
    body = answer_of(functions.invoke(FunctionName=create("import absent_library")))

    assert body["errorType"] == "Runtime.ImportModuleError"
    assert body["errorMessage"] == "Unable to import module 'app': No module named 'absent_library'"


@pytest.mark.parametrize(
    ("kind", "reason"),
    [("exit", "Runtime exited without providing a reason"), ("signal", "Runtime exited with error: signal: killed")],
)
def test_a_process_that_ends_is_replaced(functions, behaves, kind, reason):
    """The error has the request id and how the process ended; the next invocation succeeds."""
    answered = invoke(functions, behaves, kind)

    body = answer_of(answered)
    assert body == {
        "errorType": "Runtime.ExitError",
        "errorMessage": f"RequestId: {answered['ResponseMetadata']['RequestId']} Error: {reason}",
    }
    assert answer_of(invoke(functions, behaves)) is None


def test_a_time_limit_ends_the_invocation(functions, behaves):
    """The error has the limit with two digits; the next invocation succeeds."""
    answered = invoke(functions, behaves, "sleep")

    body = answer_of(answered)
    assert body["errorType"] == "Sandbox.Timedout"
    assert re.fullmatch(r"RequestId: [\w-]{36} Error: Task timed out after 3.00 seconds", body["errorMessage"])
    assert answer_of(invoke(functions, behaves)) is None


def test_an_answer_above_6_mb_is_an_error_of_the_function(functions, behaves):
    """It has a type and words of its own."""
    answered = invoke(functions, behaves, "large")

    assert answered["FunctionError"] == "Unhandled"
    assert answer_of(answered) == {
        "errorType": "Function.ResponseSizeTooLarge",
        "errorMessage": "Response payload size exceeded maximum allowed payload size (6291556 bytes).",
    }


def test_the_tail_of_the_log_is_its_last_4_kb(functions, behaves):
    """REPORT is its last line."""
    tail = base64.b64decode(invoke(functions, behaves, "print", LogType="Tail")["LogResult"]).decode()

    assert len(tail) <= 4096
    assert tail.splitlines()[-1].startswith("REPORT RequestId: ")
    assert "the last line" in tail
    assert "START" not in tail


def test_a_client_context_reaches_the_handler(functions, behaves):
    """As the attributes of `context.client_context`."""
    context = {"custom": {"own": "1"}, "client": {"installation_id": "here"}}
    encoded = base64.b64encode(json.dumps(context).encode()).decode()

    assert answer_of(invoke(functions, behaves, "context", ClientContext=encoded)) == {
        "custom": {"own": "1"},
        "client": "here",
    }


def test_a_payload_that_is_no_json_is_refused(functions, behaves):
    """Before the function is started."""
    code, status, message = refusal(functions.invoke, FunctionName=behaves, Payload=b"{no json")

    assert (code, status) == ("InvalidRequestContentException", 400)
    assert message.startswith("Could not parse request body into json: Could not parse payload into json: ")


@pytest.mark.parametrize(("kind", "most"), [("RequestResponse", 6_291_456), ("Event", 1_048_576)])
def test_a_payload_has_a_limit(functions, behaves, kind, most):
    """Six megabytes, one for an event."""
    payload = json.dumps("x" * (most - 2))

    assert invoked_status(functions, behaves, kind, payload) in {200, 202}
    code, status, message = refusal(functions.invoke, FunctionName=behaves, InvocationType=kind, Payload=payload + " ")
    assert (code, status) == ("RequestEntityTooLargeException", 413)
    assert str(most) in message


def invoked_status(functions, name, kind, payload):
    """Return the status of an invocation."""
    return functions.invoke(FunctionName=name, InvocationType=kind, Payload=payload)["StatusCode"]


def test_a_function_that_is_not_there_is_named_with_its_version(functions, create):
    """AWS adds `$LATEST`, or the qualifier that was given."""
    arn = functions.get_function(FunctionName=create())["Configuration"]["FunctionArn"].rpartition(":")[0]

    for qualifier in ("$LATEST", "7", "live"):
        assert refusal(functions.invoke, FunctionName="parity-absent", Qualifier=qualifier) == (
            "ResourceNotFoundException",
            404,
            f"Function not found: {arn}:parity-absent:{qualifier}",
        )

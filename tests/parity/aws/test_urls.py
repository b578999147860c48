"""Function URLs: https://docs.aws.amazon.com/lambda/latest/dg/urls-invocation.html."""

import json
import urllib.request
from urllib.error import HTTPError

import pytest

from tests.parity.aws.support import refusal

ECHO = "def handler(event, context):\n    return event\n"
RETURNS_BODY = "import json\ndef handler(event, context):\n    return json.loads(event['body'])\n"
FORBIDDEN = {
    "Message": "Forbidden. For troubleshooting Function URL authorization issues, see: "
    "https://docs.aws.amazon.com/lambda/latest/dg/urls-auth.html"
}
MISSING = ("ResourceNotFoundException", 404, "The resource you requested does not exist.")
NO_FUNCTION = ("ResourceNotFoundException", 404, "Function does not exist")


def called(url, data=None, method=None, **headers):
    """Return the status, the headers and the content of an answer."""
    request = urllib.request.Request(url, data, {name.replace("_", "-"): one for name, one in headers.items()})
    request.method = method or request.get_method()
    try:
        with urllib.request.urlopen(request, timeout=60) as answer:
            return answer.status, answer.headers, answer.read()
    except HTTPError as error:
        with error:
            return error.code, error.headers, error.read()


@pytest.fixture
def opened(functions, create):
    """A function that makes a function with a URL that everybody may call, and returns both."""

    def make(source, **options):
        name = create(source)
        url = functions.create_function_url_config(FunctionName=name, AuthType="NONE", **options)["FunctionUrl"]
        functions.add_permission(
            FunctionName=name,
            StatementId="url",
            Action="lambda:InvokeFunctionUrl",
            Principal="*",
            FunctionUrlAuthType="NONE",
        )
        functions.add_permission(
            FunctionName=name,
            StatementId="invoke",
            Action="lambda:InvokeFunction",
            Principal="*",
            InvokedViaFunctionUrl=True,
        )
        return name, url

    return make


def test_a_request_becomes_an_event(opened):
    """Payload format 2.0: names of headers in lower case, values of a name joined, cookies apart."""
    _, url = opened(ECHO)

    status, headers, content = called(
        f"{url}some/p%25ath?a=1&b=x&b=%2Fy",
        b"text",
        Content_Type="text/plain",
        X_Own="Value",
        Cookie="one=1; two=2",
    )
    event = json.loads(content)

    assert (status, headers["Content-Type"]) == (200, "application/json")
    assert (event["version"], event["routeKey"]) == ("2.0", "$default")
    assert (event["rawPath"], event["rawQueryString"]) == ("/some/p%ath", "a=1&b=x&b=%2Fy")
    assert event["queryStringParameters"] == {"a": "1", "b": "x,/y"}
    assert (event["headers"]["x-own"], event["headers"]["content-length"]) == ("Value", "4")
    assert event["cookies"] == ["one=1", "two=2"]
    assert (event["body"], event["isBase64Encoded"]) == ("text", False)
    context = event["requestContext"]
    assert (context["http"]["method"], context["http"]["path"], context["accountId"]) == (
        "POST",
        "/some/p%ath",
        "anonymous",
    )
    assert context["domainName"] == event["headers"]["host"]
    assert context["requestId"] == headers["x-amzn-RequestId"]


def test_bytes_come_in_base64_and_nothing_comes_as_nothing(opened):
    """As with a form of several parts."""
    _, url = opened(ECHO)

    event = json.loads(called(url, b"\x00\xff", Content_Type="multipart/form-data; boundary=x")[2])
    empty = json.loads(called(url)[2])

    assert (event["body"], event["isBase64Encoded"]) == ("AP8=", True)
    assert ("body" in empty, empty["isBase64Encoded"], "queryStringParameters" in empty) == (False, False, False)


@pytest.mark.parametrize(
    ("answer", "status", "content"),
    [
        ({"hello": "world"}, 200, b'{"hello":"world"}'),
        (["hello", 3, True], 200, b'["hello",3,true]'),
        ("hello", 200, b"hello"),
        (3.1, 200, b"3.1"),
        ({"statusCode": 201, "body": "made"}, 201, b"made"),
        ({"statusCode": "418", "body": {"a": 1}}, 418, b'{"a":1}'),
        ({"statusCode": 200, "body": "AP8=", "isBase64Encoded": True}, 200, b"\x00\xff"),
    ],
    ids=str,
)
def test_an_answer_is_content_or_describes_one(opened, answer, status, content):
    """Only what has a status code describes an answer."""
    _, url = opened(RETURNS_BODY)

    got = called(url, json.dumps(answer).encode(), Content_Type="application/json")

    assert (got[0], got[2], got[1]["Content-Type"]) == (status, content, "application/json")


def test_an_answer_has_headers_and_cookies(opened):
    """As many cookies as the function sets."""
    _, url = opened(RETURNS_BODY)
    answer = {
        "statusCode": 200,
        "headers": {"Content-Type": "text/html", "X-Own": "1"},
        "cookies": ["a=1", "b=2; Secure"],
        "body": "<p>",
    }

    status, headers, content = called(url, json.dumps(answer).encode(), Content_Type="application/json")

    assert (status, content) == (200, b"<p>")
    assert (headers["Content-Type"], headers["X-Own"]) == ("text/html", "1")
    assert headers.get_all("Set-Cookie") == ["a=1", "b=2; Secure"]


def test_a_function_that_fails_is_a_bad_gateway(opened):
    """The caller does not learn why."""
    _, url = opened("def handler(event, context):\n    raise ValueError('secret')\n")

    status, _, content = called(url, b"{}")

    assert (status, content) == (502, b"Internal Server Error")


def test_nobody_may_call_a_url_without_a_permission(functions, create):
    """Nor, without credentials, one that needs them; one that never was is unknown."""
    name = create()
    closed = functions.create_function_url_config(FunctionName=name, AuthType="NONE")["FunctionUrl"]
    without_permission = called(closed, b"x")
    functions.update_function_url_config(FunctionName=name, AuthType="AWS_IAM")
    without_credentials = called(closed, b"x")

    for status, headers, content in (without_permission, without_credentials):
        assert (status, headers["x-amzn-ErrorType"]) == (403, "AccessDeniedException")
        assert json.loads(content) == FORBIDDEN


def test_pages_of_allowed_origins_may_read_answers(opened):
    """The URL itself answers what a browser asks first."""
    cors = {"AllowOrigins": ["https://example.com"], "AllowMethods": ["GET", "POST"], "MaxAge": 60}
    _, url = opened("def handler(event, context):\n    return 'ran'\n", Cors=cors)

    asked = called(url, method="OPTIONS", Origin="https://example.com", Access_Control_Request_Method="GET")
    allowed = called(url, Origin="https://example.com")
    other = called(url, Origin="https://example.org")

    assert (asked[0], asked[2], asked[1]["Access-Control-Allow-Methods"]) == (200, b"", "GET,POST")
    assert (allowed[2], allowed[1]["Access-Control-Allow-Origin"]) == (b"ran", "https://example.com")
    assert (other[2], other[1]["Access-Control-Allow-Origin"]) == (b"ran", None)


def test_a_url_is_made_changed_and_taken_away(functions, create):
    """A function and an alias have URLs of their own, in pages; AWS shows the default mode only when read."""
    name = create()
    arn = functions.get_function(FunctionName=name)["Configuration"]["FunctionArn"]
    functions.publish_version(FunctionName=name)
    functions.create_alias(FunctionName=name, Name="live", FunctionVersion="1")

    made = functions.create_function_url_config(FunctionName=name, AuthType="NONE")
    of_alias = functions.create_function_url_config(FunctionName=name, Qualifier="live", AuthType="NONE")
    again = refusal(functions.create_function_url_config, FunctionName=name, AuthType="NONE")
    changed = functions.update_function_url_config(FunctionName=name, AuthType="AWS_IAM")
    read = functions.get_function_url_config(FunctionName=name)
    pages = functions.get_paginator("list_function_url_configs")
    listed = [
        page["FunctionUrlConfigs"] for page in pages.paginate(FunctionName=name, PaginationConfig={"PageSize": 1})
    ]
    functions.delete_function_url_config(FunctionName=name)

    assert (made["FunctionArn"], of_alias["FunctionArn"]) == (arn, f"{arn}:live")
    assert ("InvokeMode" in made, "LastModifiedTime" in made, "InvokeMode" in changed) == (False, False, False)
    assert (read["InvokeMode"], read["AuthType"], read["FunctionUrl"]) == (
        "BUFFERED",
        "AWS_IAM",
        made["FunctionUrl"],
    )
    assert [len(page) for page in listed] == [1, 1]
    assert again == (
        "ResourceConflictException",
        409,
        (
            f"Failed to create function url config for [functionArn = {arn}]. Error message:  FunctionUrlConfig exists "
            "for this Lambda function"
        ),
    )
    assert refusal(functions.get_function_url_config, FunctionName=name) == MISSING
    assert functions.get_function_url_config(FunctionName=name, Qualifier="live")


def test_what_does_not_exist_has_no_url(functions, create):
    """A function, an alias; a version never has one."""
    name = create()
    create_url, update = functions.create_function_url_config, functions.update_function_url_config

    assert refusal(create_url, FunctionName="none", AuthType="NONE") == NO_FUNCTION
    assert refusal(create_url, FunctionName=name, Qualifier="none", AuthType="NONE") == NO_FUNCTION
    assert refusal(functions.list_function_url_configs, FunctionName="none") == NO_FUNCTION
    assert refusal(update, FunctionName="none", AuthType="NONE") == NO_FUNCTION
    assert refusal(update, FunctionName=name, AuthType="NONE") == MISSING
    assert refusal(functions.delete_function_url_config, FunctionName="none") == MISSING
    assert refusal(create_url, FunctionName=name, Qualifier="1", AuthType="NONE") == (
        "ValidationException",
        400,
        (
            "1 validation error detected: Value '1' at 'qualifier' failed to satisfy constraint: Member must satisfy "
            r"regular expression pattern: ((?!^\d+$)^[0-9a-zA-Z-_]+$)"
        ),
    )

"""What a request to AWS is, as a stage reads it off the wire."""

import pytest

from harness.explore.stage.requests import StageRequest


def _request(service: str, method: str, target: str, body: bytes = b"", **headers: str) -> StageRequest:
    signed = f"AWS4-HMAC-SHA256 Credential=KEY/20260101/us-east-1/{service}/aws4_request, Signature=none"
    given = {"Authorization": signed, **{name.replace("_", "-"): value for name, value in headers.items()}}
    return StageRequest(method, target, tuple(given.items()), body)


@pytest.mark.parametrize(
    ("method", "target", "operation"),
    [
        ("GET", "/", "ListBuckets"),
        ("PUT", "/bucket", "CreateBucket"),
        ("GET", "/bucket?list-type=2&prefix=a", "ListObjectsV2"),
        ("GET", "/bucket", "ListObjects"),
        ("HEAD", "/bucket/key", "HeadObject"),
        ("GET", "/bucket/a/deep/key", "GetObject"),
        ("PUT", "/bucket/key", "PutObject"),
        ("DELETE", "/bucket/key", "DeleteObject"),
        ("POST", "/bucket/key?uploads", "CreateMultipartUpload"),
        ("PUT", "/bucket/key?partNumber=1&uploadId=x", "UploadPart"),
        ("POST", "/bucket?delete", "DeleteObjects"),
        ("GET", "/bucket/key?tagging", "GetObjectTagging"),
    ],
)
def test_an_operation_of_s3_is_known_by_method_and_path(method: str, target: str, operation: str) -> None:
    """S3 names no operation in its requests; its model says which has which form."""
    assert operation == _request("s3", method, target).operation


def test_a_copy_is_known_by_its_header() -> None:
    """A copy has the form of a put."""
    assert "CopyObject" == _request("s3", "PUT", "/bucket/key", x_amz_copy_source="/other/key").operation
    part = _request("s3", "PUT", "/bucket/key?partNumber=1&uploadId=x", x_amz_copy_source="/other/key")
    assert "UploadPartCopy" == part.operation


@pytest.mark.parametrize(
    ("request_", "operation", "about"),
    [
        (
            _request(
                "dynamodb",
                "POST",
                "/",
                b'{"TableName":"orders"}',
                X_Amz_Target="DynamoDB_20120810.PutItem",
                Content_Type="application/x-amz-json-1.0",
            ),
            "PutItem",
            "orders",
        ),
        (
            _request(
                "dynamodb",
                "POST",
                "/",
                b'{"TransactItems":[{"Put":{"TableName":"a"}},{"Update":{"TableName":"b"}}]}',
                X_Amz_Target="DynamoDB_20120810.TransactWriteItems",
                Content_Type="application/x-amz-json-1.0",
            ),
            "TransactWriteItems",
            "a b",
        ),
        (
            _request(
                "sns",
                "POST",
                "/",
                b"Action=Publish&TopicArn=arn%3Aaws%3Asns%3Aus-east-1%3A123456789012%3Anews&Message=hi",
                Content_Type="application/x-www-form-urlencoded; charset=utf-8",
            ),
            "Publish",
            "news",
        ),
        (_request("lambda", "POST", "/2015-03-31/functions/resize/invocations"), "Invoke", "resize"),
        (_request("s3", "GET", "/bucket/a%20b"), "GetObject", "s3://bucket/a b"),
        (_request("nobody", "PUT", "/some/path"), "PUT /some/path", "/some/path"),
    ],
)
def test_a_request_is_named(request_: StageRequest, operation: str, about: str) -> None:
    """Each protocol has the operation, and what it is about, in another place."""
    assert (operation, about) == (request_.operation, request_.about)


def test_a_body_becomes_a_short_text() -> None:
    """A report shows a line of it."""
    form = _request("sns", "POST", "/", b"Action=Publish&Message=hi", Content_Type="application/x-www-form-urlencoded")
    assert '{"Message":"hi"}' == form.text
    assert "5 bytes" == _request("s3", "PUT", "/b/k", b"\xff\xfe\x00\x01\x02").text
    assert 200 == len(_request("s3", "PUT", "/b/k", b"a" * 1000).text)
    assert "" == _request("s3", "GET", "/b/k").text

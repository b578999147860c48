"""Packages in S3, from which functions and layers are made.

https://docs.aws.amazon.com/lambda/latest/api/API_FunctionCode.html
"""

import re
from http import HTTPStatus
from urllib.parse import quote, urlencode, urlsplit

from harness.gateway import limits
from harness.gateway.connection import HttpAnswer, HttpConnection
from harness.gateway.errors import LambdaApiError, invalid_parameter, unzipped_too_large
from harness.guard import authorization

# A package may have 250 MB.
_ANSWERS_WITHIN_S = 60.0
_CODE = re.compile(rb"<Code>(.*?)</Code>", re.DOTALL)
_MESSAGE = re.compile(rb"<Message>(.*?)</Message>", re.DOTALL)
_LOCATION = re.compile(rb"<LocationConstraint[^>]*>([^<]+)<")
# https://docs.aws.amazon.com/AmazonS3/latest/API/API_GetBucketLocation.html
_OLD_NAMES = {"EU": "eu-west-1"}


class S3Objects:
    """Reads objects.

    Args:
        endpoint: Address of S3.
        access_key: The stack's own access key.
    """

    def __init__(self, endpoint: str, access_key: str) -> None:
        self._address = urlsplit(endpoint).netloc
        # As for the logs: the signature is not checked, and boto3 would cost the gateway 20 MB.
        self._headers = authorization(access_key, "s3")

    async def read(self, bucket: str, key: str, version: str | None = None) -> bytes:
        """Return an object.

        Args:
            bucket: Name of the bucket, which must be in this region.
            key: The object's key.
            version: One version of the object; None for the newest.

        Raises:
            LambdaApiError: S3 has no such object or does not answer, or the object is larger than any package.
        """
        path = f"/{quote(bucket)}/{quote(key)}" + (f"?{urlencode({'versionId': version})}" if version else "")
        # What is larger than any package is not read to its end.
        span = {"Range": f"bytes=0-{limits.UNZIPPED_BYTES}"}
        connection = HttpConnection(self._address)
        try:
            location = await connection.get(f"/{quote(bucket)}?location", self._headers, _ANSWERS_WITHIN_S)
            _check(location)
            _check_region(location)
            answer = await connection.get(path, self._headers | span, _ANSWERS_WITHIN_S)
        except (OSError, TimeoutError) as error:
            raise LambdaApiError("ServiceException", 502, f"S3 does not answer: {error}") from error
        finally:
            connection.close()
        if answer.status == HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE:  # the object is empty
            return b""
        _check(answer)
        if len(answer.body) > limits.UNZIPPED_BYTES:
            raise unzipped_too_large()
        return answer.body


def _check(answer: HttpAnswer) -> None:
    if answer.status not in (HTTPStatus.OK, HTTPStatus.PARTIAL_CONTENT):
        raise _refusal(_found(_CODE, answer.body), _found(_MESSAGE, answer.body))


def _check_region(location: HttpAnswer) -> None:
    found = _LOCATION.search(location.body)
    region = found[1].decode(errors="replace") if found else limits.REGION
    region = _OLD_NAMES.get(region, region)
    if region != limits.REGION:
        raise _refusal(
            "PermanentRedirect",
            f"The bucket is in this region: {region}. Please use this region to retry the request",
        )


def _refusal(code: str, message: str) -> LambdaApiError:
    return invalid_parameter(f"Error occurred while GetObject. S3 Error Code: {code}. S3 Error Message: {message}")


def _found(pattern: re.Pattern[bytes], body: bytes) -> str:
    found = pattern.search(body)
    return (found[1] if found else body[:200]).decode(errors="replace")

"""The source of a function's code: https://docs.aws.amazon.com/lambda/latest/api/API_FunctionCode.html."""

from harness.gateway.errors import invalid_parameter
from harness.gateway.requests import FunctionCode
from harness.gateway.services import Services


def check_source(code: FunctionCode) -> None:
    """Refuse a source that names no code, or code in two places.

    Raises:
        LambdaApiError: There is not exactly one of a package, an object in S3 and an image.
    """
    in_s3 = code.s3_bucket or code.s3_key or code.s3_object_version
    if code.zip_file is not None and (in_s3 or code.image_uri):
        raise invalid_parameter("Please do not provide other FunctionCode parameters when providing a ZipFile.")
    if in_s3 and code.image_uri:
        raise invalid_parameter("Please provide either an object in S3 or an image as the function code.")
    if not (code.zip_file is not None or (code.s3_bucket and code.s3_key) or code.image_uri):
        raise invalid_parameter("Please provide a source for function code.")


async def fetched(code: FunctionCode, services: Services) -> bytes | None:
    """Return the package that is an object in S3; None if the code is elsewhere.

    Raises:
        LambdaApiError: S3 refuses, in AWS's words.
    """
    if not code.s3_bucket or not code.s3_key:
        return None
    return await services.s3.read(code.s3_bucket, code.s3_key, code.s3_object_version)

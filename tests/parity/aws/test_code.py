"""The code of functions: https://docs.aws.amazon.com/lambda/latest/api/API_FunctionCode.html."""

import base64
import hashlib
import urllib.request
import uuid
import zipfile
from io import BytesIO

import pytest

from tests.parity.aws.support import answer_of, archive, refusal

ANSWERS = "def handler(event, context):\n    return '{}'\n"


@pytest.fixture(scope="module")
def bucket(aws):
    """Return a client of S3 and the name of a bucket."""
    s3, name = aws("s3"), f"parity-{uuid.uuid4().hex[:12]}"
    s3.create_bucket(Bucket=name)
    s3.put_bucket_versioning(Bucket=name, VersioningConfiguration={"Status": "Enabled"})
    yield s3, name
    for one in s3.list_object_versions(Bucket=name).get("Versions", ()):
        s3.delete_object(Bucket=name, Key=one["Key"], VersionId=one["VersionId"])
    s3.delete_bucket(Bucket=name)


def creation(name, role, **changes):
    """Return the arguments of CreateFunction."""
    return {
        "FunctionName": name,
        "Runtime": "python3.11",
        "Handler": "app.handler",
        "Role": role,
        "Code": {"ZipFile": archive(ANSWERS.format("anything"))},
    } | changes


def test_the_package_that_was_sent_can_be_downloaded(functions, create):
    """Without credentials, from the location that GetFunction returns; its size and digest are shown."""
    name = create()
    sent = archive(ANSWERS.format("sent"))
    functions.update_function_code(FunctionName=name, ZipFile=sent)
    functions.get_waiter("function_updated_v2").wait(FunctionName=name)

    found = functions.get_function(FunctionName=name)

    with urllib.request.urlopen(found["Code"]["Location"]) as answer:
        assert answer.read() == sent
    assert found["Code"]["RepositoryType"] == "S3"
    assert found["Configuration"]["CodeSize"] == len(sent)
    assert found["Configuration"]["CodeSha256"] == base64.b64encode(hashlib.sha256(sent).digest()).decode()


def test_code_comes_from_s3(functions, create, bucket):
    """When the function is created, and when it is updated; a version of the object may be named."""
    s3, name = bucket
    key = "code/a package.zip"
    versions = {
        text: s3.put_object(Bucket=name, Key=key, Body=archive(ANSWERS.format(text)))["VersionId"]
        for text in ("first", "second")
    }

    function = create(Code={"S3Bucket": name, "S3Key": key})
    newest = answer_of(functions.invoke(FunctionName=function))
    functions.update_function_code(FunctionName=function, S3Bucket=name, S3Key=key, S3ObjectVersion=versions["first"])
    functions.get_waiter("function_updated_v2").wait(FunctionName=function)

    assert newest == "second"
    assert answer_of(functions.invoke(FunctionName=function)) == "first"


def test_code_that_is_not_in_s3_is_refused_in_the_words_of_s3(functions, create, role, bucket):
    """A bucket that does not exist, and a key that does not."""
    _, name = bucket
    function = create()
    nowhere = {"S3Bucket": f"nobody-{uuid.uuid4().hex}", "S3Key": "a.zip"}
    words = "Error occurred while GetObject. S3 Error Code: {}. S3 Error Message: {}"
    no_bucket = words.format("NoSuchBucket", "The specified bucket does not exist")
    no_key = words.format("NoSuchKey", "The specified key does not exist.")

    for code, message in ((nowhere, no_bucket), ({"S3Bucket": name, "S3Key": "none.zip"}, no_key)):
        expected = ("InvalidParameterValueException", 400, message)
        assert refusal(functions.create_function, **creation("parity-none", role, Code=code)) == expected
        assert refusal(functions.update_function_code, FunctionName=function, **code) == expected


def test_a_bucket_of_another_region_is_refused(functions, aws, role):
    """AWS names the region."""
    region = "eu-west-1" if functions.meta.region_name != "eu-west-1" else "us-west-2"
    s3, name = aws("s3", region_name=region), f"parity-{uuid.uuid4().hex[:12]}"
    s3.create_bucket(Bucket=name, CreateBucketConfiguration={"LocationConstraint": region})
    try:
        s3.put_object(Bucket=name, Key="a.zip", Body=archive(ANSWERS.format("far")))
        code = {"S3Bucket": name, "S3Key": "a.zip"}

        refused = refusal(functions.create_function, **creation("parity-none", role, Code=code))
    finally:
        s3.delete_object(Bucket=name, Key="a.zip")
        s3.delete_bucket(Bucket=name)

    assert refused == (
        "InvalidParameterValueException",
        400,
        (
            "Error occurred while GetObject. S3 Error Code: PermanentRedirect. S3 Error Message: The bucket is in this "
            f"region: {region}. Please use this region to retry the request"
        ),
    )


def test_what_is_no_zip_is_refused(functions, role):
    """The message is the same for every damage."""
    assert refusal(functions.create_function, **creation("parity-none", role, Code={"ZipFile": b"not a zip"})) == (
        "InvalidParameterValueException",
        400,
        "Could not unzip uploaded file. Please check your file, then try to upload again.",
    )


def test_code_has_exactly_one_source(functions, create, role):
    """Neither none nor two; a function of a package gets no image."""
    invalid = "InvalidParameterValueException"
    both = {"ZipFile": archive(ANSWERS.format("x")), "S3Bucket": "a-bucket", "S3Key": "a.zip"}

    assert refusal(functions.create_function, **creation("parity-none", role, Code={})) == (
        invalid,
        400,
        "Please provide a source for function code.",
    )
    assert refusal(functions.create_function, **creation("parity-none", role, Code=both)) == (
        invalid,
        400,
        "Please do not provide other FunctionCode parameters when providing a ZipFile.",
    )
    image = "123456789012.dkr.ecr.us-east-1.amazonaws.com/image:latest"
    assert refusal(functions.update_function_code, FunctionName=create(), ImageUri=image) == (
        invalid,
        400,
        "Please don't provide ImageUri when updating a function with packageType Zip.",
    )


@pytest.mark.slow
def test_a_package_of_50_mb_is_too_large(functions, role):
    """Measured as it is sent; from S3, only the unpacked size counts."""
    buffer = BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_STORED) as package:
        package.writestr("app.py", b"#" * 52_428_800)

    assert refusal(functions.create_function, **creation("parity-none", role, Code={"ZipFile": buffer.getvalue()})) == (
        "RequestEntityTooLargeException",
        413,
        "Zipped size must be smaller than 52428800 bytes",
    )


@pytest.mark.slow
def test_an_unpacked_package_of_250_mb_is_too_large(functions, role, bucket):
    """Whatever its size in S3."""
    s3, name = bucket
    buffer = BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as package:
        package.writestr("app.py", b"#" * 262_144_000)
    s3.put_object(Bucket=name, Key="large.zip", Body=buffer.getvalue())

    code = {"S3Bucket": name, "S3Key": "large.zip"}
    assert refusal(functions.create_function, **creation("parity-none", role, Code=code)) == (
        "InvalidParameterValueException",
        400,
        "Unzipped size must be smaller than 262144000 bytes",
    )


def test_a_dry_run_changes_nothing(functions, create):
    """It answers with the digest that the code would have."""
    name = create(ANSWERS.format("old"))
    new = archive(ANSWERS.format("new"))

    answer = functions.update_function_code(FunctionName=name, ZipFile=new, DryRun=True)

    assert answer["CodeSha256"] == base64.b64encode(hashlib.sha256(new).digest()).decode()
    assert functions.get_function_configuration(FunctionName=name)["CodeSha256"] != answer["CodeSha256"]
    assert answer_of(functions.invoke(FunctionName=name)) == "old"

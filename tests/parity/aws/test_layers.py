"""Layers: published, listed, deleted and named by functions; what functions find of them below /opt."""

import hashlib
import io
import json
import urllib.error
import urllib.request
import uuid
import zipfile
from base64 import b64encode
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.parity.aws.support import answer_of, archive, refusal

# What a function says of its layers.
TELLS = """
import os, subprocess, sys

def handler(event, context):
    import alpha
    opt = alpha.__file__.partition("/python/")[0]
    return {
        "value": alpha.VALUE,
        "file": alpha.__file__,
        "path": sys.path,
        "PATH": os.environ["PATH"].split(":"),
        "LD_LIBRARY_PATH": os.environ["LD_LIBRARY_PATH"].split(":"),
        "program": subprocess.run(["greet"], capture_output=True, text=True).stdout.strip(),
        "top": sorted(os.listdir(opt)),
        "lib": sorted(os.listdir(f"{opt}/lib")) if os.path.isdir(f"{opt}/lib") else [],
    }
"""


def zipped(files: dict[str, str | bytes]) -> bytes:
    """Return an archive with files, which are all programs."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as package:
        for name, content in files.items():
            information = zipfile.ZipInfo(name)
            information.external_attr = 0o755 << 16
            package.writestr(information, content, zipfile.ZIP_DEFLATED)
    return buffer.getvalue()


def module(value: int) -> bytes:
    """Return a layer with the module `alpha`."""
    return zipped({"python/alpha.py": f"VALUE = {value}\n"})


ONE = module(1)


def sparse(size: int) -> bytes:
    """Return an archive that unpacks to a number of bytes."""
    return zipped({"zeros": bytes(size)})


@pytest.fixture
def layer_name() -> str:
    """A name that no layer has."""
    return f"parity-{uuid.uuid4().hex[:12]}"


@pytest.fixture
def publish(functions: Any) -> Iterator[Callable[..., dict[str, Any]]]:
    """Publishes a version of a layer, and returns the answer; it is deleted at the end."""
    published = []

    def publish_layer(name: str, content: bytes = ONE, **others: Any) -> dict[str, Any]:
        answer: dict[str, Any] = functions.publish_layer_version(
            LayerName=name, **{"Content": {"ZipFile": content}, **others}
        )
        published.append((name, answer["Version"]))
        return answer

    yield publish_layer
    for name, version in published:
        functions.delete_layer_version(LayerName=name, VersionNumber=version)


Publish = Callable[..., dict[str, Any]]
Create = Callable[..., str]


def test_a_published_version_is_shown_with_what_was_given(functions: Any, publish: Publish, layer_name: str) -> None:
    """What was never given is absent; an empty list is not."""
    bare = publish(layer_name)
    told = publish(
        layer_name, CompatibleRuntimes=["python3.11"], CompatibleArchitectures=[], LicenseInfo="MIT", Description="d"
    )
    assert (bare["Version"], told["Version"]) == (1, 2)
    assert not {"CompatibleRuntimes", "CompatibleArchitectures", "LicenseInfo"} & bare.keys()
    assert bare["Description"] == ""
    assert bare["LayerVersionArn"] == f"{bare['LayerArn']}:1"
    got = functions.get_layer_version(LayerName=layer_name, VersionNumber=2)
    by_arn = functions.get_layer_version_by_arn(Arn=told["LayerVersionArn"])
    for answer in (told, got, by_arn):
        assert answer["CompatibleRuntimes"] == ["python3.11"]
        assert answer["CompatibleArchitectures"] == []
        assert (answer["LicenseInfo"], answer["Description"]) == ("MIT", "d")
        assert answer["Content"]["CodeSha256"] == b64encode(hashlib.sha256(ONE).digest()).decode()
        assert answer["Content"]["CodeSize"] == len(ONE)


def test_the_archive_of_a_version_can_be_downloaded(functions: Any, publish: Publish, layer_name: str) -> None:
    """`Content.Location` needs no credentials, and leads to nothing when it was changed."""
    location = publish(layer_name)["Content"]["Location"]
    assert urllib.request.urlopen(location).read() == ONE
    again = functions.get_layer_version(LayerName=layer_name, VersionNumber=1)["Content"]["Location"]
    assert urllib.request.urlopen(again).read() == ONE
    with pytest.raises(urllib.error.HTTPError):
        urllib.request.urlopen(location.replace("Signature=", "Signature=0"))


def test_a_layer_comes_from_s3(aws: Any, functions: Any, publish: Publish, layer_name: str) -> None:
    """An object in S3 is published as one in the request is; one that is not there is refused."""
    s3, bucket = aws("s3"), f"parity-{uuid.uuid4().hex}"
    s3.create_bucket(Bucket=bucket)
    s3.put_object(Bucket=bucket, Key="a layer+.zip", Body=module(3))
    try:
        answer = publish(layer_name, Content={"S3Bucket": bucket, "S3Key": "a layer+.zip"})
        assert answer["Content"]["CodeSize"] == len(module(3))
        code, status, message = refusal(
            functions.publish_layer_version, LayerName=layer_name, Content={"S3Bucket": bucket, "S3Key": "none"}
        )
        assert (code, status) == ("InvalidParameterValueException", 400)
        assert message.startswith("Error occurred while GetObject. S3 Error Code: NoSuchKey. S3 Error Message: ")
    finally:
        s3.delete_object(Bucket=bucket, Key="a layer+.zip")
        s3.delete_bucket(Bucket=bucket)


def test_versions_count_on_after_all_were_deleted(functions: Any, publish: Publish, layer_name: str) -> None:
    """A number is never given twice; deleting what is not there succeeds."""
    publish(layer_name)
    publish(layer_name)
    for number in (1, 2, 2, 7):
        functions.delete_layer_version(LayerName=layer_name, VersionNumber=number)
    assert functions.list_layer_versions(LayerName=layer_name)["LayerVersions"] == []
    assert publish(layer_name)["Version"] == 3


def test_layers_are_listed_with_their_newest_fitting_version(functions: Any, publish: Publish, layer_name: str) -> None:
    """Filters choose the version that a layer is listed with."""
    publish(layer_name, CompatibleRuntimes=["python3.11"], CompatibleArchitectures=["x86_64"])
    publish(layer_name, CompatibleRuntimes=["python3.12"])

    def listed(**filters: str) -> list[int]:
        pages = functions.get_paginator("list_layers").paginate(**filters)
        layers = [layer for page in pages for layer in page["Layers"] if layer["LayerName"] == layer_name]
        return [layer["LatestMatchingVersion"]["Version"] for layer in layers]

    assert listed() == [2]
    assert listed(CompatibleRuntime="python3.11") == [1]
    assert listed(CompatibleRuntime="python3.11", CompatibleArchitecture="x86_64") == [1]
    assert listed(CompatibleRuntime="python3.12", CompatibleArchitecture="x86_64") == []


def test_versions_are_listed_the_newest_first_in_pages(functions: Any, publish: Publish, layer_name: str) -> None:
    """`MaxItems` limits a page, and `NextMarker` leads to the next one."""
    for _ in range(3):
        publish(layer_name, CompatibleRuntimes=["python3.11"])
    first = functions.list_layer_versions(LayerName=layer_name, MaxItems=2)
    rest = functions.list_layer_versions(LayerName=layer_name, MaxItems=2, Marker=first["NextMarker"])
    assert [version["Version"] for version in first["LayerVersions"]] == [3, 2]
    assert [version["Version"] for version in rest["LayerVersions"]] == [1]
    assert "NextMarker" not in rest
    assert "Content" not in first["LayerVersions"][0]
    other = functions.list_layer_versions(LayerName=layer_name, CompatibleRuntime="python3.13")
    assert other["LayerVersions"] == []


def test_absent_versions_and_wrong_numbers_are_refused(functions: Any, publish: Publish, layer_name: str) -> None:
    """A version that is not there is a 404, a number below 1 is a 400."""
    arn = publish(layer_name)["LayerArn"]
    absent = ("ResourceNotFoundException", 404, "The resource you requested does not exist.")
    assert refusal(functions.get_layer_version, LayerName=layer_name, VersionNumber=2) == absent
    assert refusal(functions.get_layer_version, LayerName=f"{layer_name}x", VersionNumber=1) == absent
    assert refusal(functions.get_layer_version_by_arn, Arn=f"{arn}:2") == absent
    below = ("InvalidParameterValueException", 400, "Layer Version Cannot be less than 1")
    for number in (0, -1):
        assert refusal(functions.get_layer_version, LayerName=layer_name, VersionNumber=number) == below
        assert refusal(functions.delete_layer_version, LayerName=layer_name, VersionNumber=number) == below
    code, _, message = refusal(functions.get_layer_version_by_arn, Arn=arn)
    assert code == "ValidationException"
    assert message.startswith(f"1 validation error detected: Value '{arn}' at 'arn' failed to satisfy constraint: ")


def test_runtimes_that_never_were_are_refused(functions: Any, layer_name: str) -> None:
    """A list of runtimes is refused as a whole, in the words of AWS's own check."""
    code, status, message = refusal(
        functions.publish_layer_version,
        LayerName=layer_name,
        Content={"ZipFile": ONE},
        CompatibleRuntimes=["python3.11", "none"],
        CompatibleArchitectures=["none"],
    )
    assert (code, status) == ("ValidationException", 400)
    assert message.startswith(
        "2 validation errors detected: Value '[python3.11, none]' at 'compatibleRuntimes' failed to satisfy "
        "constraint: Member must satisfy enum value set: ["
    )
    assert "Value '[none]' at 'compatibleArchitectures' failed to satisfy constraint: " in message
    code, _, message = refusal(functions.list_layers, CompatibleRuntime="none")
    assert code == "ValidationException"
    assert "Value 'none' at 'compatibleRuntime' failed" in message


def test_archives_that_are_none_or_too_large_are_refused(functions: Any, layer_name: str) -> None:
    """A layer is unpacked when it is published."""
    code, status, message = refusal(
        functions.publish_layer_version, LayerName=layer_name, Content={"ZipFile": b"no archive"}
    )
    assert (code, status) == ("InvalidParameterValueException", 400)
    assert message.startswith("Could not unzip uploaded file.")
    code, status, message = refusal(
        functions.publish_layer_version, LayerName=layer_name, Content={"ZipFile": sparse(262_144_000)}
    )
    assert (code, status) == ("InvalidParameterValueException", 400)
    assert message == "Unzipped size must be smaller than 262144000 bytes"
    assert functions.list_layer_versions(LayerName=layer_name)["LayerVersions"] == []


def test_a_function_finds_its_layers_below_opt(
    functions: Any, create: Create, publish: Publish, layer_name: str
) -> None:
    """Modules, programs and other files of all layers are found; of a file in two layers, the last one's."""
    first = publish(
        layer_name,
        zipped({"python/alpha.py": "VALUE = 1\n", "bin/greet": "#!/bin/sh\necho hello\n", "lib/one": "", "one": ""}),
    )
    second = publish(f"{layer_name}-2", zipped({"python/alpha.py": "VALUE = 2\n", "lib/two": "", "two": ""}))
    layers = [first["LayerVersionArn"], second["LayerVersionArn"]]
    there = create(TELLS, Layers=layers)
    assert functions.get_function_configuration(FunctionName=there)["Layers"] == [
        {"Arn": one["LayerVersionArn"], "CodeSize": one["Content"]["CodeSize"]} for one in (first, second)
    ]
    seen = answer_of(functions.invoke(FunctionName=there))
    assert (seen["value"], seen["program"]) == (2, "hello")
    assert seen["top"] == ["bin", "lib", "one", "python", "two"]
    assert seen["lib"] == ["one", "two"]
    back = create(TELLS, Layers=layers[::-1])
    assert answer_of(functions.invoke(FunctionName=back))["value"] == 1


@pytest.mark.usefixtures("isolated")
def test_layers_lie_at_opt_behind_the_package(
    functions: Any, create: Create, publish: Publish, layer_name: str
) -> None:
    """`sys.path`, `PATH` and `LD_LIBRARY_PATH` have the folders of AWS's documentation."""
    site = "python/lib/python3.11/site-packages/alpha.py"
    arn = publish(
        layer_name, zipped({site: "VALUE = 3\n", "python/alpha.py": "VALUE = 2\n", "bin/greet": "#!/bin/sh\n"})
    )
    seen = answer_of(functions.invoke(FunctionName=create(TELLS, Layers=[arn["LayerVersionArn"]])))
    assert (seen["value"], seen["file"]) == (3, f"/opt/{site}")
    assert seen["path"][:3] == ["/var/task", "/opt/python/lib/python3.11/site-packages", "/opt/python"]
    assert "/opt/bin" in seen["PATH"]
    assert "/opt/lib" in seen["LD_LIBRARY_PATH"]


def test_the_package_comes_before_the_layers(functions: Any, create: Create, publish: Publish, layer_name: str) -> None:
    """A module of the package hides one of a layer."""
    arn = publish(layer_name)["LayerVersionArn"]
    source = "import alpha\ndef handler(event, context):\n    return alpha.VALUE\n"
    packaged = archive(source, **{"alpha.py": "VALUE = 'package'\n"})
    assert answer_of(functions.invoke(FunctionName=create(Code={"ZipFile": packaged}, Layers=[arn]))) == "package"
    assert answer_of(functions.invoke(FunctionName=create(source, Layers=[arn]))) == 1


def test_an_update_exchanges_the_layers(functions: Any, create: Create, publish: Publish, layer_name: str) -> None:
    """The next invocation finds the new layers, a published version keeps its own, and an empty list removes them."""
    one, two = publish(layer_name), publish(layer_name, module(2))
    source = "import alpha\ndef handler(event, context):\n    return alpha.VALUE\n"
    name = create(source, Layers=[one["LayerVersionArn"]])
    assert answer_of(functions.invoke(FunctionName=name)) == 1
    functions.publish_version(FunctionName=name)
    updated = functions.update_function_configuration(FunctionName=name, Layers=[two["LayerVersionArn"]])
    assert [layer["Arn"] for layer in updated["Layers"]] == [two["LayerVersionArn"]]
    functions.get_waiter("function_updated_v2").wait(FunctionName=name)
    assert answer_of(functions.invoke(FunctionName=name)) == 2
    assert answer_of(functions.invoke(FunctionName=name, Qualifier="1")) == 1
    kept = functions.update_function_configuration(FunctionName=name, Description="other")
    assert [layer["Arn"] for layer in kept["Layers"]] == [two["LayerVersionArn"]]
    functions.get_waiter("function_updated_v2").wait(FunctionName=name)
    assert "Layers" not in functions.update_function_configuration(FunctionName=name, Layers=[])
    functions.get_waiter("function_updated_v2").wait(FunctionName=name)
    without = functions.invoke(FunctionName=name)
    assert without["FunctionError"] == "Unhandled"
    assert answer_of(without)["errorType"] == "Runtime.ImportModuleError"


def test_a_function_keeps_a_layer_that_was_deleted(
    functions: Any, create: Create, publish: Publish, layer_name: str
) -> None:
    """New environments find it, too; another function cannot have it any more."""
    arn = publish(layer_name)["LayerVersionArn"]
    name = create("import alpha\ndef handler(event, context):\n    return alpha.VALUE\n", Layers=[arn])
    functions.delete_layer_version(LayerName=layer_name, VersionNumber=1)
    assert answer_of(functions.invoke(FunctionName=name)) == 1
    functions.update_function_configuration(FunctionName=name, MemorySize=256)
    functions.get_waiter("function_updated_v2").wait(FunctionName=name)
    assert answer_of(functions.invoke(FunctionName=name)) == 1
    assert functions.get_function_configuration(FunctionName=name)["Layers"][0]["Arn"] == arn
    assert refusal(functions.update_function_configuration, FunctionName=create(), Layers=[arn]) == (
        "InvalidParameterValueException",
        400,
        f"Layer version {arn} does not exist.",
    )


def test_layers_that_a_function_cannot_have_are_refused(
    functions: Any, create: Create, publish: Publish, layer_name: str
) -> None:
    """At most five, of one region, each once, and only those that exist; the function stays as it is."""
    one, two = (publish(layer_name)["LayerVersionArn"] for _ in range(2))
    name, layer = create(), one.rpartition(":")[0]

    def refused(*layers: str) -> str:
        code, status, message = refusal(functions.update_function_configuration, FunctionName=name, Layers=list(layers))
        assert (code, status) == ("InvalidParameterValueException", 400)
        return message

    for pair in ((one, two), (one, one)):
        assert refused(*pair) == (
            "Two different versions of the same layer are not allowed to be referenced in the same function. "
            f"{pair[0]} and {pair[1]} are versions of the same layer."
        )
    assert refused(f"{layer}:9") == f"Layer version {layer}:9 does not exist."
    assert refused(f"{layer}x:1") == f"Layer version {layer}x:1 does not exist."
    others = [publish(f"{layer_name}-{number}")["LayerVersionArn"] for number in range(6)]
    assert refused(*others) == "Cannot reference more than 5 layers."
    region = one.split(":")[3]
    assert refused(one.replace(region, "sa-east-1")) == (
        f"Layers are not in the same region as the function. Layers are expected to be in region {region}."
    )
    code, _, message = refusal(functions.update_function_configuration, FunctionName=name, Layers=[layer])
    assert code == "ValidationException"
    assert message.startswith(
        f"1 validation error detected: Value '[{layer}]' at 'layers' failed to satisfy constraint: Member must satisfy "
        "constraint: [Member must have length less than or equal to 2048, "
    )
    assert "Layers" not in functions.get_function_configuration(FunctionName=name)


def test_code_and_layers_have_a_common_limit(
    functions: Any, role: str, create: Create, publish: Publish, layer_name: str
) -> None:
    """Unpacked, they may have 250 MB together."""
    half = [publish(f"{layer_name}-{number}", sparse(131_072_000))["LayerVersionArn"] for number in range(2)]
    code, status, message = refusal(
        functions.create_function,
        FunctionName=layer_name,
        Runtime="python3.11",
        Handler="app.handler",
        Role=role,
        Code={"ZipFile": archive("")},
        Layers=half,
    )
    assert (code, status) == ("InvalidParameterValueException", 400)
    assert message == "Layers consume more than the available size of 262144000 bytes"
    name = create(Code={"ZipFile": sparse(131_072_000)})
    code, status, message = refusal(functions.update_function_configuration, FunctionName=name, Layers=half[:1])
    assert (code, status) == ("InvalidParameterValueException", 400)
    assert message == (
        "Function code combined with layers exceeds the maximum allowed size of 262144000 bytes. "
        "The actual size is 262144000 bytes."
    )


def test_the_policy_of_a_version_is_kept(functions: Any, publish: Publish, layer_name: str) -> None:
    """Statements are added and removed under revisions, and shown as one policy."""
    arn = publish(layer_name)["LayerVersionArn"]
    version = {"LayerName": layer_name, "VersionNumber": 1}
    permission = {**version, "Action": "lambda:GetLayerVersion", "Principal": "*"}
    none = ("ResourceNotFoundException", 404, "No policy is associated with the given resource.")
    assert refusal(functions.get_layer_version_policy, **version) == none
    added = functions.add_layer_version_permission(**permission, StatementId="s1")
    statement = {
        "Sid": "s1",
        "Effect": "Allow",
        "Principal": "*",
        "Action": "lambda:GetLayerVersion",
        "Resource": arn,
    }
    assert json.loads(added["Statement"]) == statement
    policy = functions.get_layer_version_policy(**version)
    assert policy["RevisionId"] == added["RevisionId"]
    assert json.loads(policy["Policy"]) == {"Version": "2012-10-17", "Id": "default", "Statement": [statement]}
    code, status, message = refusal(functions.add_layer_version_permission, **permission, StatementId="s1")
    assert (code, status) == ("ResourceConflictException", 409)
    assert message.startswith("The statement id (s1) provided already exists.")
    code, status, _ = refusal(
        functions.add_layer_version_permission, **permission, StatementId="s2", RevisionId="another"
    )
    assert (code, status) == ("PreconditionFailedException", 412)
    assert refusal(functions.remove_layer_version_permission, **version, StatementId="s3") == (
        "ResourceNotFoundException",
        404,
        "Statement s3 is not found in resource policy.",
    )
    functions.remove_layer_version_permission(**version, StatementId="s1", RevisionId=added["RevisionId"])
    assert refusal(functions.get_layer_version_policy, **version) == none
    absent = f"Layer version {arn.rpartition(':')[0]}:2 does not exist."
    assert refusal(functions.get_layer_version_policy, LayerName=layer_name, VersionNumber=2) == (
        "ResourceNotFoundException",
        404,
        absent,
    )

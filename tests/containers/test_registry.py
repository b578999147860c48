"""The registry of a stack in containers: what is pushed there are the images of ECR, and functions run from them."""

import json
import uuid

import pytest
from botocore.exceptions import ClientError
from docker.errors import ImageNotFound

from harness.aws.clients import clients_for, emulation_session
from harness.cli._stack_text import describe
from harness.stack import start_private_stack
from tests.support.functions import ROLE, handlers_image, remove_image

REPOSITORY = "rehearsal/functions"


@pytest.fixture(scope="module")
def stack(settings, engine):  # noqa: ARG001 - skips where there is no engine
    """A stack with a registry."""
    with start_private_stack(settings, s3="moto", mode="container", registry=True, log=print) as state:
        yield state


@pytest.fixture(scope="module")
def ecr(stack):
    """The client."""
    return emulation_session(stack.endpoints).client("ecr", endpoint_url=stack.endpoints.aws)


@pytest.fixture(scope="module")
def digest(stack, engine, ecr, tmp_path_factory):
    """The registry's digest of an image of all handlers, which the engine itself no longer has."""
    ecr.create_repository(repositoryName=REPOSITORY)
    local = f"{stack.endpoints.registry}/{REPOSITORY}"
    with handlers_image(tmp_path_factory.mktemp("image")) as image:
        engine.images.get(image).tag(local, "v1")
        pushed = list(engine.api.push(local, tag="v1", stream=True, decode=True))
        engine.images.remove(f"{local}:v1")
    assert not [message for message in pushed if "error" in message]
    with pytest.raises(ImageNotFound):
        engine.images.get(image)
    yield next(message["aux"]["Digest"] for message in pushed if "aux" in message)
    remove_image(engine, image)  # it is here only when a function ran from it


def test_a_pushed_image_lies_in_its_repository(ecr, digest):
    """ECR lists it with the registry's digest and tag, and keeps the repository for as long as it is there."""
    (image,) = ecr.describe_images(repositoryName=REPOSITORY)["imageDetails"]

    with pytest.raises(ecr.exceptions.RepositoryNotEmptyException):
        ecr.delete_repository(repositoryName=REPOSITORY)
    assert (digest, ["v1"]) == (image["imageDigest"], image["imageTags"])
    # The layers' compressed size, which is paid for.
    assert 20 << 20 < image["imageSizeInBytes"] < 200 << 20


def test_a_function_runs_from_an_image_of_ecr(stack, digest):
    """By the URI that AWS knows it by, and by its digest, although the engine has never heard of that registry."""
    functions = clients_for(stack.endpoints).functions
    name = f"echo-{uuid.uuid4().hex[:8]}"
    uri = f"123456789012.dkr.ecr.us-east-1.amazonaws.com/{REPOSITORY}@{digest}"

    created = functions.create_function(
        FunctionName=name,
        Role=ROLE,
        PackageType="Image",
        Code={"ImageUri": uri},
        ImageConfig={"Command": ["echo.handler"]},
        MemorySize=512,
        Timeout=30,
    )
    answer = json.loads(functions.invoke(FunctionName=name, Payload=b'{"a": 1}')["Payload"].read())
    code = functions.get_function(FunctionName=name)["Code"]
    functions.delete_function(FunctionName=name)

    assert {"a": 1} == answer["event"]
    assert digest.removeprefix("sha256:") == created["CodeSha256"]
    assert (uri, uri) == (code["ImageUri"], code["ResolvedImageUri"])


def test_the_registry_is_shown_with_the_stack(stack):
    """`harness status` tells where it listens."""
    (line,) = [line.plain for line in describe(stack, dead=[]) if line.plain.split()[0] == "registry"]

    assert stack.endpoints.registry in line


@pytest.mark.usefixtures("digest")
def test_an_image_that_is_not_there_is_refused(stack):
    """In AWS's words, which name the URI that was asked for."""
    functions = clients_for(stack.endpoints).functions
    uri = f"123456789012.dkr.ecr.us-east-1.amazonaws.com/{REPOSITORY}@sha256:{'0' * 64}"

    with pytest.raises(ClientError, match=f"Source image {uri} does not exist"):
        functions.create_function(FunctionName="none", Role=ROLE, PackageType="Image", Code={"ImageUri": uri})


def test_what_is_deleted_from_ecr_is_gone_from_the_registry(ecr, digest):
    """Afterwards the repository can be deleted, too. The last test: it takes away what the others need."""
    answer = ecr.batch_delete_image(repositoryName=REPOSITORY, imageIds=[{"imageDigest": digest}])

    assert [] == answer["failures"]
    assert [] == ecr.describe_images(repositoryName=REPOSITORY)["imageDetails"]
    ecr.delete_repository(repositoryName=REPOSITORY)

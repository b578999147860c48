"""Time to an image's first response in a container: through the gateway, and with plain `docker run`."""

import tempfile
import urllib.request
import uuid
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path

import docker
from docker.errors import APIError

from benchmarks.figure import BenchmarkError, Figure
from benchmarks.stage import Stage, stage
from benchmarks.turns import in_turns
from harness.images.build import find_base
from harness.system.engine import EngineUnavailable, connect
from harness.system.probes import wait_until
from harness.system.process_identity import free_port

NAME, REPETITIONS = "no_op", 5
HANDLER = "def handler(event, context):\n    return event\n"
LIMIT_S = 30.0
ENGINE_ANSWERS_WITHIN_S = 10.0
IMAGES_PORT = "8080/tcp"


def containers() -> Iterator[Figure]:
    """Measure the time from nothing to the first response."""
    what = "first answer of an image, from CreateFunction on"
    floor_name = "docker run of the image, one request"
    try:
        engine = connect(ENGINE_ANSWERS_WITHIN_S)
    except EngineUnavailable:
        yield Figure(name=what, unit="s", floor_name=floor_name, not_measured="no Docker engine answers")
        return
    with closing(engine), _image(engine) as image, stage(mode="container") as own:
        floor, ours = in_turns(REPETITIONS, lambda: _by_docker(engine, image), lambda: _by_gateway(own, image))
    yield Figure(name=what, unit="s", floor_name=floor_name, floor=floor, ours=ours)


@contextmanager
def _image(engine: docker.DockerClient) -> Iterator[str]:
    """Yield the ID of an image with the handler on our base; remove it afterwards."""
    tag = f"bench-{uuid.uuid4().hex[:8]}"
    with tempfile.TemporaryDirectory(prefix="bench-image-") as folder:
        (Path(folder) / f"{NAME}.py").write_text(HANDLER)
        recipe = f'FROM {find_base(engine, None).image_id}\nCOPY {NAME}.py /var/task/\nCMD ["{NAME}.handler"]\n'
        (Path(folder) / "Dockerfile").write_text(recipe)
        image, _ = engine.images.build(path=folder, rm=True, tag=tag)
    try:
        yield str(image.id)
    finally:
        # The container of a function that was just deleted may still be stopping.
        wait_until(lambda: _removed(engine, tag), LIMIT_S)


def _removed(engine: docker.DockerClient, tag: str) -> bool:
    with suppress(APIError):
        engine.images.remove(tag, force=True)
        return True
    return False


def _by_docker(engine: docker.DockerClient, image: str) -> None:
    port = free_port()
    container = engine.containers.run(image, detach=True, ports={IMAGES_PORT: ("127.0.0.1", port)})
    try:
        if not wait_until(lambda: _answers(port), LIMIT_S):
            raise BenchmarkError(f"`docker run {image}` does not answer on port {port} after {LIMIT_S:g} s")
    finally:
        container.remove(force=True)


def _answers(port: int) -> bool:
    address = f"http://127.0.0.1:{port}/2015-03-31/functions/function/invocations"
    try:
        with urllib.request.urlopen(address, b"{}", LIMIT_S) as answer:
            return bool(answer.status == 200)
    except OSError:
        return False


def _by_gateway(own: Stage, image: str) -> None:
    functions = own.clients.functions
    functions.create_function(
        FunctionName=NAME,
        Role="arn:aws:iam::123456789012:role/bench",
        PackageType="Image",
        Code={"ImageUri": image},
        Timeout=int(LIMIT_S),
    )
    try:
        answer = functions.invoke(FunctionName=NAME, Payload=b"{}")
        if "FunctionError" in answer:
            raise BenchmarkError(f"{NAME} failed: {answer['Payload'].read()[:200]!r}")
    finally:
        functions.delete_function(FunctionName=NAME)

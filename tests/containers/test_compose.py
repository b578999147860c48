"""docker-compose.yml as a person uses it: up, a function from an image, an invocation, a training run, down."""

import json
import os
import shutil
import subprocess
import sys
import uuid
from functools import partial
from pathlib import Path

import boto3
import docker
import pytest
from botocore.exceptions import BotoCoreError

from harness.guard import SECRET_VARIABLE, new_secret, own_key
from harness.images.catalogue import Recipe
from harness.images.services import service_images
from harness.settings import Settings
from harness.system.probes import wait_until
from tests.support.functions import ROLE

pytestmark = pytest.mark.timeout(300)

ROOT = Path(__file__).parents[2]
HARNESS = Path(sys.executable).with_name("harness")
SECRET = new_secret()
CREDENTIALS = {"AWS_ACCESS_KEY_ID": own_key(SECRET), "AWS_SECRET_ACCESS_KEY": "test", "AWS_DEFAULT_REGION": "us-east-1"}
PORTS = ("S3_PORT", "AWS_PORT", "MEMCACHED_PORT", "DISCOVERY_PORT", "REGISTRY_PORT", "GATEWAY_PORT")
UP_WITHIN_S, DOWN_WITHIN_S = 120, 60
MEMORY_MB = 1769


class Compose:
    """One project of docker-compose.yml on free ports."""

    def __init__(self, program: list[str], images: dict[str, str]) -> None:
        self.project = f"test-{uuid.uuid4().hex[:8]}"
        self._program = program
        chosen = {f"{key.upper()}_IMAGE": name for key, name in images.items()}
        own = {"COMPOSE_PROJECT_NAME": self.project, SECRET_VARIABLE: SECRET}
        self._environment = os.environ | chosen | dict.fromkeys(PORTS, "") | own

    def __call__(self, *arguments: str, timeout_s: float = UP_WITHIN_S, **variables: str) -> str:
        """Runs a command of Compose's."""
        done = subprocess.run(
            [*self._program, *arguments],
            cwd=ROOT,
            env=self._environment | variables,
            capture_output=True,
            text=True,
            timeout=timeout_s,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    def url(self, service: str, port: int) -> str:
        """Where a service's port is on this machine."""
        address = self("port", service, str(port)).strip()
        assert address.startswith("127.0.0.1:")
        return f"http://{address}"


@pytest.fixture(scope="module")
def compose(engine: docker.DockerClient, settings: Settings):
    """A project that is up; down in the end, whatever happened."""
    images = service_images(engine, settings, log=print).names
    project = Compose(compose_program(), images)
    try:
        project("up", "--detach")
        yield project
    finally:
        project("down", "--volumes", "--remove-orphans", timeout_s=DOWN_WITHIN_S)


def compose_program() -> list[str]:
    """Compose 2 as the engine's plugin, or Compose 1."""
    docker_program = shutil.which("docker")
    if docker_program is not None:
        plugin = subprocess.run([docker_program, "compose", "version"], capture_output=True, check=False)
        if plugin.returncode == 0:
            return [docker_program, "compose"]
    program = shutil.which("docker-compose")
    if program is None:
        pytest.skip("NOT TESTED, for want of Compose: apt-get install docker-compose, or install Docker's plugin")
    return [program]


@pytest.fixture(scope="module")
def functions(compose: Compose, own_recipes: dict[str, Recipe]):
    """A client of the Lambda service, with coordinator and worker created from their images."""
    client = lambda_client(compose)
    for name in ("linear_ec_1", "linear_ec_2"):
        image = own_recipes[name].name
        client.create_function(
            FunctionName=name,
            Role=ROLE,
            PackageType="Image",
            Code={"ImageUri": image},
            MemorySize=MEMORY_MB,
            Timeout=60,
        )
    return client


def lambda_client(compose: Compose):
    """A client of the Lambda service, once that answers: `up` returns before."""
    client = boto3.client("lambda", endpoint_url=compose.url("gateway", 9001), region_name="us-east-1")

    def answers() -> bool:
        try:
            client.list_functions()
        except BotoCoreError:
            return False
        return True

    assert wait_until(answers, timeout_s=60), compose("logs", "gateway")
    return client


@pytest.fixture(autouse=True, scope="module")
def _credentials():
    with pytest.MonkeyPatch.context() as patch:
        for name, value in CREDENTIALS.items():
            patch.setenv(name, value)
        yield


def test_all_parts_are_healthy_and_bare(compose: Compose, engine: docker.DockerClient):
    """Every service becomes healthy, is limited, read-only and without privileges, and open on this machine only."""
    containers = [engine.containers.get(name) for name in compose("ps", "--quiet").split()]

    assert len(containers) == 6
    for container in containers:
        assert wait_until(partial(is_healthy, container), timeout_s=60), container.name
        host = container.attrs["HostConfig"]
        assert host["ReadonlyRootfs"]
        assert host["CapDrop"] == ["ALL"]
        assert "no-new-privileges:true" in host["SecurityOpt"]
        assert host["Memory"] > 0
        published = [port for ports in container.ports.values() for port in ports or ()]
        assert {"127.0.0.1"} == {port["HostIp"] for port in published}


def is_healthy(container) -> bool:
    """What the engine thinks of it now."""
    container.reload()
    return bool(container.attrs["State"]["Health"]["Status"] == "healthy")


def test_function_from_an_image_answers(functions):
    """The worker's image runs behind the gateway: an event that is no job is refused by the worker itself."""
    answer = functions.invoke(FunctionName="linear_ec_2", Payload=b'{"nonsense": 1}')

    body = json.loads(answer["Payload"].read())
    assert answer["FunctionError"] == "Unhandled"
    assert body["errorType"] == "InputError"


def test_a_run_trains(compose: Compose, functions, tmp_path: Path):
    """Partitions in LocalStack, two workers, gradients through Memcached, and a model in LocalStack again."""
    s3 = boto3.client("s3", endpoint_url=compose.url("localstack", 4566), region_name="us-east-1")
    bucket, run_id = f"data-{uuid.uuid4().hex[:8]}", uuid.uuid4().hex[:8]
    environment = os.environ | {"AWS_ENDPOINT_URL_S3": compose.url("localstack", 4566)}
    for command in (
        ["make", "--rows", "2000", "--features", "5", "-o", "rows.xz"],
        ["partition", "--file-path", "rows.xz", "--n-workers", "2", "--bucket-name", bucket],
    ):
        subprocess.run([HARNESS, "data", *command], cwd=tmp_path, env=environment, check=True, capture_output=True)
    job = {
        "run_id": run_id,
        "data_bucket": bucket,
        "n_features": 5,
        "n_workers": 2,
        "batch_size": 100,
        "host": "discovery",
        "port": 11212,
    }

    answer = functions.invoke(FunctionName="linear_ec_1", Payload=json.dumps(job).encode())

    body = json.loads(answer["Payload"].read())
    assert "FunctionError" not in answer, body
    folder = {"Bucket": bucket, "Prefix": f"runs/{run_id}/"}
    assert wait_until(lambda: "model.npz" in stored(s3, **folder), timeout_s=120), stored(s3, **folder)


def stored(s3, **folder: str) -> set[str]:
    """The last part of each key in a folder of S3's."""
    return {entry["Key"].rpartition("/")[2] for entry in s3.list_objects_v2(**folder).get("Contents", ())}


def test_down_leaves_nothing(engine: docker.DockerClient, settings: Settings, own_recipes: dict[str, Recipe]):
    """Containers of functions, networks and volumes go too, also when the gateway could not tidy up."""
    project = Compose(compose_program(), service_images(engine, settings, log=print).names)
    project("up", "--detach")
    try:
        client = lambda_client(project)
        code = {"ImageUri": own_recipes["linear_ec_2"].name}
        client.create_function(FunctionName="any", Role=ROLE, PackageType="Image", Code=code)
        client.invoke(FunctionName="any", Payload=b"{}")
        assert "function" in services_of(engine, project.project)
        project("kill", "gateway")
    finally:
        project("down", "--volumes", "--remove-orphans", timeout_s=DOWN_WITHIN_S)

    assert [] == services_of(engine, project.project)
    assert [] == [network.name for network in engine.networks.list() if network.name.startswith(project.project)]
    assert [] == [volume.name for volume in engine.volumes.list() if volume.name.startswith(project.project)]


def services_of(engine: docker.DockerClient, project: str) -> list[str]:
    """The service of each of a project's containers."""
    filters = {"label": f"com.docker.compose.project={project}"}
    containers = engine.containers.list(all=True, filters=filters, sparse=True)
    return [container.attrs["Labels"]["com.docker.compose.service"] for container in containers]


def test_without_its_images_compose_says_what_to_run(tmp_path: Path):
    """A first `up` that nobody prepared names the command that prepares it."""
    shutil.copy(ROOT / "docker-compose.yml", tmp_path)

    done = subprocess.run([*compose_program(), "config"], cwd=tmp_path, capture_output=True, text=True, check=False)

    assert done.returncode != 0
    assert "harness images services --env > .env" in done.stderr

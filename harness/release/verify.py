"""Verifying an image: it passes a list of checks, and the pass is recorded for its digest.

A check is a name and a function that returns its finding in one line; it fails by raising HarnessError.
`SMOKE_CHECKS` need nothing but the image. The caller adds others, such as a whole training run:

    verify_image(image, [*SMOKE_CHECKS, ImageCheck("run with 4 workers", run_with_containers)])
"""

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import docker
import httpx
import msgspec
import requests
from docker.models.containers import Container
from docker.models.images import Image

from harness.errors import HarnessError
from harness.images.catalogue import Recipe
from harness.images.facts import Facts, facts_of
from harness.release.record import CheckResult, Verified, load_release, now, save_release
from harness.system.engine import engine_architecture, find_image, translated
from harness.system.probes import wait_until

# This label identifies the harness's containers, for clean-up.
CONTAINER_LABEL = "lambda-harness"
INVOCATIONS = "/2015-03-31/functions/function/invocations"

_PACKAGES_TIMEOUT_S = 120
_ANSWER_TIMEOUT_S = 60
_MEMORY = "1769m"
# Variables that Lambda sets for every function; these credentials grant nothing.
_ENVIRONMENT = {
    "AWS_REGION": "us-east-1",
    "AWS_DEFAULT_REGION": "us-east-1",
    "AWS_ACCESS_KEY_ID": "test",
    "AWS_SECRET_ACCESS_KEY": "test",
}


@dataclass(frozen=True)
class ImageUnderTest:
    """An image, its recipe, and the engine that it runs on."""

    client: docker.DockerClient
    recipe: Recipe
    image: Image
    facts: Facts


class ImageCheck(NamedTuple):
    """A property that an image must have."""

    name: str
    run: Callable[[ImageUnderTest], str]


class CheckFailed(HarnessError):
    """An image fails a check."""


def image_under_test(client: docker.DockerClient, recipe: Recipe) -> ImageUnderTest:
    """Return the image that this recipe built.

    Raises:
        HarnessError: The image is not built.
    """
    image = find_image(client, recipe.name)
    if image is None:
        raise HarnessError(f"image {recipe.name} is not built", remedy=f"run `harness images build {recipe.name}`")
    return ImageUnderTest(client, recipe, image, facts_of(recipe.name, image))


def verify_image(image: ImageUnderTest, checks: Sequence[ImageCheck]) -> Verified:
    """Run all checks.

    Raises:
        CheckFailed: A check failed; the message names it.
    """
    results = []
    for check in checks:
        started = time.monotonic()
        try:
            found = check.run(image)
        except HarnessError as error:
            raise CheckFailed(
                f"image {image.facts.name} fails the check `{check.name}`: {error.what}", error.where, error.remedy
            ) from error
        results.append(CheckResult(check.name, found, round(time.monotonic() - started, 2)))
    return Verified(image.facts, tuple(results), now())


def verify_and_record(root: Path, image: ImageUnderTest, checks: Sequence[ImageCheck]) -> Verified:
    """Run all checks and record the pass in the project's record; a failure removes an earlier pass.

    Raises:
        CheckFailed: A check failed.
    """
    try:
        verified = verify_image(image, checks)
    except CheckFailed:
        release = load_release(root)
        if release.find(image.facts.image_id) is not None:
            save_release(root, release.without(image.facts.image_id))
        raise
    release = load_release(root)
    earlier = release.find(image.facts.image_id)
    if earlier is not None:
        verified = msgspec.structs.replace(verified, pushes=earlier.pushes)
    save_release(root, release.with_entry(verified))
    return verified


def check_contract(image: ImageUnderTest) -> str:
    """Check that the image has its labels, is for this machine, and runs as an ordinary user."""
    facts, config = image.facts, image.image.attrs["Config"]
    missing = [name for name in msgspec.structs.asdict(facts) if not getattr(facts, name)]
    if missing:
        raise HarnessError(f"it does not say its {', '.join(missing)}", remedy="build it with `harness images build`")
    architecture = engine_architecture(image.client)
    if facts.architecture != architecture:
        raise HarnessError(
            f"it is for {facts.architecture}, and this machine is {architecture}",
            remedy=f"verify it on a machine that is {facts.architecture}",
        )
    user = config.get("User", "")
    if user.partition(":")[0] in ("", "0", "root"):
        raise HarnessError("it runs as root", remedy="its Dockerfile needs a USER")
    if not config.get("Cmd") or not config.get("Entrypoint"):
        raise HarnessError(
            "it has no handler or no entry point", remedy="its Dockerfile needs a CMD, its base an ENTRYPOINT"
        )
    return f"{facts.architecture}, user {user}, {config['Cmd'][0]} on {facts.base_name}"


def check_packages(image: ImageUnderTest) -> str:
    """Check that every package that the function uses is present and works, although the image is stripped."""
    module = image.image.attrs["Config"]["Cmd"][0].rpartition(".")[0].replace("/", ".")
    load = f"import importlib, sys\nimportlib.import_module({module!r})\nprint(len(sys.modules))"
    code = f"{image.recipe.packages}\n{load}"
    with _started(image, entrypoint=["python3", "-c", code], command=[], network_disabled=True) as container:
        try:
            status = container.wait(timeout=_PACKAGES_TIMEOUT_S)["StatusCode"]
        except requests.exceptions.RequestException as error:
            raise HarnessError(f"the packages did not load within {_PACKAGES_TIMEOUT_S} s") from error
        if status != 0:
            raise HarnessError(f"a package is missing or broken: {_last_line(container)}", f"exit code {status}")
        return f"{_last_line(container)} modules"


def check_wrong_event(image: ImageUnderTest) -> str:
    """Check that the handler loads behind the emulator, and answers an invalid event with its own error."""
    with _started(image, ports={"8080/tcp": ("127.0.0.1", None)}) as container:
        answer = _invoke(container, {"nonsense": 1})
    if answer.get("errorType") != "InputError" or "nonsense" not in str(answer.get("errorMessage")):
        raise HarnessError(f"it answers {str(answer)[:200]} to an event that is no job", "expected an InputError")
    return "InputError"


SMOKE_CHECKS = (
    ImageCheck("contract", check_contract),
    ImageCheck("packages", check_packages),
    ImageCheck("error for a wrong event", check_wrong_event),
)


@contextmanager
def _started(image: ImageUnderTest, **options: Any) -> Iterator[Container]:  # noqa: ANN401 - docker-py's own options
    """Run a container as restricted as Lambda's own: read-only, without privileges; remove it at the end."""
    with translated(f"image {image.facts.name} cannot be started"):
        container = image.client.containers.create(
            image.facts.image_id,
            read_only=True,
            tmpfs={"/tmp": "size=512m"},  # noqa: S108 - a file system of the container's own
            mem_limit=_MEMORY,
            cap_drop=["ALL"],
            security_opt=["no-new-privileges"],
            environment=_ENVIRONMENT,
            labels={CONTAINER_LABEL: "verify"},
            **options,
        )
        try:
            container.start()
            yield container
        finally:
            container.remove(force=True, v=True)


def _invoke(container: Container, event: dict[str, Any]) -> dict[str, Any]:
    """Send the event as soon as the emulator listens, and return its answer."""
    container.reload()
    port = container.ports["8080/tcp"][0]["HostPort"]
    answers: list[httpx.Response] = []

    def answered() -> bool:
        try:
            answers.append(
                httpx.post(
                    f"http://127.0.0.1:{port}{INVOCATIONS}", json=event, timeout=_ANSWER_TIMEOUT_S, trust_env=False
                )
            )
        except httpx.TransportError:
            container.reload()
            return str(container.status) == "exited"
        return True

    wait_until(answered, _ANSWER_TIMEOUT_S)
    if not answers:
        raise HarnessError(f"the emulator does not answer: {_last_line(container)}", f"container {container.status}")
    try:
        answer = msgspec.json.decode(answers[0].content, type=dict[str, Any])
    except msgspec.DecodeError as error:
        raise HarnessError(f"the emulator answers no JSON: {answers[0].text[:200]}") from error
    return answer


def _last_line(container: Container) -> str:
    lines = container.logs(tail=20).decode(errors="replace").splitlines()
    return next((line.strip()[:300] for line in reversed(lines) if line.strip()), "it printed nothing")

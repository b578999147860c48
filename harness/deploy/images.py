"""The images of a deployment: verified on this machine, pushed into the stack's repositories, known by digest."""

import base64
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import docker
import msgspec

from harness.aws.errors import aws_errors
from harness.deploy.target import Target
from harness.errors import HarnessError
from harness.images.catalogue import RECIPES, Recipe, source_sha256
from harness.images.facts import Facts
from harness.release.push import push_images
from harness.release.record import Push, check_verified, load_release, save_release
from harness.release.verify import image_under_test
from harness.settings import Settings
from harness.system.engine import connect, translated


@dataclass(frozen=True)
class ImageState:
    """An image of the deployment.

    Attributes:
        recipe: How it is made.
        facts: The very image that was verified.
        push: Where it lies already; None when it is still to be pushed.
    """

    recipe: Recipe
    facts: Facts
    push: Push | None


def recipes_of(settings: Settings) -> list[Recipe]:
    """The images that functions run from.

    Raises:
        HarnessError: One is none of the project's own, so that nothing tells whether it was verified.
    """
    names = dict.fromkeys(function.image for function in settings.functions.values() if function.image)
    for name in names:
        if name not in RECIPES:
            raise HarnessError(
                f"image {name} is none of the project's",
                "harness.toml",
                f"deployments take verified images only: {', '.join(RECIPES)}",
            )
    return [RECIPES[name] for name in names]


def verified(client: docker.DockerClient, root: Path, recipes: Iterable[Recipe]) -> list[Facts]:
    """The images on this machine, each of which passed its checks.

    Raises:
        Unverified: One did not, or is not of this source.
        HarnessError: One is not built.
    """
    release = load_release(root)
    facts = []
    for recipe in recipes:
        facts.append(image_under_test(client, recipe).facts)
        check_verified(facts[-1], release, source_sha256(root, recipe))
    return facts


def registry_of(target: Target, account: str, stack: str) -> str:
    """Where a stack's repositories are: each image at `<registry>/<image name>`.

    https://docs.aws.amazon.com/AmazonECR/latest/userguide/Registries.html
    """
    if target.stack is not None:
        return f"{target.stack.endpoints.registry}/{stack}"
    suffix = "amazonaws.com.cn" if target.partition == "aws-cn" else "amazonaws.com"
    return f"{account}.dkr.ecr.{target.region}.{suffix}/{stack}"


def log_in(target: Target, client: docker.DockerClient) -> None:
    """Lets the engine push to ECR for twelve hours; the token stays in this process.

    https://docs.aws.amazon.com/AmazonECR/latest/userguide/registry_auth.html

    Raises:
        HarnessError: ECR gives no token, or does not take it.
    """
    with aws_errors("fetching a token for docker login"):
        (token,) = target.client("ecr").get_authorization_token()["authorizationData"]
    if target.stack is not None:
        return  # the emulation's registry asks for no name
    user, _, password = base64.b64decode(token["authorizationToken"]).decode().partition(":")
    with translated(f"docker login to {token['proxyEndpoint']} failed"):
        client.login(user, password, registry=token["proxyEndpoint"], reauth=True)


def states(client: docker.DockerClient, root: Path, recipes: Iterable[Recipe], registry: str) -> list[ImageState]:
    """The verified images, and which of them lie in their repositories already.

    Raises:
        HarnessError: One is not built or not verified.
    """
    recipes = list(recipes)
    return [
        ImageState(recipe, facts, _pushed(client, root, facts, registry))
        for recipe, facts in zip(recipes, verified(client, root, recipes), strict=True)
    ]


def push(client: docker.DockerClient, root: Path, state: ImageState, registry: str) -> Push:
    """Pushes an image unless it is there.

    Raises:
        HarnessError: The registry did not take it, or the push broke off; run again, it sends what is missing.
    """
    if state.push is not None:
        return state.push
    ((_, pushed),) = push_images(client, root, [state.recipe], registry)
    return pushed


def forget_registry(root: Path, registry: str) -> None:
    """Takes a registry that is no more out of the record of the release, and its names of images off the engine."""
    _forget_pushes(root, registry)
    client = connect()
    with translated(f"the names of {registry} cannot be removed"):
        for image in client.images.list():
            for name in (*image.tags, *(image.attrs["RepoDigests"] or ())):
                if name.startswith(f"{registry}/"):
                    with suppress(docker.errors.ImageNotFound):  # the last tag takes the digests along
                        client.images.remove(name, noprune=True)
    client.close()


def _forget_pushes(root: Path, registry: str) -> None:
    release = before = load_release(root)
    for entry in release.images:
        kept = tuple(push for push in entry.pushes if not push.repository.startswith(f"{registry}/"))
        if kept != entry.pushes:
            release = release.with_entry(msgspec.structs.replace(entry, pushes=kept))
    if release != before:
        save_release(root, release)


def _pushed(client: docker.DockerClient, root: Path, facts: Facts, registry: str) -> Push | None:
    """The recorded push to that registry, when the registry still says the same."""
    entry = load_release(root).find(facts.image_id)
    repository = f"{registry}/{facts.name}"
    known = next((push for push in entry.pushes if push.repository == repository), None) if entry else None
    if known is None:
        return None
    try:
        with translated(f"cannot ask for {repository}"):
            stored: str = client.images.get_registry_data(f"{repository}:{known.tag}").id
    except HarnessError:
        return None  # the repository was emptied or removed since, or is not reachable: the push will tell
    return known if stored == known.digest else None

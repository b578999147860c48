"""The images of a deployment: verified on this machine, pushed to the stack's repositories, referenced by digest."""

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
from harness.images.sources import sources_of
from harness.release.push import push_images
from harness.release.record import Push, check_verified, load_release, save_release
from harness.release.verify import image_under_test
from harness.runs.model_image import recipes_of_models
from harness.settings import Settings
from harness.system.engine import connect, translated


@dataclass(frozen=True)
class ImageState:
    """An image of the deployment.

    Attributes:
        recipe: The image's recipe.
        facts: The facts of the verified image.
        push: The push that put it into its repository; None if it must still be pushed.
    """

    recipe: Recipe
    facts: Facts
    push: Push | None


def recipes_of(settings: Settings) -> list[Recipe]:
    """Return the recipes of the functions' images.

    Raises:
        HarnessError: An image is not one of the project's, so that no record shows whether it was verified.
    """
    names = dict.fromkeys(function.image for function in settings.functions.values() if function.image)
    known = {**RECIPES, **recipes_of_models(settings)}
    for name in names:
        if name not in known:
            raise HarnessError(
                f"image {name} is not one of the project's",
                "harness.toml",
                f"only verified images can be deployed: {', '.join(RECIPES)}",
            )
    return [known[name] for name in names]


def verified(client: docker.DockerClient, root: Path, recipes: Iterable[Recipe]) -> list[Facts]:
    """Return the images on this machine, after checking that each was verified.

    Raises:
        Unverified: An image was not verified, or was built from other sources.
        HarnessError: An image is not built.
    """
    release = load_release(root)
    facts = []
    for recipe in recipes:
        facts.append(image_under_test(client, recipe).facts)
        check_verified(facts[-1], release, source_sha256(sources_of(root), recipe))
    return facts


def registry_of(target: Target, account: str, stack: str) -> str:
    """Return the registry of a stack's repositories; each image is at `<registry>/<image name>`.

    https://docs.aws.amazon.com/AmazonECR/latest/userguide/Registries.html
    """
    if target.stack is not None:
        return f"{target.stack.endpoints.registry}/{stack}"
    suffix = "amazonaws.com.cn" if target.partition == "aws-cn" else "amazonaws.com"
    return f"{account}.dkr.ecr.{target.region}.{suffix}/{stack}"


def log_in(target: Target, client: docker.DockerClient) -> None:
    """Log the engine in to ECR for twelve hours; the token stays in this process.

    https://docs.aws.amazon.com/AmazonECR/latest/userguide/registry_auth.html

    Raises:
        HarnessError: ECR issues no token, or does not accept it.
    """
    with aws_errors("fetching a token for docker login"):
        (token,) = target.client("ecr").get_authorization_token()["authorizationData"]
    if target.stack is not None:
        return  # the emulated registry requires no login
    user, _, password = base64.b64decode(token["authorizationToken"]).decode().partition(":")
    with translated(f"docker login to {token['proxyEndpoint']} failed"):
        client.login(user, password, registry=token["proxyEndpoint"], reauth=True)


def states(client: docker.DockerClient, root: Path, recipes: Iterable[Recipe], registry: str) -> list[ImageState]:
    """Return the verified images, with the pushes of those that are in their repositories already.

    Raises:
        HarnessError: An image is not built or not verified.
    """
    recipes = list(recipes)
    return [
        ImageState(recipe, facts, _pushed(client, root, facts, registry))
        for recipe, facts in zip(recipes, verified(client, root, recipes), strict=True)
    ]


def push(client: docker.DockerClient, root: Path, state: ImageState, registry: str) -> Push:
    """Push an image unless it is in its repository already.

    Raises:
        HarnessError: The registry refused the image, or the push was interrupted; another push sends the rest.
    """
    if state.push is not None:
        return state.push
    ((_, pushed),) = push_images(client, root, [state.recipe], registry)
    return pushed


def forget_registry(root: Path, registry: str) -> None:
    """Remove a registry that no longer exists from the release record, and its image names from the engine."""
    _forget_pushes(root, registry)
    client = connect()
    with translated(f"the names of {registry} cannot be removed"):
        # Not `client.images.list()`, which inspects each image and fails when one goes in between.
        for image in client.api.images():
            for name in (*(image["RepoTags"] or ()), *(image["RepoDigests"] or ())):
                if name.startswith(f"{registry}/"):
                    with suppress(docker.errors.ImageNotFound):  # removing the last tag removes the digests too
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
    """Return the recorded push to that registry, if the registry still has that digest."""
    entry = load_release(root).find(facts.image_id)
    repository = f"{registry}/{facts.name}"
    known = next((push for push in entry.pushes if push.repository == repository), None) if entry else None
    if known is None:
        return None
    try:
        with translated(f"cannot ask for {repository}"):
            stored: str = client.images.get_registry_data(f"{repository}:{known.tag}").id
    except HarnessError:
        return None  # emptied, removed or unreachable: push again, which reports the cause
    return known if stored == known.digest else None

"""Pushing verified images to a registry, and recording the registry's digests."""

import re
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import docker
import msgspec
from docker.errors import DockerException

from harness.errors import HarnessError
from harness.images.catalogue import Recipe, source_sha256
from harness.images.facts import Facts
from harness.images.sources import sources_of
from harness.release.record import Push, Verified, check_verified, load_release, now, save_release
from harness.release.verify import image_under_test
from harness.system.engine import RegistryRefused, messages, translated

# https://distribution.github.io/distribution/spec/api/ - a registry's host, an optional port, an optional path.
_REGISTRY = re.compile(r"[a-zA-Z0-9.-]+(:\d{1,5})?(/[a-z0-9._-]+)*")

# Messages of registries and of the engine, and their remedies; the first match counts.
_REMEDIES = (
    ("no basic auth credentials", "log in first: docker login (for ECR: aws ecr get-login-password)"),
    ("unauthorized", "log in first: docker login (for ECR: aws ecr get-login-password)"),
    ("denied", "log in first, with an account that may push there"),
    ("authorization token has expired", "log in again: docker login (for ECR: aws ecr get-login-password)"),
    ("does not exist", "create the repository in the registry first"),
    ("name unknown", "create the repository in the registry first"),
    (
        "server gave HTTP response to HTTPS",
        "give the registry a certificate, or name it in Docker's insecure-registries",
    ),
    ("tag is immutable", "the registry holds this image already"),
)
_TRY_AGAIN = "check the address and the network, then run the command again: what has arrived is not sent again"


def push_images(
    client: docker.DockerClient,
    root: Path,
    recipes: Sequence[Recipe],
    registry: str,
    *,
    unverified: bool = False,
) -> list[tuple[Facts, Push]]:
    """Push images to `registry/<name>` if all of them are verified.

    Only pushes of verified images are recorded.

    Args:
        client: The engine.
        root: The project.
        recipes: The images.
        registry: For example `127.0.0.1:5000`, or the address of an account's ECR.
        unverified: Also push images that are not verified.

    Raises:
        Unverified: An image is not verified; nothing was pushed.
        RegistryRefused: The registry refused an image; those before it are pushed and recorded.
    """
    if not _REGISTRY.fullmatch(registry):
        raise HarnessError(
            f"{registry!r} is no registry's address", remedy="name one such as 127.0.0.1:5000 or registry.example/team"
        )
    sources = sources_of(root)
    candidates: list[tuple[Facts, Verified | None]] = []
    for recipe in recipes:
        facts = image_under_test(client, recipe).facts
        checked = None if unverified else check_verified(facts, load_release(root), source_sha256(sources, recipe))
        candidates.append((facts, checked))
    pushes = []
    for facts, checked in candidates:
        push = _push(client, facts, registry)
        if checked is not None:
            entry = msgspec.structs.replace(checked, pushes=(*_elsewhere(checked, push), push))
            save_release(root, load_release(root).with_entry(entry))
        pushes.append((facts, push))
    return pushes


def _elsewhere(verified: Verified, push: Push) -> list[Push]:
    return [other for other in verified.pushes if other.repository != push.repository]


def _push(client: docker.DockerClient, facts: Facts, registry: str) -> Push:
    """Push exactly this image, under a tag made from its ID."""
    repository, tag = f"{registry}/{facts.name}", facts.image_id.removeprefix("sha256:")[:12]
    reference = f"{repository}:{tag}"
    with translated(f"{reference} cannot be pushed"):
        client.images.get(facts.image_id).tag(repository, tag)
        try:
            digest = _digest_of(reference, messages(client.api.push(repository, tag=tag, stream=True, decode=True)))
            # Read the image back, to see what the registry will serve.
            stored = client.images.get_registry_data(reference)
            check_media_type(reference, stored.attrs["Descriptor"].get("mediaType", ""))
        except BaseException:
            with suppress(DockerException):  # the cause is what counts
                client.images.remove(reference, noprune=True)
            raise
    if stored.id != digest:
        raise RegistryRefused(f"{reference} is another image in the registry", f"{stored.id} instead of {digest}")
    return Push(repository, tag, digest, now())


def check_media_type(reference: str, media_type: str) -> None:
    """Check that Lambda accepts what was pushed: one image, not an index of images, as BuildKit makes for attestations.

    https://docs.aws.amazon.com/lambda/latest/dg/python-image.html

    Raises:
        RegistryRefused: It is an index of images.
    """
    if "index" in media_type or "manifest.list" in media_type:
        raise RegistryRefused(
            f"{reference} is an index of images, and Lambda takes one image only",
            media_type,
            "build it with `harness images build`, or with docker build --provenance=false --sbom=false",
        )


def _digest_of(reference: str, answer: Any) -> str:  # noqa: ANN401 - the engine's JSON
    digest = ""
    for message in answer:
        if "error" in message:
            raise push_error(reference, str(message["error"]))
        digest = message.get("aux", {}).get("Digest", digest)
    if not digest:
        raise RegistryRefused(f"{reference}: the registry named no digest", remedy="push it again")
    return digest


def push_error(reference: str, cause: str) -> RegistryRefused:
    """Return the error for a push that failed with this message."""
    remedy = next((remedy for said, remedy in _REMEDIES if said in cause), _TRY_AGAIN)
    return RegistryRefused(f"{reference} cannot be pushed", cause[:300], remedy)

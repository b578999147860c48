"""The list of images: one entry each, built or not."""

from collections.abc import Sequence
from pathlib import Path

import docker
import msgspec
from docker.models.images import Image

from harness.images.catalogue import Recipe, source_sha256
from harness.images.facts import Facts, facts_of
from harness.images.sources import sources_of
from harness.release.record import Push, Unverified, check_verified, load_release
from harness.system.engine import find_image


class ImageEntry(msgspec.Struct, frozen=True):
    """One image.

    Attributes:
        name: Its name.
        image: The facts in its labels; None if it is not built.
        size_mb: Its size.
        above_base_mb: Its size above its base; None if the base is not on this machine.
        state: `not built`, `out of date`, `built`, `verified` or `pushed`.
        pushes: The registries that it was pushed to, with digests.
    """

    name: str
    image: Facts | None
    size_mb: float
    above_base_mb: float | None
    state: str
    pushes: tuple[Push, ...]


def list_images(client: docker.DockerClient, root: Path, recipes: Sequence[Recipe]) -> list[ImageEntry]:
    """Return one entry for each recipe, in their order."""
    release = load_release(root)
    entries = []
    for recipe in recipes:
        image = find_image(client, recipe.name)
        if image is None:
            entries.append(ImageEntry(recipe.name, None, 0.0, None, "not built", ()))
            continue
        facts = facts_of(recipe.name, image)
        base = _base_of(client, facts)
        above = None if base is None else (image.attrs["Size"] - base.attrs["Size"]) / 1e6
        source = source_sha256(sources_of(root), recipe)
        try:
            pushes = check_verified(facts, release, source).pushes
            state = "pushed" if pushes else "verified"
        except Unverified:
            pushes, state = (), "built" if facts.source_sha256 == source else "out of date"
        entries.append(ImageEntry(recipe.name, facts, image.attrs["Size"] / 1e6, above, state, pushes))
    return entries


def _base_of(client: docker.DockerClient, facts: Facts) -> Image | None:
    """Return the base by its digest, in a registry or in the engine."""
    if not facts.base_digest:
        return None
    repository = docker.utils.parse_repository_tag(facts.base_name)[0]
    return find_image(client, f"{repository}@{facts.base_digest}") or find_image(client, facts.base_digest)

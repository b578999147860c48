"""Read an image's facts from its configuration and labels."""

from pathlib import Path

import msgspec
from docker.models.images import Image

from harness.images import catalogue
from harness.system.engine import architecture_of


class Facts(msgspec.Struct, frozen=True):
    """The facts recorded in an image.

    Attributes:
        name: The name by which it was requested.
        image_id: `sha256:...` of its configuration.
        architecture: `amd64` or `arm64`.
        base_name: The name of its base.
        base_digest: The base's digest in its registry, or the base's ID.
        revision: The commit of its source.
        source_sha256: The checksum of its code and its pinned packages.
        requirements_sha256: The checksum of its pinned packages.
    """

    name: str
    image_id: str
    architecture: str
    base_name: str
    base_digest: str
    revision: str
    source_sha256: str
    requirements_sha256: str


def facts_of(name: str, image: Image) -> Facts:
    """Return the facts of an image; a missing label gives an empty value."""
    labels = image.labels
    return Facts(
        name=name,
        image_id=image.id,
        architecture=architecture_of(image),
        base_name=labels.get(catalogue.BASE_NAME, ""),
        base_digest=labels.get(catalogue.BASE_DIGEST, ""),
        revision=labels.get(catalogue.REVISION, ""),
        source_sha256=labels.get(catalogue.SOURCE, ""),
        requirements_sha256=labels.get(catalogue.REQUIREMENTS, ""),
    )


def is_current(image: Image, root: Path, recipe: catalogue.Recipe) -> bool:
    """Return whether the image was built from the sources in the working tree.

    Args:
        image: The image of the recipe's name.
        root: The clone.
        recipe: The image's recipe.
    """
    return facts_of(recipe.name, image).source_sha256 == catalogue.source_sha256(root, recipe)

"""What an image's configuration and labels say about it."""

from pathlib import Path

import msgspec
from docker.models.images import Image

from harness.images import catalogue
from harness.system.engine import architecture_of


class Facts(msgspec.Struct, frozen=True):
    """What an image says about itself.

    Attributes:
        name: As it was asked for.
        image_id: `sha256:...` of its configuration.
        architecture: `amd64` or `arm64`.
        base_name: What it stands on.
        base_digest: The base's digest in its registry, or its ID.
        revision: The commit of its source.
        source_sha256: Over its code and its pinned packages.
        requirements_sha256: Over its pinned packages.
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
    """What the image's configuration and labels say; a label that is missing is empty."""
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
        image: The image by the recipe's name.
        root: The clone.
        recipe: What it is built from.
    """
    return facts_of(recipe.name, image).source_sha256 == catalogue.source_sha256(root, recipe)

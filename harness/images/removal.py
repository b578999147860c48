"""Remove the images that the harness built, with earlier builds and intermediate stages.

The harness recognises its own images by label, name and ancestry:

    linear_ec_2, 127.0.0.1:5000/linear_ec_2     label `source.sha256`, and such a name
    lambda-harness/...                          stand-ins, and names that the harness gave to published images
    no name, one of our labels                  an earlier build
    no name, label `lambda-harness.stage`       a stage of a Dockerfile, kept as the builder's cache
    no name, built on one of these              the same

An image that also has a name given by somebody else keeps that name, and so remains; pulled images are not touched.
"""

from collections.abc import Collection, Iterable, Mapping
from typing import Any

import docker
import msgspec
from docker.errors import APIError, ImageNotFound

from harness.images.bases import INPUTS, OWN_NAMES
from harness.images.catalogue import RECIPES, SOURCE, STAGE
from harness.system.engine import translated

_OF_OURS = (SOURCE, INPUTS, STAGE)
_NO_NAME = "<none>:<none>"


class OwnImage(msgspec.Struct, frozen=True):
    """One image that the harness built.

    Attributes:
        image_id: The engine's ID of the image.
        names: The names that the harness gave it; none for an earlier build or a stage.
        others: The names that somebody else gave it, which it keeps.
        size: Its size in bytes, including layers that it shares with other images.
        containers: The containers that use it.
    """

    image_id: str
    names: tuple[str, ...]
    others: tuple[str, ...]
    size: int
    containers: tuple[str, ...]

    @property
    def label(self) -> str:
        """The image's name in messages."""
        return ", ".join(self.names) or f"{self.image_id.removeprefix('sha256:')[:12]} (an earlier build)"


class Removal(msgspec.Struct, frozen=True):
    """The result of a removal.

    Attributes:
        removed: The images that were removed or lost their names.
        kept: The images that are still in use.
        freed_bytes: The disk space freed; 0 if the engine does not report it.
    """

    removed: list[OwnImage]
    kept: list[OwnImage]
    freed_bytes: int


def own_images(client: docker.DockerClient, names: Collection[str] = ()) -> list[OwnImage]:
    """Return the images that the harness built.

    Args:
        client: The engine.
        names: The names to look for; empty for all images.
    """
    with translated("the engine's images cannot be listed"):
        images = client.api.images(all=True)
        containers = client.api.containers(all=True)
    return choose(images, containers, names)


def choose(
    images: Iterable[Mapping[str, Any]], containers: Iterable[Mapping[str, Any]], names: Collection[str] = ()
) -> list[OwnImage]:
    """Select the images that the harness built.

    Args:
        images: The engine's list of images, including unnamed ones.
        containers: The engine's list of containers, including ended ones.
        names: The names to look for; empty for all images.
    """
    users: dict[str, list[str]] = {}
    for container in containers:
        name = (container["Names"] or [container["Id"][:12]])[0]
        users.setdefault(container["ImageID"], []).append(name.removeprefix("/"))
    listed = {image["Id"]: image for image in images}
    own = {identity for identity, image in listed.items() if _is_own(image)}
    # Add unnamed images built on ours, layer by layer, until none is left; the engine's list has no order.
    while more := {i for i, image in listed.items() if i not in own and image["ParentId"] in own and not _tags(image)}:
        own |= more
    # The engine removes an unnamed parent together with its last child.
    bearing = {image["ParentId"] for image in listed.values()}
    found = []
    for identity in own:
        tags = _tags(listed[identity])
        ours = tuple(tag for tag in tags if _is_own_name(tag))
        if not tags and identity in bearing:
            continue
        if not names or any(_repository(tag) in names or tag in names for tag in ours):
            others = tuple(tag for tag in tags if tag not in ours)
            found.append(
                OwnImage(identity, ours, others, listed[identity]["Size"], tuple(sorted(users.get(identity, ()))))
            )
    # Sort by name; unnamed images come last, the largest first.
    return sorted(found, key=lambda image: (not image.names, image.names, -image.size, image.image_id))


def remove_images(client: docker.DockerClient, images: Iterable[OwnImage]) -> Removal:
    """Remove images, except those that a container uses or that other images are built on.

    Args:
        client: The engine.
        images: The result of `own_images`.

    Raises:
        HarnessError: The engine reported an error.
    """
    before = _layers_bytes(client)
    left, removed = [image for image in images if not image.containers], []
    kept = [image for image in images if image.containers]
    # A parent can be removed only after its children, so repeat while there is progress.
    progress = True
    while left and progress:
        done = [image for image in left if _remove(client, image)]
        removed += done
        left = [image for image in left if image not in done]
        progress = bool(done)
    # A concurrent build may have added layers, so the difference can be negative.
    return Removal(removed, kept + left, max(0, before - _layers_bytes(client)))


def _remove(client: docker.DockerClient, image: OwnImage) -> bool:
    """Remove the image, or just our names for it; return whether that succeeded."""
    for reference in image.names or (image.image_id,):
        with translated(f"image {reference} cannot be removed"):
            try:
                client.images.remove(reference)
            except ImageNotFound:
                continue  # already removed with another image
            except APIError as error:
                if error.status_code == 409:
                    return False
                raise
    return True


def _layers_bytes(client: docker.DockerClient) -> int:
    with translated("the engine cannot report the disk space of its layers"):
        return int(client.df().get("LayersSize") or 0)


def _is_own(image: Mapping[str, Any]) -> bool:
    labelled = any(label in (image["Labels"] or {}) for label in _OF_OURS)
    tags = _tags(image)
    if not tags:
        return labelled
    return any(_is_own_name(tag) and (labelled or tag.startswith(OWN_NAMES)) for tag in tags)


def _is_own_name(tag: str) -> bool:
    name = _repository(tag).rpartition("/")[2]
    # The image of a user's own model is named after the worker's.
    return tag.startswith(OWN_NAMES) or any(name == own or name.startswith(f"{own}_") for own in RECIPES)


def _repository(tag: str) -> str:
    repository: str = docker.utils.parse_repository_tag(tag)[0]
    return repository


def _tags(image: Mapping[str, Any]) -> list[str]:
    return [tag for tag in image["RepoTags"] or () if tag != _NO_NAME]

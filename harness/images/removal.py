"""Removing the images that the harness has built, their earlier builds, and the stages that were built on the way.

What is the harness's own, by label, name and ancestry:

    linear_ec_2, 127.0.0.1:5000/linear_ec_2     label `source.sha256`, and such a name
    lambda-harness/...                          stand-ins, and names that the harness gave to published images
    no name, one of our labels                  an earlier build
    no name, label `lambda-harness.stage`       a stage of a Dockerfile, kept as the builder's cache
    no name, built on one of these              the same

An image that has a name of somebody else's too keeps that name, and so stays; images that were pulled are not touched.
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
    """One image of the harness's.

    Attributes:
        image_id: The engine's ID of it.
        names: What the harness calls it; none for an earlier build or a stage.
        others: Names that somebody else has given it: it stays under these.
        size: Bytes, layers that it shares with others included.
        containers: The containers that use it.
    """

    image_id: str
    names: tuple[str, ...]
    others: tuple[str, ...]
    size: int
    containers: tuple[str, ...]

    @property
    def label(self) -> str:
        """What to call it."""
        return ", ".join(self.names) or f"{self.image_id.removeprefix('sha256:')[:12]} (an earlier build)"


class Removal(msgspec.Struct, frozen=True):
    """What came of a removal.

    Attributes:
        removed: The images that have lost their names or are gone.
        kept: Those that others still use.
        freed_bytes: What the engine's layers take less; 0 where it does not say.
    """

    removed: list[OwnImage]
    kept: list[OwnImage]
    freed_bytes: int


def own_images(client: docker.DockerClient, names: Collection[str] = ()) -> list[OwnImage]:
    """Return the images that the harness has built.

    Args:
        client: The engine.
        names: Only those of these names; all when there are none.
    """
    with translated("the engine's images cannot be listed"):
        images = client.api.images(all=True)
        containers = client.api.containers(all=True)
    return choose(images, containers, names)


def choose(
    images: Iterable[Mapping[str, Any]], containers: Iterable[Mapping[str, Any]], names: Collection[str] = ()
) -> list[OwnImage]:
    """Decide which images are the harness's own.

    Args:
        images: As the engine lists them, those without a name too.
        containers: As the engine lists them, those that have ended too.
        names: Only images of these names; all when there are none.
    """
    users: dict[str, list[str]] = {}
    for container in containers:
        name = (container["Names"] or [container["Id"][:12]])[0]
        users.setdefault(container["ImageID"], []).append(name.removeprefix("/"))
    listed = {image["Id"]: image for image in images}
    own = {identity for identity, image in listed.items() if _is_own(image)}
    # A stage stands on a base of ours, layer by layer; the engine lists them in no order.
    while more := {i for i, image in listed.items() if i not in own and image["ParentId"] in own and not _tags(image)}:
        own |= more
    # What has no name and bears another image goes with that one.
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
    # By name; what has none comes last, the largest first.
    return sorted(found, key=lambda image: (not image.names, image.names, -image.size, image.image_id))


def remove_images(client: docker.DockerClient, images: Iterable[OwnImage]) -> Removal:
    """Remove images; those that a container uses, or that others are built on, stay as they are.

    Args:
        client: The engine.
        images: What `own_images` has found.

    Raises:
        HarnessError: The engine fails.
    """
    before = _layers_bytes(client)
    left, removed = [image for image in images if not image.containers], []
    kept = [image for image in images if image.containers]
    # What others are built on can be removed only after them: as long as something goes, try again.
    progress = True
    while left and progress:
        done = [image for image in left if _remove(client, image)]
        removed += done
        left = [image for image in left if image not in done]
        progress = bool(done)
    # Others may build meanwhile.
    return Removal(removed, kept + left, max(0, before - _layers_bytes(client)))


def _remove(client: docker.DockerClient, image: OwnImage) -> bool:
    """Whether the image's own names, or all of it, are gone now."""
    for reference in image.names or (image.image_id,):
        with translated(f"image {reference} cannot be removed"):
            try:
                client.images.remove(reference)
            except ImageNotFound:
                continue  # it went with another one
            except APIError as error:
                if error.status_code == 409:
                    return False
                raise
    return True


def _layers_bytes(client: docker.DockerClient) -> int:
    with translated("the engine cannot tell how much room its layers take"):
        return int(client.df().get("LayersSize") or 0)


def _is_own(image: Mapping[str, Any]) -> bool:
    labelled = any(label in (image["Labels"] or {}) for label in _OF_OURS)
    tags = _tags(image)
    if not tags:
        return labelled
    return any(_is_own_name(tag) and (labelled or tag.startswith(OWN_NAMES)) for tag in tags)


def _is_own_name(tag: str) -> bool:
    return tag.startswith(OWN_NAMES) or _repository(tag).rpartition("/")[2] in RECIPES


def _repository(tag: str) -> str:
    repository: str = docker.utils.parse_repository_tag(tag)[0]
    return repository


def _tags(image: Mapping[str, Any]) -> list[str]:
    return [tag for tag in image["RepoTags"] or () if tag != _NO_NAME]

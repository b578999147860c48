"""How much of an image is not its base's: AWS fetches that part for each new version of a function."""

from contextlib import suppress

from docker import DockerClient
from docker.errors import ImageNotFound
from docker.models.images import Image as EngineImage


def bytes_above_base(client: DockerClient, image: EngineImage) -> int:
    """Return an image's size without that of its base, bytes; its whole size if the engine has no base of it.

    Args:
        client: The engine.
        image: The image.
    """
    layers, size = _layers(image), int(image.attrs["Size"])
    base = 0, 0
    for found in client.api.images():
        # An image may go while the list is read.
        with suppress(ImageNotFound):
            other = client.images.get(found["Id"])
            count = len(_layers(other))
            if count < len(layers) and layers[:count] == _layers(other):
                base = max(base, (count, int(other.attrs["Size"])))
    return max(0, size - base[1])


def _layers(image: EngineImage) -> list[str]:
    return list(image.attrs.get("RootFS", {}).get("Layers") or [])

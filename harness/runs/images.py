"""The image that a function runs from: harness.toml names it; the project's own images are built if out of date."""

from contextlib import closing

import docker

from harness.bundle import BUNDLE
from harness.errors import HarnessError
from harness.images.build import Base, build_image, find_base
from harness.images.catalogue import RECIPES
from harness.images.facts import is_current
from harness.settings import FunctionSettings
from harness.stack.plan import Log
from harness.system.engine import connect, find_image


def current_image(name: str, function: FunctionSettings, *, log: Log) -> str:
    """Return the digest of the image that a function names.

    The images of the project's own functions are built if they are missing or their source has changed.

    Args:
        name: The function.
        function: Its table in harness.toml.
        log: Called when an image is built.

    Raises:
        HarnessError: The image is not on this machine, or it cannot be built.
    """
    with closing(connect()) as client:
        return ready_image(client, name, function, base=None, log=log)


def ready_image(
    client: docker.DockerClient, name: str, function: FunctionSettings, *, base: Base | None, log: Log
) -> str:
    """Return the digest of the image that a function names; the arguments and errors are those of `current_image`.

    Args:
        client: The engine.
        name: The function.
        function: Its table in harness.toml.
        base: The base of an image that has to be built; None for the usual one.
        log: Called when an image is built.
    """
    recipe = RECIPES.get(function.image)
    if recipe is not None:
        built = find_image(client, recipe.name)
        if built is None or not is_current(built, BUNDLE, recipe):
            log(f"building image {recipe.name} ({'not built' if built is None else 'out of date'})")
            return build_image(client, BUNDLE, recipe, base or find_base(client, None)).image_id
    image = find_image(client, function.image)
    if image is None:
        raise HarnessError(
            f"image {function.image} is not on this machine",
            f"[functions.{name}] in harness.toml",
            "build it, or pull it with `docker pull`",
        )
    return str(image.id)


def check_built(name: str, function: FunctionSettings) -> None:
    """Check that the function's image was built once or pulled, without building it.

    Args:
        name: The function.
        function: Its table in harness.toml.

    Raises:
        HarnessError: No image is declared, or it is not on this machine.
    """
    client = connect()
    try:
        recipe = RECIPES.get(function.image)
        if function.image and find_image(client, recipe.name if recipe else function.image) is None:
            raise HarnessError(
                f"image {function.image} is not on this machine", remedy=f"run `harness functions create {name}`"
            )
    finally:
        client.close()

"""The image that a function runs from: named in harness.toml, built when it is the project's own and not current."""

from harness.engine import connect, find_image
from harness.errors import HarnessError
from harness.images import RECIPES, build_image, find_base, list_images
from harness.settings import FunctionSettings
from harness.stack.plan import Log
from harness.stack.service import PROJECT


def current_image(name: str, function: FunctionSettings, *, log: Log) -> str:
    """The digest of the function's image, as the engine knows it.

    Images of the project's own functions are built when they are missing or their source has changed.

    Args:
        name: The function.
        function: Its table in harness.toml.
        log: Told when an image is built.

    Raises:
        HarnessError: No image is declared, it is not on this machine, or it cannot be built.
    """
    if not function.image:
        raise HarnessError(
            f"function {name} has no image, and container mode runs nothing else",
            f"[functions.{name}] in harness.toml",
            'add `image = "..."`, or run in process mode',
        )
    client = connect()
    try:
        recipe = RECIPES.get(function.image)
        if recipe is not None:
            (entry,) = list_images(client, PROJECT, [recipe])
            if entry.state in ("not built", "out of date"):
                log(f"building image {recipe.name} ({entry.state})")
                return build_image(client, PROJECT, recipe, find_base(client, None), log=lambda _: None).image_id
        image = find_image(client, function.image)
        if image is None:
            raise HarnessError(
                f"image {function.image} is not on this machine",
                f"[functions.{name}] in harness.toml",
                "build it, or pull it with `docker pull`",
            )
        return str(image.id)
    finally:
        client.close()

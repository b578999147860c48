"""Functions of one behaviour from fixtures/handlers, in either mode."""

import shutil
import uuid
from contextlib import closing, contextmanager
from pathlib import Path

from docker.errors import APIError, ImageNotFound

from harness.images.build import find_base
from harness.runs.functions import package
from harness.settings import OWN_RUNTIME, FunctionSettings
from harness.system.engine import connect
from harness.system.probes import wait_until

HANDLERS = Path(__file__).parents[2] / "fixtures" / "handlers"
ROLE = "arn:aws:iam::123456789012:role/any"


@contextmanager
def handlers_image(folder):
    """The ID of an image that holds all handlers, on the base of ours; removed after the block.

    Args:
        folder: For the build's files.
    """
    shutil.copytree(HANDLERS, folder / "handlers", ignore=shutil.ignore_patterns("__pycache__"))
    with closing(connect()) as client:
        base = find_base(client, None)
        # The name makes the image one of its own: sessions that run beside each other remove theirs alone.
        name = f"test-handlers-{uuid.uuid4().hex[:8]}"
        (folder / "Dockerfile").write_text(
            f'FROM {base.image_id}\nLABEL name={name}\nCOPY handlers/ /var/task/\nCMD ["echo.handler"]\n'
        )
        image, _ = client.images.build(path=str(folder), rm=True, tag=name)
        try:
            yield image.id
        finally:
            remove_image(client, image.id)


def remove_image(client, image_id):
    """Take an image off the engine, if it is there, with all its names.

    A function that was deleted a moment ago may still have a container on its way out, which is waited for.
    """
    assert wait_until(lambda: _removed(client, image_id), 60)


def _removed(client, image_id):
    try:
        client.images.remove(image_id, force=True)
    except ImageNotFound:
        return True
    except APIError:
        return False
    return True


def code_arguments(behaviour, image):
    """What CreateFunction needs to know of the code: from an image, or as a package when there is none."""
    if image is None:
        code = package(FunctionSettings(source=HANDLERS, handler=f"{behaviour}.handler"))
        return {"Runtime": OWN_RUNTIME, "Handler": f"{behaviour}.handler", "Code": {"ZipFile": code}}
    return {
        "PackageType": "Image",
        "Code": {"ImageUri": image},
        "ImageConfig": {"Command": [f"{behaviour}.handler"]},
    }


def lines_of(logs, name):
    """All lines of a function's log, without their ends; none before its first."""
    try:
        pages = logs.get_paginator("filter_log_events").paginate(logGroupName=f"/aws/lambda/{name}")
        return [event["message"].removesuffix("\n") for page in pages for event in page["events"]]
    except logs.exceptions.ResourceNotFoundException:
        return []

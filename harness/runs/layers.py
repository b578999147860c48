"""Layers: folders that a function finds below /opt on AWS, copied into the cache once for each content.

    <cache>/layers/<digest>/            python/, bin/, lib/ and whatever else the folder has

https://docs.aws.amazon.com/lambda/latest/dg/chapter-layers.html
"""

import hashlib
import shutil
from collections.abc import Mapping
from pathlib import Path

from harness.errors import HarnessError
from harness.runs.packing import Packed, check_folder, not_packed, packed_files
from harness.runtimes.folders import made_once
from harness.runtimes.mark import layers_folder
from harness.settings import FunctionSettings
from harness.stack.plan import Log

MOST_LAYERS = 5


def ensure_layers(function: FunctionSettings, cache: Path, *, log: Log) -> list[Path]:
    """Return the layers of a function in the cache, in the order in which AWS unpacks them.

    Args:
        function: The function's table in harness.toml.
        cache: The user's cache folder.
        log: Called if another command copies one of them.

    Raises:
        HarnessError: A folder does not exist or is no layer, there are too many, or the function has an image.
    """
    if not function.layers:
        return []
    if function.image:
        raise HarnessError(
            "a function with an image has no layers, on AWS neither",
            str(function.layers[0]),
            "copy the folder to /opt in the image, or remove `image`",
        )
    if len(function.layers) > MOST_LAYERS:
        raise HarnessError(
            f"the function has {len(function.layers)} layers; Lambda takes {MOST_LAYERS}", remedy="merge some of them"
        )
    return [_ensure(folder, cache, log) for folder in function.layers]


def _ensure(folder: Path, cache: Path, log: Log) -> Path:
    check_folder(folder, "layers")
    files = packed_files(folder)
    tops = {name.partition("/")[0] for name in files}
    if "python" not in tops and any(name.endswith(".py") for name in tops):
        raise HarnessError(
            f"layer {folder} has modules, but no folder `python`",
            "functions look for modules in /opt/python",
            f"move them into {folder / 'python'}",
        )
    copy = layers_folder(cache) / _digest(files)
    with made_once(copy, copy.is_dir, log) as partial:
        if partial is not None:
            for name, entry in files.items():
                _copy(entry, partial / name)
    return copy


def _digest(files: Mapping[str, Packed]) -> str:
    digest = hashlib.sha256()
    for name in sorted(files):
        entry = files[name]
        try:
            content = entry.content()
        except OSError as error:
            raise not_packed(error, entry.path) from error
        digest.update(f"{name}\0{entry.mode}\0{len(content)}\0".encode() + content)
    return digest.hexdigest()[:32]


def _copy(entry: Packed, place: Path) -> None:
    place.parent.mkdir(parents=True, exist_ok=True)
    if entry.is_folder:
        place.mkdir(exist_ok=True)
    elif entry.is_link:
        place.symlink_to(entry.path.readlink())
    else:
        shutil.copyfile(entry.path, place)
        place.chmod(entry.mode & 0o777)

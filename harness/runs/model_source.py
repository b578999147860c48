"""The source of a user's own model in a run's folder: `model_source.zip`, from which `harness predict` imports it."""

import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from harness.errors import HarnessError
from harness.gateway.errors import LambdaApiError
from harness.gateway.unpacking import unpack
from harness.runs.own_model import OwnModel
from harness.runs.packing import Packed, packed_file, packed_files, zipped
from training.model.source import source_sha256

SOURCE_OBJECT = "model_source.zip"


def files_of_model(model: OwnModel) -> dict[str, Packed]:
    """Return the files of a model by their names in a package."""
    return packed_files(model.path, None, model.path.name) if model.path.is_dir() else packed_file(model.path)


def pack_source(model: OwnModel) -> bytes:
    """Return a plain zip of the model's file or package; equal files give equal bytes."""
    return zipped(files_of_model(model), limited=False)


@contextmanager
def unpacked(archive: bytes, where: str) -> Iterator[Path]:
    """Unpack a model's source for the length of the block, and yield its folder.

    Args:
        archive: The zip.
        where: Its address, for errors.

    Raises:
        HarnessError: It is no zip, or has a name that leads out of the folder.
    """
    with tempfile.TemporaryDirectory(prefix="lambda-harness-model-") as temporary:
        folder = Path(temporary) / "source"
        try:
            unpack(archive, folder)
        except LambdaApiError as error:
            raise HarnessError(f"the model's source cannot be unpacked: {error}", where, "train again") from error
        yield folder


def checksum_of(archive: bytes, module: str, where: str = SOURCE_OBJECT) -> str:
    """Return the checksum of the source in a zip, as workers compute it of their package.

    Args:
        archive: The zip.
        module: The model's module.
        where: The zip's address, for errors.
    """
    with unpacked(archive, where) as folder:
        return source_sha256(top_of(folder, module))


def top_of(folder: Path, module: str) -> Path:
    """Return the file or the package of a model's module in an unpacked source."""
    name = module.partition(".")[0]
    package = folder / name
    return package if package.is_dir() else folder / f"{name}.py"


@contextmanager
def importable(folder: Path, module: str) -> Iterator[None]:
    """Let the block import a module from a folder, in place of one of that name from elsewhere.

    Args:
        folder: The folder.
        module: The module, dotted within a package.
    """
    top = module.partition(".")[0]
    _forget(top)
    sys.path.insert(0, str(folder))
    try:
        yield
    finally:
        sys.path.remove(str(folder))
        _forget(top)


def _forget(top: str) -> None:
    for name in [name for name in sys.modules if name == top or name.startswith(f"{top}.")]:
        del sys.modules[name]

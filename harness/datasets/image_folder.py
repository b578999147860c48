"""Folders of images, with one subfolder per class: decoded by Pillow to rows of the type cifar10.

    flowers/daisy/1.jpg          class 0, `daisy`
    flowers/daisy/deep/2.png     class 0
    flowers/rose/1.gif           class 1, `rose`

Classes are numbered in the order of their names. Images of any size become 32 x 32 pixels in red, green and blue:
turned as their EXIF data say, transparent pixels on white, stretched where they are no squares.

https://pillow.readthedocs.io/en/stable/reference/Image.html
"""

import os
import warnings
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple

import numpy as np
from numpy.typing import NDArray

from harness.datasets.tables.forms import is_table_name
from training.data.dataset import Dataset
from training.data.schema import ImageShape, Schema
from training.errors import InputError
from training.model.catalogue import DatasetType

if TYPE_CHECKING:
    from PIL.Image import Image

SIDE = 32
SHAPE = ImageShape(SIDE, SIDE, 3)

_FORMATS = ("PNG", "JPEG", "GIF")
_SUFFIXES = (".png", ".jpg", ".jpeg", ".jpe", ".jfif", ".gif")
# Files that Windows and macOS put into folders.
_OF_THE_SYSTEM = ("thumbs.db", "desktop.ini")
# Images that are decoded together; each takes 3 kB afterwards.
_BLOCK = 256
# A decoded image may have 270 MB, and Pillow decodes in as many threads.
_THREADS = min(4, os.cpu_count() or 1)
_MOST_SHOWN = 3
# Files after which a folder without images is none of images.
_MOST_LOOKED = 10_000


@dataclass(frozen=True)
class ImageFolderSpec:
    """A folder of images, with a subfolder for each class."""

    path: Path
    kind: ClassVar[str] = "images"
    data_type: ClassVar[DatasetType] = "cifar10"

    @property
    def name(self) -> str:
        """As in `--data`."""
        return str(self.path)

    @property
    def slug(self) -> str:
        """Return a word for the name of the bucket with its partitions."""
        return self.path.resolve().name

    def identity(self) -> list[Any]:
        """Return what the partitions depend on; a file counts as unchanged as `harness.datasets.specs` says."""
        files: list[Any] = []
        for file in list_images(self.path).files:
            status = file.path.stat()
            files.append([str(file.path.resolve()), status.st_size, status.st_mtime_ns])
        return files


class ImageFile(NamedTuple):
    """One image.

    Attributes:
        path: Its file.
        folder: The subfolder, which is its class; None for an image in the folder itself.
    """

    path: Path
    folder: str | None


@dataclass(frozen=True)
class ImageListing:
    """The images of a folder.

    Attributes:
        files: The images, by their paths in order.
        folders: The subfolders, in order; those without images too.
        skipped: The files and folders that are no images, and were passed over.
    """

    files: list[ImageFile]
    folders: list[str]
    skipped: list[Path] = field(default_factory=list)

    @property
    def notes(self) -> list[str]:
        """Return what was passed over, in a line."""
        if not self.skipped:
            return []
        shown = ", ".join(str(path) for path in self.skipped[:_MOST_SHOWN])
        more = len(self.skipped) - _MOST_SHOWN
        count = "1 hidden file was" if len(self.skipped) == 1 else f"{len(self.skipped)} hidden files were"
        return [f"{count} skipped: {shown}" + (f" and {more} more" if more > 0 else "")]

    def classes(self, name: str) -> list[str]:
        """Return the names of the classes.

        Args:
            name: The folder's name in errors.

        Raises:
            InputError: The folder is not divided into classes.
        """
        loose = next((file.path for file in self.files if file.folder is None), None)
        if loose is not None and self.folders:
            raise InputError(
                f"data `{name}`: the image {loose.name} lies beside the subfolders\n"
                "move it into the subfolder of its class, which is the name of the class"
            )
        filled = {file.folder for file in self.files}
        empty = next((folder for folder in self.folders if folder not in filled), None)
        if empty is not None:
            raise InputError(f"data `{name}`: the subfolder {empty} holds no images\nadd some, or remove it")
        if len(self.folders) < 2:
            found = f"one subfolder, {self.folders[0]}" if self.folders else "images and no subfolders"
            raise InputError(
                f"data `{name}`: has {found}; a classification needs two classes\n"
                "give each class a subfolder with its images"
            )
        return self.folders


def is_image_name(name: str) -> bool:
    """Return whether a file's name is that of an image."""
    return name.lower().endswith(_SUFFIXES) and not name.startswith(".")


def is_image_folder(folder: Path) -> bool:
    """Return whether a folder or its subfolders hold images, and no tables among the first files."""
    looked = 0
    for _, folders, names in os.walk(folder):
        folders.sort()
        if any(map(is_table_name, names)) or looked > _MOST_LOOKED:
            return False
        if any(map(is_image_name, names)):
            return True
        looked += len(names)
    return False


def list_images(path: Path) -> ImageListing:
    """Return the images in a folder and all its subfolders, or the one image of a file.

    Raises:
        InputError: A file is no image by its name, or the folder cannot be read.
    """
    if path.is_file():
        return ImageListing([ImageFile(path, None)], [])
    files: list[ImageFile] = []
    skipped: list[Path] = []

    def refuse(error: OSError) -> None:
        raise InputError(f"{error.filename}: the folder cannot be read: {error.strerror}") from error

    first: list[str] = []
    for place, folders, names in os.walk(path, onerror=refuse):
        here = Path(place)
        hidden = [name for name in folders if _is_hidden(name)]
        folders[:] = sorted(set(folders) - set(hidden))
        skipped += [here / name for name in hidden]
        parts = here.relative_to(path).parts
        if not parts:
            first = list(folders)
        for name in sorted(names):
            if _is_hidden(name):
                skipped.append(here / name)
            elif not is_image_name(name):
                raise InputError(
                    f"{here / name}: is no PNG, JPEG or GIF by its name, which a folder of images may hold alone\n"
                    "remove it, or convert it if it is an image"
                )
            else:
                files.append(ImageFile(here / name, parts[0] if parts else None))
    return ImageListing(sorted(files), first, skipped)


@dataclass(frozen=True)
class ImagesDescription:
    """What a folder of images holds.

    Attributes:
        source: The folder.
        classes: The number of images of each class.
        refused: Why a run would refuse it; None if it would not, as far as the files' names show.
        notes: What the user should know, one line each.
    """

    source: str
    classes: dict[str, int]
    refused: str | None
    notes: list[str]


def describe_images(spec: ImageFolderSpec) -> ImagesDescription:
    """Count the images of each class, without decoding them.

    Raises:
        InputError: A file is no image by its name, or the folder cannot be read.
    """
    listing, refused = list_images(spec.path), None
    try:
        listing.classes(spec.name)
    except InputError as error:
        refused = str(error)
    counts = dict.fromkeys(listing.folders, 0)
    for file in listing.files:
        if file.folder is not None:
            counts[file.folder] += 1
    return ImagesDescription(spec.name, counts, refused, listing.notes)


def read_images(files: Sequence[ImageFile]) -> Iterator[NDArray[np.uint8]]:
    """Yield the images in order as rows of the type cifar10, uint8 (rows, 3072), in blocks of bounded size.

    Raises:
        InputError: A file is no image, is damaged, or is too large; the message has its path.
    """
    from PIL import Image  # noqa: PLC0415 - for images alone

    with ThreadPoolExecutor(_THREADS, "decode") as threads, warnings.catch_warnings():
        warnings.simplefilter("error", Image.DecompressionBombWarning)
        for start in range(0, len(files), _BLOCK):
            paths = [file.path for file in files[start : start + _BLOCK]]
            yield np.stack(list(threads.map(decode_image, paths)))


def labelled_blocks(listing: ImageListing, classes: Sequence[str]) -> Iterator[Dataset]:
    """Yield the images with the numbers of their classes.

    Raises:
        InputError: As `read_images`.
    """
    numbers = {name: number for number, name in enumerate(classes)}
    y = np.array([numbers[file.folder or ""] for file in listing.files], np.float32)
    done = 0
    for rows in read_images(listing.files):
        yield Dataset(rows, y[done : done + len(rows)])
        done += len(rows)


def schema_of(classes: Sequence[str]) -> Schema:
    """Return the schema of images with these classes."""
    return Schema(task="classification", label=None, classes=list(classes), columns=[], image=SHAPE)


def decode_image(path: Path) -> NDArray[np.uint8]:
    """Return an image as a row of the type cifar10, uint8 (3072,): 1024 red, 1024 green and 1024 blue.

    Raises:
        InputError: The file is no image, is damaged, or is too large.
    """
    from PIL import Image, ImageOps, UnidentifiedImageError  # noqa: PLC0415

    try:
        with Image.open(path, formats=_FORMATS) as image:
            # A JPEG is decoded at an eighth of its size where that suffices.
            image.draft("RGB", (2 * SIDE, 2 * SIDE))
            turned = ImageOps.exif_transpose(image)
            small = _plain(turned).resize((SIDE, SIDE), Image.Resampling.BILINEAR, reducing_gap=3.0)
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise InputError(
            f"{path}: the image is too large to be decoded safely ({error})\nmake it smaller, or remove it"
        ) from error
    except UnidentifiedImageError as error:
        raise InputError(f"{path}: is no PNG, JPEG or GIF image\nremove it, or convert it") from error
    except (OSError, ValueError, SyntaxError, EOFError) as error:
        raise InputError(f"{path}: the image is damaged ({error})\nreplace or remove it") from error
    return np.ascontiguousarray(np.asarray(small, np.uint8).transpose(2, 0, 1)).reshape(-1)


def _plain(image: "Image") -> "Image":
    """Return an image in red, green and blue of 8 bits: wider numbers scaled, transparent pixels on white."""
    from PIL import Image  # noqa: PLC0415

    if image.mode.startswith("I"):
        return Image.fromarray((np.asarray(image).astype(np.uint32) >> 8).astype(np.uint8)).convert("RGB")
    if image.has_transparency_data:
        image = image.convert("RGBA")
        white = Image.new("RGBA", image.size, "white")
        return Image.alpha_composite(white, image).convert("RGB")
    return image.convert("RGB")


def _is_hidden(name: str) -> bool:
    return name.startswith(".") or name.lower() in _OF_THE_SYSTEM

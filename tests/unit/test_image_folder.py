"""Folders of images: classes from subfolders, pixels from files of all kinds, and files that are no images."""

import struct
import zlib

import numpy as np
import pytest
from PIL import Image

from harness.datasets.image_folder import decode_image, is_image_folder, labelled_blocks, list_images, schema_of
from training.errors import InputError

RED = (255, 0, 0)


@pytest.fixture
def folder(tmp_path):
    """Return a folder with two classes of two images each."""
    for name, colour in (("rose", RED), ("daisy", (255, 255, 255))):
        for number in (1, 2):
            put(tmp_path / name / f"{number}.png", Image.new("RGB", (40, 20), colour))
    return tmp_path


def put(path, image, **options):
    """Save an image."""
    path.parent.mkdir(parents=True, exist_ok=True)
    image.save(path, **options)
    return path


def planes(path):
    """Return an image as red, green and blue of 32 x 32 pixels."""
    return decode_image(path).reshape(3, 32, 32)


def test_subfolders_are_classes_in_the_order_of_their_names(folder):
    """Images in deeper folders belong to the first subfolder."""
    put(folder / "rose" / "deep" / "3.gif", Image.new("RGB", (9, 9), RED))
    listing = list_images(folder)
    classes = listing.classes("flowers")

    (block,) = labelled_blocks(listing, classes)

    assert ["daisy", "rose"] == classes
    assert ["daisy", "rose"] == schema_of(classes).classes
    assert [0, 0, 1, 1, 1] == block.y.tolist()
    assert (5, 3072) == block.x.shape
    assert np.uint8 == block.x.dtype
    assert [255, 255] == [int(block.x[4][:1024].mean()), int(block.x[0].mean())]


@pytest.mark.parametrize(
    ("name", "mode", "options"),
    [
        ("a.png", "RGB", {}),
        ("a.jpg", "RGB", {"quality": 100}),
        ("a.gif", "P", {}),
        ("a.png", "LA", {}),
        ("a.jpeg", "L", {}),
    ],
)
def test_files_of_all_kinds_are_read(tmp_path, name, mode, options):
    """A grey image has three equal colours."""
    image = Image.new("L", (50, 70), 100).convert(mode)

    found = planes(put(tmp_path / name, image, **options))

    assert np.abs(found.astype(int) - 100).max() <= 2


def test_an_animation_counts_as_its_first_frame(tmp_path):
    """The others are ignored."""
    frames = [Image.new("RGB", (32, 32), colour) for colour in (RED, (0, 0, 255))]
    frames[0].save(tmp_path / "a.gif", save_all=True, append_images=frames[1:])

    assert [255, 0, 0] == planes(tmp_path / "a.gif").mean(axis=(1, 2)).tolist()


def test_wide_grey_and_transparent_pixels(tmp_path):
    """16 bits are scaled to 8; a transparent pixel is white, whatever colour it hides."""
    wide = put(tmp_path / "wide.png", Image.fromarray(np.full((32, 32), 0x8000, np.uint16)))
    clear = put(tmp_path / "clear.png", Image.new("RGBA", (32, 32), (255, 0, 0, 0)))

    assert {128} == set(planes(wide).ravel().tolist())
    assert {255} == set(planes(clear).ravel().tolist())


def test_an_image_is_turned_as_its_exif_data_say(tmp_path):
    """Orientation 3 is upside down."""
    image = Image.new("RGB", (32, 32))
    image.paste(RED, (0, 0, 32, 16))
    exif = Image.Exif()
    exif[0x0112] = 3

    found = planes(put(tmp_path / "a.png", image, exif=exif))

    assert [0, 255] == [int(found[0, 0, 0]), int(found[0, 31, 0])]


def test_hidden_files_are_skipped_and_told(folder):
    """The files that a desktop leaves behind are no images."""
    (folder / "rose" / "Thumbs.db").write_bytes(b"x")
    (folder / ".DS_Store").write_bytes(b"x")
    (folder / ".cache").mkdir()

    listing = list_images(folder)

    assert 4 == len(listing.files)
    assert ["3 hidden files were skipped"] == [note.partition(":")[0] for note in listing.notes]


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b"not an image", "is no PNG, JPEG or GIF image"),
        (b"", "is no PNG, JPEG or GIF image"),
        (b"BM" + bytes(60), "is no PNG, JPEG or GIF image"),
    ],
)
def test_a_bad_image_is_named(folder, body, message):
    """The message has its path."""
    bad = folder / "rose" / "0.png"
    bad.write_bytes(body)
    listing = list_images(folder)

    with pytest.raises(InputError, match=message) as caught:
        list(labelled_blocks(listing, ["daisy", "rose"]))

    assert str(bad) in str(caught.value)


def test_a_truncated_image_is_named(folder):
    """Pillow would fill it with grey if it were told to."""
    whole = put(folder / "rose" / "1.png", Image.effect_noise((64, 64), 50)).read_bytes()
    (folder / "rose" / "1.png").write_bytes(whole[: len(whole) // 2])

    with pytest.raises(InputError, match=r"rose/1.png: the image is damaged"):
        decode_image(folder / "rose" / "1.png")


@pytest.mark.parametrize("side", [10_000, 30_000])
def test_a_decompression_bomb_is_refused(folder, side):
    """A few kilobytes would become gigabytes."""

    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = chunk(b"IHDR", struct.pack(">IIBBBBB", side, side, 8, 0, 0, 0, 0))
    bomb = folder / "rose" / "0.png"
    bomb.write_bytes(b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", zlib.compress(bytes(1000))) + chunk(b"IEND", b""))

    with pytest.raises(InputError, match=r"rose/0.png: the image is too large"):
        list(labelled_blocks(list_images(folder), ["daisy", "rose"]))


def test_folders_that_are_not_divided_into_classes_are_refused(folder):
    """The message says what to change."""
    put(folder / "empty" / "1.png", Image.new("RGB", (9, 9))).unlink()
    with pytest.raises(InputError, match="the subfolder empty holds no images"):
        list_images(folder).classes("flowers")
    (folder / "empty").rmdir()
    put(folder / "loose.png", Image.new("RGB", (9, 9)))
    with pytest.raises(InputError, match=r"the image loose.png lies beside the subfolders"):
        list_images(folder).classes("flowers")
    with pytest.raises(InputError, match="images and no subfolders; a classification needs two classes"):
        list_images(folder / "rose").classes("flowers")
    (folder / "rose" / "notes.txt").write_text("x")
    with pytest.raises(InputError, match=r"notes.txt: is no PNG, JPEG or GIF"):
        list_images(folder)


def test_a_folder_of_tables_is_no_folder_of_images(folder, tmp_path_factory):
    """The first file decides."""
    tables = tmp_path_factory.mktemp("tables")
    (tables / "part-0.parquet").write_bytes(b"PAR1")

    assert is_image_folder(folder)
    assert not is_image_folder(tables)

"""CIFAR-10's binary format: what is read from files of any size, and what is refused."""

import gzip
import io
import lzma
import tarfile

import numpy as np
import pytest

from harness.datasets import compressed
from harness.datasets.cifar10 import format_images
from harness.datasets.data_file import read_rows
from training.data.dataset import Dataset
from training.errors import InputError

IMAGES = Dataset(
    np.random.default_rng(0).integers(0, 256, (25, 3072), np.uint8),
    np.arange(25, dtype=np.float32) % 10,
)


@pytest.fixture
def image_file(tmp_path):
    """Writes a file of this content and returns its path."""

    def write(content):
        path = tmp_path / "batch.bin"
        path.write_bytes(content)
        return path

    return write


def read_all(path, **options):
    """All blocks of a file as one."""
    blocks = list(read_rows(path, data_type="cifar10", **options))
    return Dataset(np.concatenate([block.x for block in blocks]), np.concatenate([block.y for block in blocks]))


@pytest.mark.parametrize("compress", [bytes, gzip.compress, lzma.compress])
@pytest.mark.parametrize("piece", [1000, 3073, 10_000, 8 << 20])
def test_images_read_back_as_the_same_bytes(image_file, monkeypatch, compress, piece):
    """However the file falls into pieces, compressed or not, every image comes back with its label."""
    monkeypatch.setattr(compressed, "PIECE_BYTES", piece)
    path = image_file(compress(format_images(IMAGES)))

    read = read_all(path)

    np.testing.assert_array_equal(IMAGES.x, read.x)
    np.testing.assert_array_equal(IMAGES.y, read.y)
    assert 7 == read_all(path, limit=7).rows


def test_a_record_is_a_label_and_then_the_pixels():
    """The bytes are those of the published format: one for the label, 1024 for each colour."""
    content = format_images(IMAGES)

    assert 25 * 3073 == len(content)
    assert bytes([3]) + IMAGES.x[3].tobytes() == content[3 * 3073 : 4 * 3073]


def test_a_file_that_ends_within_a_record_is_refused(image_file):
    """The error names the file and the last whole record."""
    path = image_file(format_images(IMAGES)[:-1])

    with pytest.raises(InputError, match=r"batch.bin: behind record 24: 3072 bytes are not a whole number of CIFAR-10"):
        read_all(path)


def test_text_is_not_taken_for_images(image_file):
    """The error says which types of data text has."""
    with pytest.raises(InputError, match="dataset_type of LIBSVM text is dense_libsvm or sparse_libsvm"):
        read_all(image_file(b"1 1:0.5\n" * 1000))


def test_an_archive_is_refused_with_what_to_do(image_file):
    """CIFAR-10 is published as a tar archive; naming that is an error that says to unpack it."""
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w:gz") as archive:
        member = tarfile.TarInfo("cifar-10-batches-bin/data_batch_1.bin")
        member.size = 3073
        archive.addfile(member, io.BytesIO(bytes(3073)))

    with pytest.raises(
        InputError, match=r"is a tar archive, which is not supported\n.*\nunpack it, and name one of the files"
    ):
        read_all(image_file(file.getvalue()))


@pytest.mark.parametrize("label", [-1, 256])
def test_a_label_that_is_no_byte_is_refused(label):
    """The format has room for 0 to 255."""
    with pytest.raises(InputError, match="CIFAR-10's binary format has 0 to 255"):
        format_images(Dataset(IMAGES.x[:2], np.array([0, label], np.float32)))

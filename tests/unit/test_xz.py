"""The frame of .xz files: blocks are found, each is checked on its own, and what is written is what liblzma reads."""

import io
import lzma
from contextlib import closing

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.datasets import compressed, libsvm, xz
from harness.datasets.compressed import CompressedFile
from harness.datasets.data_file import read_rows
from harness.datasets.xz import XzWriter, find_blocks
from training.errors import InputError

TEXT = b"".join(b"%d 1:%d 2:0.5\n" % (row % 2, row) for row in range(3000))


@pytest.fixture
def small_blocks(monkeypatch):
    """Makes a text fall into many blocks."""
    monkeypatch.setattr(xz, "BLOCK_BYTES", 1000)
    monkeypatch.setattr(xz, "READ_BYTES", 64)


def written(*parts):
    """The .xz file of a text that is handed over in parts."""
    file = io.BytesIO()
    with closing(XzWriter(file)) as writer:
        for part in parts:
            writer.write(part)
        writer.finish()
    return file.getvalue()


def blocks_of(path):
    """What the file's indices tell."""
    with path.open("rb") as file:
        return find_blocks(file.fileno())


def text_of(path):
    """What the file holds."""
    with CompressedFile(path) as file:
        text = b"".join(file.pieces())
        assert file.bytes_total == file.bytes_done
    return text


@settings(deadline=None)  # the machine may be busy
@given(st.binary(max_size=4000), st.integers(0, 4000))
def test_liblzma_reads_what_is_written(text, cut):
    """The text comes back, and the bytes do not depend on how it was handed over."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(xz, "BLOCK_BYTES", 1000)
        content = written(text)
        assert content == written(text[:cut], text[cut:])

    assert text == lzma.decompress(content)


@pytest.mark.usefixtures("small_blocks")
def test_blocks_of_all_streams_are_found(tmp_path):
    """Whoever wrote them, with padding between streams or not; their texts' sizes add up."""
    path = tmp_path / "rows.xz"
    path.write_bytes(written(TEXT) + bytes(8) + lzma.compress(TEXT, check=lzma.CHECK_SHA256) + written(b""))

    blocks = blocks_of(path)

    assert 1 + -(-len(TEXT) // 1000) == len(blocks)
    assert 2 * len(TEXT) == sum(block.text_bytes for block in blocks)
    assert 2 * TEXT == text_of(path)


@pytest.mark.usefixtures("small_blocks")
@pytest.mark.parametrize("limit", [0, 1000, 2500, 1 << 20])
def test_blocks_give_the_text_however_many_are_decompressed_side_by_side(tmp_path, monkeypatch, limit):
    """One after the other or several at a time: the order is the file's."""
    monkeypatch.setattr(compressed, "_SIDE_BY_SIDE_BYTES", limit)
    path = tmp_path / "rows.xz"
    path.write_bytes(written(TEXT))

    assert TEXT == text_of(path)


@pytest.mark.usefixtures("small_blocks")
@pytest.mark.parametrize("keep", [-1, -12, -40, -4000, 20, 7])
def test_a_file_that_is_cut_off_is_refused_before_it_is_read(tmp_path, keep):
    """Wherever it ends."""
    path = tmp_path / "HIGGS.xz"
    path.write_bytes(written(TEXT)[:keep])

    assert blocks_of(path) is None
    with pytest.raises(InputError, match=r"HIGGS\.xz: does not end as an \.xz file does: it is cut off or damaged"):
        next(read_rows(path))


@pytest.mark.usefixtures("small_blocks")
def test_the_first_rows_of_a_file_that_is_cut_off_can_be_taken(tmp_path, monkeypatch):
    """When no more are asked for than are there."""
    monkeypatch.setattr(compressed, "PIECE_BYTES", 100)
    monkeypatch.setattr(libsvm, "PIECE_BYTES", 100)
    path = tmp_path / "HIGGS.xz"
    path.write_bytes(written(TEXT)[:-1000])

    assert 10 == sum(block.rows for block in read_rows(path, limit=10))


@pytest.mark.usefixtures("small_blocks")
def test_no_damage_goes_unnoticed(tmp_path):
    """A byte that changed anywhere in a file of many blocks is an error that names the file."""
    content = written(TEXT)
    path = tmp_path / "HIGGS.xz"
    for position in np.random.default_rng(0).integers(6, len(content), 200).tolist():
        damaged = bytearray(content)
        damaged[position] ^= 0x55
        path.write_bytes(damaged)

        with pytest.raises(InputError, match=r"HIGGS\.xz.*(cut off|damaged|neither text)"):
            sum(block.rows for block in read_rows(path))


@pytest.mark.usefixtures("small_blocks")
def test_the_rows_before_the_damage_can_be_taken(tmp_path):
    """An error comes where the damage lies, not where a thread that runs ahead meets it."""
    content = bytearray(written(TEXT))
    content[len(content) * 3 // 4] ^= 0x55
    path = tmp_path / "HIGGS.xz"
    path.write_bytes(content)

    with CompressedFile(path) as file, pytest.raises(InputError, match="damaged"):
        b"".join(file.pieces())
    with CompressedFile(path) as file:
        assert TEXT.startswith(next(file.pieces()))

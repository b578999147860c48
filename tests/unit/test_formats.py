"""Data files of formats that people have: read in every encoding and compression that a library reads, else named."""

import bz2
import gzip
import io
import json
import lzma
import pickle
import sqlite3
import tarfile
import zipfile

import numpy as np
import pytest

from harness.datasets.data_file import read_rows, with_base
from harness.datasets.foreign import FORMATS_READ
from harness.datasets.inspection import inspect_file
from training.errors import InputError

TEXT = b"-1 1:0.5 3:2\n1 2:0.25\n" * 30


def zipped(**members):
    """A zip archive of these members."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return file.getvalue()


def tarred():
    """A tar archive of one file."""
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w") as archive:
        archive.addfile(tarfile.TarInfo("data.txt"), io.BytesIO())
    return file.getvalue()


def saved(save, *arrays, **named):
    """What NumPy writes."""
    file = io.BytesIO()
    save(file, *arrays, **named)
    return file.getvalue()


def database(path):
    """The bytes of a SQLite database."""
    with sqlite3.connect(path) as connection:
        connection.execute("create table t (x)")
    connection.close()
    return path.read_bytes()


READ = {
    "lzma alone": lzma.compress(TEXT, lzma.FORMAT_ALONE),
    "zip of one file": zipped(data=TEXT),
    "zip made on macOS": zipped(**{"data": TEXT, "__MACOSX/._data": b"junk"}),
    "UTF-8 with a mark": b"\xef\xbb\xbf" + TEXT,
    "UTF-16": TEXT.decode().encode("utf-16"),
    "UTF-16, big end first": b"\xfe\xff" + TEXT.decode().encode("utf-16-be"),
    "UTF-32": TEXT.decode().encode("utf-32"),
    "UTF-16 in gzip": gzip.compress(TEXT.decode().encode("utf-16")),
    "old Macs' line ends": TEXT.replace(b"\n", b"\r"),
    "Windows' line ends": TEXT.replace(b"\n", b"\r\n"),
    "query ids": TEXT.replace(b"1 ", b"1 qid:3 "),
    "zero-based": b"-1 0:0.5 2:2\n1 1:0.25\n" * 30,
    "zero-based, shown late": TEXT.replace(b"3:", b"2:").replace(b" 2:0.25", b" 1:0.25").replace(b" 1:0.5", b" 0:0.5"),
}


@pytest.mark.parametrize("content", READ.values(), ids=READ)
def test_a_file_is_read_whatever_its_encoding(tmp_path, content):
    """The content decides, not the name; all of them give the same rows."""
    path = tmp_path / "data.csv"
    path.write_bytes(content)

    found = inspect_file(path)
    blocks = with_base("auto", lambda zero_based: list(read_rows(path, zero_based=zero_based)))

    assert (60, 3, [(-1, 30), (1, 30)]) == (found.rows, found.features, [(c.label, c.rows) for c in found.labels])
    assert [[0.5, 0, 2], [0, 0.25, 0]] * 30 == np.concatenate([block.x for block in blocks]).tolist()


NAMED = {
    "Zstandard in gzip": (gzip.compress(b"\x28\xb5\x2f\xfd" + bytes(60)), "a Zstandard file within", "outer one"),
    "7-Zip": (b"7z\xbc\xaf\x27\x1c" + bytes(60), "a 7-Zip archive", "7z x"),
    "tar": (tarred(), "a tar archive", "unpack it"),
    "tar in gzip": (gzip.compress(tarred()), "a tar archive", "unpack it"),
    "zip of two files": (zipped(a=TEXT, b=TEXT), "a zip archive of 2 files", "unzip"),
    "zip in gzip": (gzip.compress(zipped(a=TEXT)), "a zip archive within another file", "unzip"),
    "npy": (saved(np.save, np.eye(3)), r"an array of NumPy's \(.npy\)", "dump_svmlight_file"),
    "npz": (saved(np.savez, x=np.eye(3)), "a NumPy .npz file", "dump_svmlight_file"),
    "Parquet": (b"PAR1" + bytes(60) + b"PAR1", "a Parquet file", "dump_svmlight_file"),
    "HDF5": (b"\x89HDF\r\n\x1a\n" + bytes(60), "an HDF5 file", "dump_svmlight_file"),
    "pickle": (pickle.dumps({b"data": [1]}, 2), "a pickle of Python's", "binary version"),
    "UTF-16 without a mark": (TEXT.decode().encode("utf-16-le"), "UTF-16LE text", "iconv -f UTF-16LE"),
    "CSV": (b"label,a,b\n1,0.5,2\n", r"a table of columns with `,` between them \(CSV\)", "dump_svmlight_file"),
    "CSV without a header": (b"1,0.5,2\n0,1,3\n", "a table of columns with `,`", "dump_svmlight_file"),
    "TSV": (b"1\t0.5\t2\n0\t1\t3\n", "a table of numbers without indices", "dump_svmlight_file"),
    "ARFF": (b"% a remark\n@relation r\n@data\n1,2\n", "an ARFF file", "dump_svmlight_file"),
    "JSON": (json.dumps([{"x": 1}], indent=1).encode(), "JSON", "dump_svmlight_file"),
    "JSON lines": (b'{"x": 1}\n{"x": 2}\n', "JSON", "dump_svmlight_file"),
    "an error page": (b"<!DOCTYPE html>\n<html>", "an XML or HTML document", "error page"),
    "Git LFS": (b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n", "a pointer of Git LFS", "git lfs pull"),
    "several labels": (b"1,3 1:0.5\n2 2:1\n", "LIBSVM text with several labels", "one label"),
    "junk": (bytes(range(256)) * 3, "binary data of an unknown kind", "CIFAR-10's binary format is cifar10"),
}


@pytest.mark.parametrize(("content", "what", "remedy"), NAMED.values(), ids=NAMED)
def test_another_format_is_named(tmp_path, content, what, remedy):
    """The error says what the file is, which formats are read, and what to do, in three lines."""
    path = tmp_path / "data.txt"
    path.write_bytes(content)

    with pytest.raises(InputError, match=rf"is {what}.*, which is not supported\n") as refusal:
        list(read_rows(path))

    lines = str(refusal.value).splitlines()
    assert 3 == len(lines)
    assert FORMATS_READ == lines[1]
    assert remedy in lines[2]


def test_a_database_is_named(tmp_path):
    """SQLite's own bytes."""
    content = database(tmp_path / "data.sqlite")

    with pytest.raises(InputError, match="is a SQLite database, which is not supported"):
        inspect_file(tmp_path / "data.sqlite")

    assert content.startswith(b"SQLite format 3")


BROKEN = {
    "lzma": (lzma.compress(TEXT, lzma.FORMAT_ALONE)[:-10], "the lzma data is cut off before its end"),
    "xz": (lzma.compress(TEXT)[:-20], "cut off or damaged"),
    "gzip": (gzip.compress(TEXT)[:-10], "the gzip data is cut off before its end"),
    "gzip, damaged": (gzip.compress(TEXT)[:-6] + bytes(6), "the file is damaged"),
    "bzip2": (bz2.compress(TEXT)[:-10], "the bzip2 data is cut off before its end"),
    "zip": (zipped(a=TEXT)[:-30], "the zip archive is damaged or cut off"),
    "UTF-16": (TEXT.decode().encode("utf-16")[:-1], "is cut off or not UTF-16 text"),
    "nothing": (b"", "holds no rows"),
    "blank lines": (b"# nothing\n\n", "holds no rows"),
}


@pytest.mark.parametrize(("content", "message"), BROKEN.values(), ids=BROKEN)
def test_a_file_that_is_not_whole_is_refused(tmp_path, content, message):
    """Nothing is taken from the part that is there."""
    path = tmp_path / "data"
    path.write_bytes(content)

    with pytest.raises(InputError, match=message):
        inspect_file(path)


def test_an_encrypted_zip_is_named(tmp_path):
    """The archive's own flag says so; nobody can be asked for the password."""
    content = bytearray(zipped(data=TEXT))
    content[6] |= 1  # the local header's flag, and the central directory's
    content[content.index(b"PK\x01\x02") + 8] |= 1
    path = tmp_path / "data.zip"
    path.write_bytes(content)

    with pytest.raises(InputError, match=r"a zip archive that cannot be unpacked here .*password"):
        inspect_file(path)


@pytest.mark.parametrize("zero_based", ["auto", "no", "yes"])
def test_no_two_rows_of_a_file_go_by_different_bases(tmp_path, monkeypatch, zero_based):
    """An index 0 at the end of a long file makes all of it zero-based, also where it is read in pieces."""
    monkeypatch.setattr("harness.datasets.compressed.PIECE_BYTES", 64)
    monkeypatch.setattr("harness.datasets.libsvm.PIECE_BYTES", 64)
    path = tmp_path / "data"
    path.write_bytes(b"1 1:1\n" * 100 + b"0 0:2\n")

    def read(from_0):
        return [row for block in read_rows(path, n_features=2, zero_based=from_0) for row in block.x.tolist()]

    if zero_based == "no":
        with pytest.raises(InputError, match=r"line 101: feature index 0; .* --zero-based yes"):
            with_base(zero_based, read)
    else:
        assert [[0, 1]] * 100 + [[2, 0]] == with_base(zero_based, read)

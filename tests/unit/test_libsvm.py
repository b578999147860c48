"""LIBSVM text: the partitioner's fast reader and the worker's parser agree, and both name the line that is wrong."""

import bz2
import gzip
import lzma

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays
from scipy.sparse import csr_array

from harness.datasets import compressed, libsvm
from harness.datasets.data_file import read_rows
from harness.datasets.libsvm import MOST_FEATURES, format_rows
from training.data.dataset import Dataset
from training.data.libsvm import parse_dense, parse_sparse
from training.errors import InputError

HIGGS_LINE = b"1.000000000000000000e+00 1:8.692932128906250000e-01 2:-6.350818276405334473e-01\n"

finite = st.floats(width=32, allow_nan=False, allow_infinity=False)
labels = st.integers(-1000, 1000)
matrices = arrays(np.float32, array_shapes(min_dims=2, max_dims=2, max_side=8), elements=finite)

BAD_LINES = [
    (b"1 1:abc 2:0.5", "value of feature 1 `abc` is not a number"),
    (b"1 1:0.5 2:", "the value of feature 2 is missing in `2:`"),
    (b"1 1:0.5 2:1_0", "value of feature 2 `1_0` is not a number"),
    (b"1 1:0.5 2:0x10", "value of feature 2 `0x10` is not a number"),
    (b"1 1:nan 2:0.5", "value of feature 1 `nan` is not a finite number"),
    (b"1 1:0.5 2:-inf", "value of feature 2 `-inf` is not a finite number"),
    (b"1 1:1e39 2:0.5", "value of feature 1 `1e39` is not a finite number"),
    (b"yes 1:0.5 2:0.5", "label `yes` is not a number"),
    (b"inf 1:0.5 2:0.5", "label `inf` is not a finite number"),
    (b"1:0.5 2:0.5", "the label is missing: the line begins with `1:0.5`"),
    (b"1 :0.5 2:0.5", "an index is missing in `:0.5`"),
    (b"1 0.5 0.5", "`0.5` is not of the form index:value"),
    (b"1 1:0.5 0.5", "`0.5` is not of the form index:value"),
    (b"1 1: 0.5 2:0.5", "the value of feature 1 is missing in `1:`"),
    (b"1 1:2:3 2", "value of feature 1 `2:3` is not a number"),
    (b"1 a:0.5 2:0.5", "index `a` is not a whole number"),
    (b"1 1.0:0.5 2:0.5", "index `1.0` is not a whole number"),
    (b"1 -1:0.5 2:0.5", "index `-1` is not a whole number"),
    (b"1 0:0.5 1:0.5", "feature index 0; indices start at 1"),
    (b"1 2:0.5 1:0.5", "feature index 1 comes after 2"),
    (b"1 1:0.5 1:0.5", "feature index 1 comes after 1"),
    (b"1 1:0.5 3:0.5", "feature index 3 is beyond 2, the job's number of features"),
    (b"1 1:0.5 70000:0.5", "feature index 70000 is beyond 2"),
    (b"1,1:0.5,2:0.5", "the label is missing: the line begins with `1,1:0.5,2:0.5`"),
    (b"1 1:0.5 2:" + b"9" * 60 + b"x", "9...` is not a number"),
    (b"\xff\xfe 1:0.5", r"label `\xff\xfe` is not a number"),
]


BOTH = pytest.mark.parametrize("data_type", ["dense_libsvm", "sparse_libsvm"])


def dense(x):
    """Rows of either kind as a dense matrix."""
    return x if isinstance(x, np.ndarray) else x.toarray()


def read_all(path, **options):
    """All blocks of a file as one, narrow blocks and sparse rows filled with zeros."""
    blocks = [Dataset(dense(block.x), block.y) for block in read_rows(path, **options)]
    width = max((block.x.shape[1] for block in blocks), default=0)
    x = np.zeros((sum(block.rows for block in blocks), width), np.float32)
    rows = 0
    for block in blocks:
        x[rows : rows + block.rows, : block.x.shape[1]] = block.x
        rows += block.rows
    return Dataset(x, np.concatenate([block.y for block in blocks]) if blocks else np.empty(0, np.float32))


def parse(text, data_type, *, source="s", n_features):
    """What a worker makes of a text."""
    parser = {"dense_libsvm": parse_dense, "sparse_libsvm": parse_sparse}[data_type]
    return Dataset(*parser(text, source=source, n_features=n_features))


def assert_same(expected, actual):
    """Both hold the same numbers; -0 and 0 are the same."""
    np.testing.assert_array_equal(expected.x, dense(actual.x))
    np.testing.assert_array_equal(expected.y, actual.y)


@pytest.fixture
def text_file(tmp_path):
    """Writes a file of this content and returns its path."""

    def write(content, name="data.txt"):
        path = tmp_path / name
        path.write_bytes(content)
        return path

    return write


@pytest.fixture
def small_pieces(monkeypatch):
    """Makes files fall into many pieces, and blocks of rows into many blocks."""
    monkeypatch.setattr(compressed, "PIECE_BYTES", 64)
    monkeypatch.setattr(compressed, "READ_BYTES", 16)
    monkeypatch.setattr(libsvm, "PIECE_BYTES", 100)
    monkeypatch.setattr("training.data.libsvm.PIECE_BYTES", 100)


@st.composite
def sparse_texts(draw):
    """Rows that leave out zeros, written in any way the format allows, with what they should be read as."""
    x = draw(arrays(np.float32, array_shapes(min_dims=2, max_dims=2, max_side=6), elements=finite | st.just(0.0)))
    x[-1, -1] = 1
    y = [draw(labels) for _ in x]
    lines = []
    for label, row in zip(y, x, strict=True):
        lines += draw(st.lists(st.sampled_from(["", "  ", "# a remark", "\r"]), max_size=1))
        form = draw(st.sampled_from(["{}", "{:+d}", "{}.0", "{:.18e}"]))
        blank = draw(st.sampled_from([" ", "  ", "\t"]))
        keep_zeros = draw(st.booleans())
        pairs = [f"{i}:{value!r}" for i, value in enumerate(row.tolist(), 1) if value != 0 or keep_zeros]
        end = draw(st.sampled_from(["", " ", "\t", "\r", " # 1:2"]))
        lines.append(blank.join([form.format(label), *pairs]) + end)
    text = "\n".join(lines) + draw(st.sampled_from(["", "\n", "\n\n"]))
    return text.encode(), Dataset(x, np.array(y, np.float32))


@settings(deadline=None)  # the machine may be busy
@given(matrices, st.data())
def test_text_reads_back_as_the_same_numbers(tmp_path_factory, x, data):
    """What is written as text comes back bit for bit, from the fast reader and from the worker's parser."""
    y = np.array([data.draw(labels) for _ in x], np.float32)
    path = tmp_path_factory.mktemp("libsvm") / "data"
    path.write_bytes(format_rows(Dataset(x, y)))

    read = read_all(path)
    parsed = Dataset(*parse_dense(path.read_bytes(), source="s", n_features=x.shape[1]))

    assert x.tobytes() == read.x.tobytes() == parsed.x.tobytes()
    assert y.tobytes() == read.y.tobytes() == parsed.y.tobytes()


@settings(deadline=None)  # the machine may be busy
@given(matrices, st.data())
def test_sparse_rows_read_back_as_the_same_numbers(tmp_path_factory, x, data):
    """Sparse rows written as text come back with the same numbers stored, empty rows included."""
    rows = csr_array(x)
    block = Dataset(rows, np.array([data.draw(labels) for _ in x], np.float32))
    path = tmp_path_factory.mktemp("libsvm") / "data"
    path.write_bytes(format_rows(block))

    (read,) = read_rows(path, data_type="sparse_libsvm", n_features=x.shape[1])
    parsed = parse(path.read_bytes(), "sparse_libsvm", n_features=x.shape[1])

    for back in (read, parsed):
        np.testing.assert_array_equal(rows.indptr, back.x.indptr)
        np.testing.assert_array_equal(rows.indices, back.x.indices)
        assert rows.data.tobytes() == back.x.data.tobytes()
        assert block.y.tobytes() == back.y.tobytes()


@settings(deadline=None)  # the machine may be busy
@given(sparse_texts())
def test_left_out_zeros_are_zero_however_the_text_is_laid_out(tmp_path_factory, example):
    """Left out zeros, remarks, blank lines, tabs, spare blanks and Windows line ends make no difference."""
    text, expected = example
    path = tmp_path_factory.mktemp("libsvm") / "data"
    path.write_bytes(text)

    for data_type in ("dense_libsvm", "sparse_libsvm"):
        assert_same(expected, read_all(path, data_type=data_type))
        assert_same(expected, parse(text, data_type, n_features=expected.x.shape[1]))


@pytest.mark.parametrize(
    ("written", "label"),
    [
        ("0", 0),
        ("1", 1),
        ("-1", -1),
        ("+1", 1),
        ("1.000000000000000000e+00", 1),
        ("0.000000000000000000e+00", 0),
        ("7", 7),
    ],
)
def test_labels_are_read_in_every_notation(text_file, written, label):
    """Labels may be 0/1, -1/+1, any other whole number, and in HIGGS's own notation."""
    text = f"{written} 1:2 2:3\n".encode() * 3

    assert [label] * 3 == read_all(text_file(text)).y.tolist()
    assert [label] * 3 == parse_dense(text, source="s", n_features=2)[1].tolist()


@pytest.mark.parametrize(
    "compress",
    [
        bytes,
        lzma.compress,
        gzip.compress,
        bz2.compress,
        pytest.param(
            lambda text: lzma.compress(text[:700]) + bytes(4) + lzma.compress(text[700:]), id="xz-two-streams"
        ),
        pytest.param(lambda text: bz2.compress(text[:700]) + bz2.compress(text[700:]), id="bz2-two-streams"),
        pytest.param(lambda text: gzip.compress(text[:700]) + gzip.compress(text[700:]), id="gz-two-streams"),
        pytest.param(lambda text: text.rstrip(b"\n"), id="no-last-newline"),
    ],
)
@pytest.mark.usefixtures("small_pieces")
def test_the_content_tells_the_compression(text_file, compress):
    """Plain, xz, gzip and bzip2 files, also of several streams, give all their rows whatever their name is."""
    text = b"".join(b"%d 1:%d 2:0.5\n" % (row % 2, row) for row in range(100))

    read = read_all(text_file(compress(text), "HIGGS.dat"))

    assert list(range(100)) == read.x[:, 0].tolist()
    assert [0, 1] * 50 == read.y.tolist()


@BOTH
@pytest.mark.parametrize(("line", "message"), BAD_LINES)
def test_a_line_that_does_not_parse_is_named(text_file, data_type, line, message):
    """Both parsers refuse a bad line, name file and line number, and quote what is wrong."""
    text = HIGGS_LINE * 1233 + line + b"\n" + HIGGS_LINE
    path = text_file(text, "HIGGS.xz")

    with pytest.raises(InputError) as from_file:
        read_all(path, n_features=2, data_type=data_type)
    with pytest.raises(InputError) as from_worker:
        parse(text, data_type, source="bucket/0_2", n_features=2)

    assert str(from_file.value).startswith(f"{path} line 1234: ")
    assert str(from_worker.value).startswith("bucket/0_2 line 1234: ")
    assert message in str(from_file.value)
    assert message in str(from_worker.value)


@BOTH
@pytest.mark.parametrize("line_number", [1, 2, 57, 100])
@pytest.mark.usefixtures("small_pieces")
def test_lines_are_counted_through_all_pieces(text_file, data_type, line_number):
    """The number of a bad line is right in whichever piece it lies, blank lines and remarks included."""
    lines = [b"1 1:0.5", b"", b"# remark", b"0 1:1"] * 25
    lines[line_number - 1] = b"1 1:x"
    text = b"\n".join(lines)

    with pytest.raises(InputError, match=rf"data.txt line {line_number}: "):
        read_all(text_file(text), data_type=data_type)
    with pytest.raises(InputError, match=rf"^s line {line_number}: "):
        parse(text, data_type, n_features=1)


@BOTH
@pytest.mark.usefixtures("small_pieces")
def test_columns_that_show_late_are_found(text_file, data_type):
    """The largest index of the file counts, wherever it is."""
    text = b"0 1:1\n" * 50 + b"1 3:7\n" + b"0 2:2\n" * 50

    read = read_all(text_file(text), data_type=data_type)

    assert (101, 3) == read.x.shape
    assert [0, 0, 7] == read.x[50].tolist()


def test_more_features_than_the_file_has_are_zero(text_file):
    """With `n_features` the columns are as many as asked for."""
    assert [[1, 2, 0, 0]] == read_all(text_file(b"1 1:1 2:2\n"), n_features=4).x.tolist()


def test_a_sparse_data_set_is_not_taken_for_a_dense_one(text_file):
    """An index far beyond what dense rows may have is an error that says so, and what takes such rows."""
    path = text_file(b"1 1:1\n1 47236:1\n")
    with pytest.raises(
        InputError,
        match=rf"line 2: feature index 47236 is beyond {MOST_FEATURES}, the maximum for dense rows; "
        "dataset type sparse_libsvm allows more",
    ):
        read_all(path)

    assert [(2, 47_236)] == [block.x.shape for block in read_rows(path, data_type="sparse_libsvm")]


def test_rows_of_very_different_length_are_read(text_file):
    """One long line among very many short ones neither costs much memory nor changes anything."""
    wide = b"1 " + b" ".join(b"%d:%d" % (i, i) for i in range(1, 2001)) + b"\n"
    text = wide + b"0 1:5\n" * 20_000 + wide

    read = read_all(text_file(text))

    assert (20_002, 2000) == read.x.shape
    assert 5.0 * 20_000 + 2 * 2000 * 2001 / 2 == read.x.sum(dtype=float)


def test_short_lines_of_wide_rows_come_in_small_blocks(text_file):
    """Rows that are far wider than their text is long do not fill the memory."""
    path = text_file(b"1 1:1\n" * 3000 + b"0 2:1\n" * 3000)

    blocks = list(read_rows(path, n_features=MOST_FEATURES))

    assert 6000 == sum(block.rows for block in blocks)
    assert max(block.x.nbytes for block in blocks) <= 16 << 20


@BOTH
def test_a_limit_takes_the_first_rows(text_file, data_type):
    """With a limit exactly that many rows come, or all of a shorter file."""
    path = text_file(b"".join(b"1 1:%d\n" % row for row in range(30)))

    assert list(range(20)) == read_all(path, limit=20, data_type=data_type).x[:, 0].tolist()
    assert 30 == read_all(path, limit=31, data_type=data_type).rows


def test_progress_ends_with_the_whole_file(text_file):
    """The callback hears of rows and bytes; the last call has all of both."""
    calls = []
    content = lzma.compress(HIGGS_LINE * 500)

    read_all(text_file(content), progress=lambda *call: calls.append(call))

    assert (500, len(content), len(content)) == calls[-1]


@pytest.mark.parametrize("compress", [lzma.compress, gzip.compress, bz2.compress])
@pytest.mark.parametrize("damage", ["cut off", "damaged"])
def test_a_broken_compressed_file_is_one_clear_error(text_file, compress, damage):
    """A compressed file that is cut off or damaged is refused with its name, not read in part."""
    rows = np.random.default_rng(0).normal(size=(2000, 3)).astype(np.float32)
    content = bytearray(compress(format_rows(Dataset(rows, np.ones(2000, np.float32)))))
    if damage == "cut off":
        del content[len(content) // 2 :]
    else:
        content[len(content) // 2] ^= 0xFF

    with pytest.raises(InputError, match=r"HIGGS.xz: .*(cut off|damaged)"):
        read_all(text_file(bytes(content), "HIGGS.xz"))


def test_rubbish_behind_an_xz_stream_is_not_ignored(text_file):
    """Whatever follows a complete xz stream and is none itself is an error, because rows may be missing."""
    with pytest.raises(InputError, match="damaged"):
        read_all(text_file(lzma.compress(HIGGS_LINE) + b"rubbish"))


@BOTH
@pytest.mark.parametrize(
    "content", [b"1 1:2\x00", b"\x07" + bytes(range(100, 200)) * 40], ids=["text and a NUL", "records"]
)
def test_a_file_that_is_no_text_is_refused(text_file, data_type, content):
    """Binary files that are not compressed in a known way are refused at once."""
    with pytest.raises(
        InputError, match=r"is not supported\nsupported here: LIBSVM text .*\n.*CIFAR-10's binary format is cifar10"
    ):
        read_all(text_file(content), data_type=data_type)


def test_a_file_without_line_ends_is_refused(text_file, monkeypatch):
    """Text that never ends a line is refused before it fills the memory."""
    monkeypatch.setattr(compressed, "PIECE_BYTES", 1000)
    monkeypatch.setattr(libsvm, "PIECE_BYTES", 1000)
    monkeypatch.setattr(libsvm, "_LONGEST_LINE_BYTES", 5000)

    with pytest.raises(InputError, match="no line ends within"):
        read_all(text_file(b"1:1 " * 10_000))


@pytest.mark.parametrize("name", ["nothing.xz", "."])
def test_a_file_that_cannot_be_opened_is_named(tmp_path, name):
    """A missing file and a folder are errors that name it."""
    with pytest.raises(InputError, match=r"cannot be read: (No such file|Is a directory)"):
        read_all(tmp_path / name)


@BOTH
def test_an_empty_file_has_no_rows(text_file, data_type):
    """A file without bytes, or with blank lines only, gives no rows."""
    for content in (b"", b"\n\n# nothing\n"):
        assert 0 == read_all(text_file(content), data_type=data_type).rows
        assert 0 == parse(content, data_type, n_features=3).rows

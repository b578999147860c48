"""The data sets that `--data` names: what is understood, what is made, and which bucket takes it."""

import json
import os

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fixtures.compressed import CompressedFile
from fixtures.datasets import (
    SKLEARN_SETS,
    BucketSpec,
    FileSpec,
    SklearnSpec,
    SyntheticSpec,
    bucket_for,
    load_arrays,
    parse_data_spec,
)
from fixtures.inspection import inspect_file
from fixtures.libsvm import format_rows, read_rows
from fixtures.make_data import make_file
from fixtures.sidecar import read_sidecar, sidecar_path
from fixtures.synthetic import BLOCK_ROWS, synthetic_blocks
from training.dataset import Dataset
from training.errors import InputError


@pytest.mark.parametrize(
    ("text", "spec"),
    [
        ("synthetic:rows=100000,features=28", SyntheticSpec(100_000, 28)),
        ("synthetic:features=3,rows=12001", SyntheticSpec(12_001, 3)),
        ("synthetic:rows=5", SyntheticSpec(5, 28)),
        ("synthetic", SyntheticSpec()),
        ("sklearn:breast_cancer", SklearnSpec("breast_cancer")),
        ("s3://higgs-2", BucketSpec("higgs-2")),
        ("s3://higgs-2/", BucketSpec("higgs-2")),
    ],
)
def test_a_data_spec_is_understood(text, spec):
    """Each form of `--data` names a set, and its name reads back as the same."""
    assert spec == parse_data_spec(text)
    assert spec == parse_data_spec(spec.name)


def test_a_path_is_a_file(tmp_path):
    """Whatever is none of the other forms is the path of a file."""
    path = tmp_path / "HIGGS.xz"
    path.touch()

    assert FileSpec(path) == parse_data_spec(str(path))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("synthetic:columns=3", "unknown key `columns`; known: rows, features"),
        ("synthetic:rows", "rows is ``; it must be a whole number from 1 upwards"),
        ("synthetic:rows=0", "rows is `0`; it must be"),
        ("synthetic:rows=-5", "rows is `-5`; it must be"),
        ("synthetic:rows=1e5", "rows is `1e5`; it must be"),
        ("synthetic:rows=1,rows=2", "`rows` is there twice"),
        ("synthetic:features=20000", "features is 20000; at most 10000 are possible"),
        ("synthetic:rows=999999999", "rows times features is above .*\nmake a file instead"),
        ("sklearn:iris", "there is no set `iris`; there are breast_cancer, digits, wine"),
        ("sklearn:", "there is no set ``"),
        ("s3://", "the form is s3://BUCKET"),
        ("s3://bucket/prefix", "the form is s3://BUCKET"),
        ("HIGS.xz", "no such file; the forms are synthetic:rows=N"),
        (".", "is a folder"),
    ],
)
def test_a_wrong_data_spec_is_one_clear_error(text, message):
    """The error quotes what was given and says what is possible."""
    with pytest.raises(InputError, match=rf"^data `{text}`: {message}"):
        parse_data_spec(text)


def test_synthetic_data_is_in_the_likeness_of_higgs():
    """52.9 % positive, standardised, and as hard for logistic regression as HIGGS is."""
    data = load_arrays(SyntheticSpec(70_000, 28), seed=1)

    assert (70_000, 28) == data.x.shape
    assert (np.float32, np.float32, 2, True) == (data.x.dtype, data.y.dtype, data.n_classes, data.synthetic)
    assert data.x.flags.c_contiguous
    assert abs(data.y.mean() - 0.529) < 0.005
    np.testing.assert_allclose(data.x.mean(axis=0), 0, atol=0.02)
    np.testing.assert_allclose(data.x.std(axis=0), 1, atol=0.02)
    loss, accuracy = fit_logistic_regression(data.x, data.y)
    assert 0.60 < loss < 0.65
    assert 0.64 < accuracy < 0.68


def fit_logistic_regression(x, y):
    """Loss and accuracy at the optimum, by Newton's method."""
    x = np.column_stack([x, np.ones(len(x), np.float32)])
    weights = np.zeros(x.shape[1], np.float32)
    for _ in range(4):  # Newton needs no more on data this well-behaved
        odds = 1 / (1 + np.exp(-x @ weights))
        weights -= np.linalg.solve((x.T * (odds * (1 - odds))) @ x, x.T @ (odds - y))
    odds = 1 / (1 + np.exp(-x @ weights.astype(np.float64)))
    return -np.log(np.where(y == 1, odds, 1 - odds)).mean(), ((odds > 0.5) == y).mean()


@settings(deadline=None)  # the machine may be busy
@given(st.integers(1, 300), st.integers(1, 5), st.integers(0, 2**32 - 1))
def test_fewer_synthetic_rows_are_the_beginning_of_more(rows, features, seed):
    """The seed determines the rows, and their number only where they end."""
    (few,), (more,) = synthetic_blocks(rows, features, seed), synthetic_blocks(rows + 50, features, seed)

    np.testing.assert_array_equal(few.x, more.x[:rows])
    np.testing.assert_array_equal(few.y, more.y[:rows])


def test_synthetic_blocks_differ_from_one_another():
    """No block repeats another, and another seed gives other rows."""
    first, second = synthetic_blocks(2 * BLOCK_ROWS, 1, 0)
    (other,) = synthetic_blocks(BLOCK_ROWS, 1, 1)

    assert BLOCK_ROWS == first.rows == second.rows
    assert abs(np.corrcoef([first.x[:, 0], second.x[:, 0], other.x[:, 0]])[np.triu_indices(3, 1)]).max() < 0.05


@pytest.mark.parametrize("name", SKLEARN_SETS)
def test_sets_of_scikit_learn_are_standardised(name):
    """Real sets come with mean 0 and deviation 1 (0 where a column is constant) and classes from 0."""
    data = load_arrays(SklearnSpec(name), seed=0)

    np.testing.assert_allclose(data.x.mean(axis=0), 0, atol=1e-5)
    assert set(data.x.std(axis=0).round(3).tolist()) <= {0.0, 1.0}
    assert list(range(data.n_classes)) == np.unique(data.y).tolist()
    assert (np.float32, np.float32, False) == (data.x.dtype, data.y.dtype, data.synthetic)


def test_the_bucket_tells_everything_that_determines_its_content(tmp_path):
    """Another set, seed or number of workers gives another bucket; a changed file does too."""
    path = tmp_path / "HIGGS Data.xz"
    path.write_bytes(b"1 1:2\n")
    before = bucket_for(FileSpec(path), 0, 2)
    os.utime(path, ns=(1, 1))

    names = [
        bucket_for(SyntheticSpec(), 0, 4),
        bucket_for(SyntheticSpec(), 1, 4),
        bucket_for(SyntheticSpec(), 0, 5),
        bucket_for(SyntheticSpec(rows=5), 0, 4),
        bucket_for(SklearnSpec("breast_cancer"), 0, 4),
        bucket_for(FileSpec(path), 0, 2),
        before,
    ]

    assert len(names) == len(set(names))
    assert names[0] == bucket_for(parse_data_spec("synthetic:features=28,rows=100000"), 0, 4)
    assert names[-1].startswith("higgs-data-2-")
    assert "my-bucket" == bucket_for(BucketSpec("my-bucket"), 0, 2)


@settings(deadline=None)  # the machine may be busy
@given(st.text(st.characters(exclude_characters="/\0", exclude_categories=["Cs"]), min_size=1, max_size=40))
def test_any_file_name_gives_a_bucket_name_that_s3_allows(tmp_path_factory, name):
    """3 to 63 lower-case letters, digits and hyphens, beginning and ending with a letter or digit."""
    path = tmp_path_factory.mktemp("names") / name[:40]
    try:
        path.write_bytes(b"")
    except OSError:
        return

    assert_allowed(bucket_for(FileSpec(path), 2**32 - 1, 1000))


def assert_allowed(bucket):
    """The bucket's name follows S3's rules."""
    assert 3 <= len(bucket) <= 63
    assert set(bucket) <= set("abcdefghijklmnopqrstuvwxyz0123456789-")
    assert not bucket.startswith("-")


@pytest.mark.parametrize(
    ("name", "compression"), [("a.xz", "xz"), ("a.gz", "gzip"), ("a.bz2", "bzip2"), ("a.txt", "none")]
)
def test_a_made_file_holds_the_synthetic_rows(tmp_path, name, compression):
    """A file reads back as the rows that a run would make in memory, and a note beside it calls it synthetic."""
    path = tmp_path / name
    calls = []

    note = make_file(path, rows=9000, features=4, seed=3, progress=lambda *call: calls.append(call))

    expected = load_arrays(SyntheticSpec(9000, 4), 3)
    x = np.concatenate([block.x for block in read_rows(path)])
    y = np.concatenate([block.y for block in read_rows(path)])
    np.testing.assert_array_equal(expected.x, x)
    np.testing.assert_array_equal(expected.y, y)
    with CompressedFile(path) as file:
        assert compression == file.compression
    assert note == read_sidecar(path)
    assert json.loads(sidecar_path(path).read_text())["synthetic"] is True
    assert (9000, 9000, 9000) == calls[-1]
    assert {path, sidecar_path(path)} == set(tmp_path.iterdir())


@pytest.mark.parametrize("name", ["a.xz", "a.gz", "a.bz2", "a"])
def test_a_file_is_made_the_same_every_time(tmp_path, name):
    """Equal arguments give equal bytes."""
    for folder in ("one", "two"):
        (tmp_path / folder).mkdir()
        make_file(tmp_path / folder / name, rows=100, features=2, seed=0)

    assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "two" / name).read_bytes()


def test_a_file_that_cannot_be_made_leaves_nothing(tmp_path):
    """A folder that is missing is an error that names the file; an interrupted file is removed."""
    with pytest.raises(InputError, match=r"nowhere/a: cannot be written: No such file or directory"):
        make_file(tmp_path / "nowhere" / "a", rows=10, features=2, seed=0)

    def interrupt(*_):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        make_file(tmp_path / "a", rows=10, features=2, seed=0, progress=interrupt)
    assert [] == list(tmp_path.iterdir())


def test_inspection_tells_what_a_file_holds(tmp_path):
    """Format, rows, columns and labels, from text and from npz alike."""
    x, y = np.ones((6, 3), np.float32), np.array([0, 1, 1, 1, 0, 1], np.float32)
    text, npz = tmp_path / "rows", tmp_path / "rows.npz"
    text.write_bytes(format_rows(Dataset(x, y)))
    np.savez(npz, x=x, y=y)

    for path, form in ((text, "libsvm"), (npz, "npz")):
        found = inspect_file(path)
        assert (form, 6, 3, path.stat().st_size) == (found.format, found.rows, found.features, found.bytes)
        assert [(0, 2), (1, 4)] == [(label.label, label.rows) for label in found.labels]


def test_inspection_names_a_bad_line(tmp_path):
    """A file that does not parse is an error, as it is for the partitioner."""
    path = tmp_path / "rows"
    path.write_bytes(b"1 1:2\n1 1:x\n")

    with pytest.raises(InputError, match=r"rows line 2: "):
        inspect_file(path)

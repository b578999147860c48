"""The data sets that `--data` names: what is understood, what is made, and which bucket takes it."""

import gzip
import io
import json
import lzma
import os

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.sparse import csr_array

from harness.datasets import synthetic_images, synthetic_sparse
from harness.datasets.cifar10 import format_images
from harness.datasets.compressed import CompressedFile
from harness.datasets.data_file import read_rows
from harness.datasets.inspection import inspect_file
from harness.datasets.libsvm import format_rows
from harness.datasets.loading import load_arrays, make_rows
from harness.datasets.make_data import make_file
from harness.datasets.sidecar import read_sidecar, sidecar_path
from harness.datasets.specs import (
    SKLEARN_SETS,
    BucketSpec,
    FileSpec,
    SklearnSpec,
    SyntheticImagesSpec,
    SyntheticSparseSpec,
    SyntheticSpec,
    bucket_for,
    parse_data_spec,
)
from harness.datasets.synthetic import BLOCK_ROWS, synthetic_blocks
from training.data.dataset import Dataset
from training.errors import InputError
from training.metrics.hits import count_hits
from training.model.linear import logistic_regression


@pytest.mark.parametrize(
    ("text", "spec"),
    [
        ("synthetic:rows=100000,features=28", SyntheticSpec(100_000, 28)),
        ("synthetic:features=3,rows=12001", SyntheticSpec(12_001, 3)),
        ("synthetic:rows=5", SyntheticSpec(5, 28)),
        ("synthetic", SyntheticSpec()),
        ("synthetic:skew=label,rows=5", SyntheticSpec(5, 28, "label")),
        ("synthetic-sparse", SyntheticSparseSpec(20_242, 47_236, 0.0016)),
        ("synthetic-sparse:rows=600,features=500,density=0.02", SyntheticSparseSpec(600, 500, 0.02)),
        ("synthetic-sparse:density=1e-3,skew=label", SyntheticSparseSpec(density=0.001, skew="label")),
        ("synthetic-images", SyntheticImagesSpec(2000, 10)),
        ("synthetic-images:rows=120,classes=3,skew=label", SyntheticImagesSpec(120, 3, "label")),
        ("sklearn:digits,skew=label", SklearnSpec("digits", "label")),
        ("sklearn:breast_cancer", SklearnSpec("breast_cancer")),
        ("s3://higgs-2", BucketSpec("higgs-2")),
        ("s3://higgs-2/", BucketSpec("higgs-2")),
        ("s3://shared/data/higgs-2/", BucketSpec("shared", "data/higgs-2/")),
        ("s3://shared/data/higgs-2", BucketSpec("shared", "data/higgs-2/")),
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
        ("synthetic:columns=3", "unknown key `columns`; known: rows, features, skew"),
        ("synthetic:rows", "rows is ``; it must be a whole number from 1 upwards"),
        ("synthetic:rows=0", "rows is `0`; it must be"),
        ("synthetic:rows=-5", "rows is `-5`; it must be"),
        ("synthetic:rows=1e5", "rows is `1e5`; it must be"),
        ("synthetic:rows=1,rows=2", "`rows` is given twice"),
        ("synthetic:features=20000", "features is 20000; the allowed range is 1 to 10000"),
        ("synthetic:rows=999999999", "needs more than 4 GiB of memory\nwrite it to a file"),
        ("synthetic:density=0.1", "unknown key `density`; known: rows, features, skew"),
        ("synthetic:skew=row", "skew is `row`; it must be label"),
        ("synthetic-sparse:features=10000001", "features is 10000001; the allowed range is 2 to 10000000"),
        ("synthetic-sparse:density=0", "density is `0`; it must be a number above 0 and up to 0.5"),
        ("synthetic-sparse:density=0.6", "density is `0.6`; it must be a number above 0 and up to 0.5"),
        ("synthetic-sparse:density=nan", "density is `nan`; it must be a number above 0"),
        ("synthetic-sparse:density=thin", "density is `thin`; it must be a number above 0"),
        ("synthetic-sparse:rows=99999999", "needs more than 4 GiB of memory\nwrite it to a file"),
        ("synthetic-images:classes=1", "classes is 1; the allowed range is 2 to 100"),
        ("synthetic-images:features=3", "unknown key `features`; known: rows, classes, skew"),
        ("sklearn:wine,rows=5", "unknown key `rows`; known: skew"),
        ("sklearn:iriss", "there is no set `iriss`; there are breast_cancer, diabetes, digits, iris, wine"),
        ("sklearn:linnerud", "linnerud has three targets per row"),
        ("sklearn:", "there is no set ``"),
        ("s3://", "the form is s3://BUCKET"),
        ("s3://bucket//folder", "the form is s3://BUCKET"),
        ("s3:///folder", "the form is s3://BUCKET"),
        ("HIGS.xz", "no such file; the forms are synthetic:rows=N"),
        ("requirements", "is a folder without CSV, TSV, Parquet or NumPy files"),
        ("hf:owner/name", "there is no such data set in .*, and nothing is downloaded"),
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
    assert (np.float32, np.float32) == (data.x.dtype, data.y.dtype)
    assert {0, 1} == set(data.y.tolist())
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


def test_sparse_rows_are_in_the_likeness_of_rcv1():
    """RCV1's size and density, unit length, words as popular as a power law says, and classes that words tell apart."""
    data = load_arrays(SyntheticSparseSpec(4000), seed=1)

    x, stored = data.x, np.diff(data.x.indptr)
    assert ((4000, 47_236), np.float32, np.float32) == (x.shape, x.dtype, data.y.dtype)
    assert abs(x.nnz / (4000 * 47_236) - 0.0016) < 0.00003
    assert 30 < stored.min() < stored.max() < 130
    assert x.has_sorted_indices
    np.testing.assert_allclose(np.sqrt((x * x).sum(axis=1)), 1, rtol=1e-5)
    rows_with = np.sort(np.bincount(x.indices, minlength=47_236))[::-1]
    assert rows_with[0] > 2000
    assert 10 < rows_with[1000] < 500
    assert abs(data.y.mean() - 0.52) < 0.02
    assert {0, 1} == set(data.y.tolist())


def test_sparse_rows_are_learned_within_a_few_epochs():
    """Plain gradient steps of logistic regression reach 0.9 on rows that they have not seen."""
    data = load_arrays(SyntheticSparseSpec(8000, 5000, 0.01), seed=1)
    model = logistic_regression(5000, 2)
    parameters, y = model.initial(0), data.y.astype(np.int64)
    for first in [*range(0, 7000, 100)] * 3:
        batch = slice(first, first + 100)
        parameters -= 2 * model.loss_and_gradient(parameters, data.x[batch], y[batch]).gradient / 100

    assert count_hits(model, parameters, data.x[7000:], y[7000:]).correct > 900


def test_no_sparse_row_is_empty():
    """At the lowest density each row still stores a number, so that its length can be 1."""
    data = load_arrays(SyntheticSparseSpec(300, 10, 0.001), seed=0)

    assert 1 == np.diff(data.x.indptr).min()


def test_images_are_in_the_likeness_of_cifar():
    """Bytes of three colours, all shades, all classes about equally often."""
    data = load_arrays(SyntheticImagesSpec(1200), seed=1)

    assert ((1200, 3072), np.uint8, np.float32) == (data.x.shape, data.x.dtype, data.y.dtype)
    assert 120 < data.x.mean() < 136
    assert 30 < data.x.std() < 80
    assert np.bincount(data.y.astype(int), minlength=10).min() > 80


def test_no_pixel_tells_the_class_of_an_image():
    """The best pixel alone is hardly better than a guess, and neither are all pixels on a straight line."""
    data = load_arrays(SyntheticImagesSpec(1200), seed=1)
    x, y = data.x.astype(np.float32) / 255, data.y.astype(int)
    means = np.stack([x[:800][y[:800] == label].mean(axis=0) for label in range(10)])

    by_pixel = [(abs(means[:, pixel] - x[800:, pixel, None]).argmin(axis=1) == y[800:]).mean() for pixel in range(3072)]
    nearest = ((x[800:, None] - means) ** 2).sum(axis=2).argmin(axis=1)

    assert max(by_pixel) < 0.25
    assert (nearest == y[800:]).mean() < 0.7


def test_neighbouring_pixels_tell_the_class_of_an_image():
    """How pixels stand to their neighbours, the same all over the image, tells the class: what convolutions see."""
    data = load_arrays(SyntheticImagesSpec(1200), seed=1)
    images = data.x.reshape(1200, 3, 32, 32).astype(np.float32)
    images -= images.mean(axis=(2, 3), keepdims=True)
    steps = [(0, 0), (0, 2), (2, 0), (2, 2), (2, -2)]
    beside = [np.einsum("nchw,ndhw->ncd", images, np.roll(images, step, axis=(2, 3))) for step in steps]
    features = np.concatenate([products.reshape(1200, 9) for products in beside], axis=1)
    features /= abs(features).max(axis=1, keepdims=True)
    y = data.y.astype(int)

    means = np.stack([features[:800][y[:800] == label].mean(axis=0) for label in range(10)])
    nearest = ((features[800:, None] - means) ** 2).sum(axis=2).argmin(axis=1)

    assert (nearest == y[800:]).mean() > 0.9


@settings(deadline=None, max_examples=20)  # the machine may be busy
@given(st.integers(1, 300), st.integers(0, 2**32 - 1), st.sampled_from([SyntheticSparseSpec, SyntheticImagesSpec]))
def test_fewer_made_rows_are_the_beginning_of_more(rows, seed, kind):
    """The seed determines sparse rows and images too, and their number only where they end."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(synthetic_sparse, "BLOCK_WORDS", 10_000)
        patch.setattr(synthetic_images, "BLOCK_ROWS", 100)
        few, more = load_arrays(kind(rows), seed), load_arrays(kind(rows + 50), seed)

    difference = few.x != more.x[:rows]
    assert 0 == (difference.sum() if kind is SyntheticImagesSpec else difference.nnz)
    np.testing.assert_array_equal(few.y, more.y[:rows])


def test_made_blocks_differ_from_one_another(monkeypatch):
    """No block of sparse rows or images repeats another, and another seed gives other rows."""
    monkeypatch.setattr(synthetic_sparse, "BLOCK_WORDS", 10_000)
    monkeypatch.setattr(synthetic_images, "BLOCK_ROWS", 100)
    for spec in (SyntheticSparseSpec(200), SyntheticImagesSpec(200)):
        first, second, *_ = make_rows(spec, 0)
        other, *_ = make_rows(spec, 1)
        rows = min(first.rows, second.rows)
        assert not np.array_equal(first.y[:rows], second.y[:rows])
        assert not np.array_equal(first.y[:rows], other.y[:rows])


def test_synthetic_blocks_differ_from_one_another():
    """No block repeats another, and another seed gives other rows."""
    first, second = synthetic_blocks(2 * BLOCK_ROWS, 1, 0)
    (other,) = synthetic_blocks(BLOCK_ROWS, 1, 1)

    assert BLOCK_ROWS == first.rows == second.rows
    assert abs(np.corrcoef([first.x[:, 0], second.x[:, 0], other.x[:, 0]])[np.triu_indices(3, 1)]).max() < 0.05


@pytest.mark.parametrize("name", SKLEARN_SETS)
def test_sets_of_scikit_learn_are_standardised(name):
    """Real sets come with mean 0 and deviation 1 (0 where a column is constant); classes count from 0."""
    data = load_arrays(SklearnSpec(name), seed=0)

    np.testing.assert_allclose(data.x.mean(axis=0), 0, atol=1e-5)
    assert set(data.x.std(axis=0).round(3).tolist()) <= {0.0, 1.0}
    if SklearnSpec(name).task == "classification":
        assert list(range(int(data.y.max()) + 1)) == np.unique(data.y).tolist()
    assert (np.float32, np.float32) == (data.x.dtype, data.y.dtype)


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
        bucket_for(SyntheticSpec(skew="label"), 0, 4),
        bucket_for(SyntheticSparseSpec(), 0, 4),
        bucket_for(SyntheticSparseSpec(density=0.1), 0, 4),
        bucket_for(SyntheticImagesSpec(), 0, 4),
        bucket_for(SyntheticImagesSpec(classes=3), 0, 4),
        bucket_for(SklearnSpec("breast_cancer"), 0, 4),
        bucket_for(SklearnSpec("breast_cancer", "label"), 0, 4),
        bucket_for(FileSpec(path), 0, 2, "sparse_libsvm"),
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

    note = make_file(path, SyntheticSpec(9000, 4), seed=3, progress=lambda *call: calls.append(call))

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


@pytest.mark.parametrize(
    ("spec", "made_by"),
    [
        (SyntheticSparseSpec(100, 500, 0.02), "--kind sparse --rows 100 --features 500 --density 0.02 --seed 3"),
        (SyntheticImagesSpec(20, 3), "--kind images --rows 20 --classes 3 --seed 3"),
    ],
)
def test_a_made_file_of_any_kind_holds_the_rows(tmp_path, spec, made_by):
    """Sparse rows as text and images as CIFAR-10's records read back as what a run would make in memory."""
    path = tmp_path / "a.xz"

    note = make_file(path, spec, seed=3)

    expected = load_arrays(spec, 3)
    (read,) = read_rows(path, data_type=spec.data_type, n_features=note.features)
    assert 0 == (expected.x != read.x).sum()
    np.testing.assert_array_equal(expected.y, read.y)
    assert (f"harness data make {made_by}", spec.data_type, spec.rows) == (note.made_by, note.data_type, note.rows)


@pytest.mark.parametrize("name", ["a.xz", "a.gz", "a.bz2", "a"])
def test_a_file_is_made_the_same_every_time(tmp_path, name):
    """Equal arguments give equal bytes."""
    for folder in ("one", "two"):
        (tmp_path / folder).mkdir()
        make_file(tmp_path / folder / name, SyntheticSpec(100, 2), seed=0)

    assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "two" / name).read_bytes()


def test_a_file_that_cannot_be_made_leaves_nothing(tmp_path):
    """A folder that is missing is an error that names the file; an interrupted file is removed."""
    with pytest.raises(InputError, match=r"nowhere/a: cannot be written: No such file or directory"):
        make_file(tmp_path / "nowhere" / "a", SyntheticSpec(10, 2), seed=0)

    def interrupt(*_):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        make_file(tmp_path / "a", SyntheticSpec(10, 2), seed=0, progress=interrupt)
    assert [] == list(tmp_path.iterdir())


def test_inspection_tells_what_a_file_holds(tmp_path):
    """Format, type, rows, columns and labels, from text, npz and images alike."""
    y = np.array([0, 1, 1, 1, 0, 1], np.float32)
    dense = Dataset(np.ones((6, 3), np.float32), y)
    sparse = Dataset(csr_array(np.eye(6, 50, 44, dtype=np.float32)), y)
    images = Dataset(np.full((6, 3072), 7, np.uint8), y)
    stored = {"data": sparse.x.data, "indices": sparse.x.indices, "indptr": sparse.x.indptr}

    for number, (content, form, data_type, features, non_zeros) in enumerate(
        [
            (format_rows(dense), "libsvm", "dense_libsvm", 3, 18),
            (npz(x=dense.x, y=y), "npz", "dense_libsvm", 3, 18),
            (gzip.compress(format_rows(sparse)), "libsvm, gzip", "sparse_libsvm", 50, 6),
            (npz(y=y, **stored), "npz", "sparse_libsvm", 50, 6),
            (format_images(images), "cifar10", "cifar10", 3072, 6 * 3072),
            (lzma.compress(format_images(images)), "cifar10, xz", "cifar10", 3072, 6 * 3072),
            (npz(x=images.x, y=y), "npz", "cifar10", 3072, 6 * 3072),
        ]
    ):
        path = tmp_path / str(number)
        path.write_bytes(content)
        found = inspect_file(path)
        assert (form, data_type, 6, features, non_zeros, len(content)) == (
            found.format,
            found.data_type,
            found.rows,
            found.features,
            found.non_zeros,
            found.bytes,
        )
        assert [(0, 2), (1, 4)] == [(label.label, label.rows) for label in found.labels]


def npz(**arrays):
    """The bytes of an npz file."""
    file = io.BytesIO()
    np.savez(file, **arrays)
    return file.getvalue()


def test_inspection_names_a_bad_line(tmp_path):
    """A file that does not parse is an error, as it is for the partitioner."""
    path = tmp_path / "rows"
    path.write_bytes(b"1 1:2\n1 1:x\n")

    with pytest.raises(InputError, match=r"rows line 2: "):
        inspect_file(path)

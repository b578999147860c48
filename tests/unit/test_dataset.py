"""A worker's rows: what a partition object's bytes are decoded to, and what is refused."""

import io
import zipfile
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays
from scipy.sparse import csr_array

from training.data.dataset import decode_partition, to_classes
from training.errors import InputError

X = np.arange(12, dtype=np.float32).reshape(4, 3)
Y = np.array([0, 1, 1, 0], np.float32)
# Row 1 holds columns 0 and 2, row 2 nothing, row 3 column 1, row 4 all.
SPARSE: dict[str, Any] = {
    "data": np.array([1, 2, 3, 4, 5, 6], np.float32),
    "indices": np.array([0, 2, 1, 0, 1, 2], np.int32),
    "indptr": np.array([0, 2, 2, 3, 6], np.int64),
    "y": Y,
}
SPARSE_X = np.array([[1, 0, 2], [0, 0, 0], [0, 3, 0], [4, 5, 6]], np.float32)
IMAGES = np.random.default_rng(0).integers(0, 256, (4, 3072), np.uint8)


def npz(save=np.savez, **members):
    """The bytes of an npz file."""
    file = io.BytesIO()
    save(file, **members)
    return file.getvalue()


def decode(body, n_features=3, data_type="dense_libsvm"):
    """Decodes as a worker of the first rank of two would."""
    return decode_partition(body, source="bucket/0_2", n_features=n_features, data_type=data_type)


def sparse_npz(**changed):
    """The bytes of a partition of sparse rows, some of its arrays changed."""
    return npz(**(SPARSE | {name: np.array(value, SPARSE[name].dtype) for name, value in changed.items()}))


def records(images, labels):
    """The bytes of CIFAR-10's binary format."""
    return b"".join(bytes([label]) + image.tobytes() for label, image in zip(labels, images, strict=True))


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
@pytest.mark.parametrize("order", ["C", "F"])
@pytest.mark.parametrize("kind", [bytes, memoryview])
def test_an_npz_of_any_writer_is_read(save, order, kind):
    """Stored or compressed, in either memory order: the rows come out C-contiguous and aligned."""
    dataset = decode(kind(npz(save, x=np.asarray(X, order=order), y=Y)))

    np.testing.assert_array_equal(X, dataset.x)
    np.testing.assert_array_equal(Y, dataset.y)
    assert dataset.x.flags.c_contiguous
    assert dataset.x.flags.aligned
    assert 4 == dataset.rows


@pytest.mark.parametrize("text", [b"0 1:0 2:1 3:2\n1 1:3 2:4 3:5\n1 1:6 2:7 3:8\n0 1:9 2:10 3:11\n"])
def test_text_is_told_by_its_first_bytes(text):
    """LIBSVM text gives the same rows as an npz."""
    dataset = decode(text)

    np.testing.assert_array_equal(X, dataset.x)
    np.testing.assert_array_equal(Y, dataset.y)


def test_text_may_leave_out_zeros_and_features():
    """Missing features are zero, up to the job's number of columns."""
    assert [[0, 2, 0, 0], [0, 0, 0, 0]] == decode(b"1 2:2\n-1\n", n_features=4).x.tolist()


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b"", "the partition holds no rows"),
        (b"\n", "the partition holds no rows"),
        (npz(x=X[:0], y=Y[:0]), "the partition holds no rows"),
        (npz(x=X), "the npz holds no array 'y', but x"),
        (npz(x=X.astype(np.float64), y=Y), "array 'x' is of type float64; it must be float32"),
        (npz(x=X, y=Y.astype(np.int64)), "array 'y' is of type int64; it must be float32"),
        (npz(x=X.astype(">f4"), y=Y), "array 'x' is of type >f4; it must be float32"),
        (npz(x=X, y=np.array([{}] * 4)), "array 'y' is of type object"),
        (npz(x=X.ravel(), y=Y), r"array 'x' has shape \(12,\)"),
        (npz(x=X, y=Y[:, np.newaxis]), r"array 'y' has shape \(4, 1\)"),
        (npz(x=X, y=Y[:3]), "there are 4 rows of features and array 'y' has 3"),
        (
            npz(x=np.ones((4, 5), np.float32), y=Y),
            "rows have 5 features; the job says n_features 3\nset n_features to 5",
        ),
        (npz(x=np.where(X == 7, np.nan, X), y=Y), "row 3: feature 2 is nan, not a finite number"),
        (npz(x=np.where(X == 0, -np.inf, X), y=Y), "row 1: feature 1 is -inf, not a finite number"),
        (npz(x=X, y=np.where(np.arange(4) == 3, np.inf, Y).astype(np.float32)), "row 4: label is inf"),
        (npz(x=X, y=Y)[:-30], "a damaged npz file"),
        (npz(x=X, y=Y)[:200], "a damaged npz file"),
        (npz(x=X, y=Y).replace(X.tobytes(), X[::-1].tobytes()), "a damaged npz file .*checksum"),
        (b"1 1:2 2:x\n", "line 1: value of feature 2 `x` is not a number"),
        (b"1 1:2\n1 4:2\n", "line 2: feature index 4 is beyond 3, the job's number of features"),
        (b"{}", "line 1: label `{}` is not a number"),
    ],
)
def test_bytes_that_are_no_partition_are_refused(body, message):
    """The error names bucket and key, the row or the line, and what is wrong."""
    with pytest.raises(InputError, match=rf"^bucket/0_2.*{message}"):
        decode(body)


@pytest.mark.parametrize("kind", [bytes, memoryview])
@pytest.mark.parametrize(
    "body",
    [
        npz(**SPARSE),
        npz(np.savez_compressed, **SPARSE),
        npz(**(SPARSE | {"indptr": SPARSE["indptr"].astype(np.int32)})),
        b"0 1:1 3:2\n1\n1 2:3\n0 1:4 2:5 3:6\n",
        b"+0 1:1 3:2 # zeros are left out\n\n1\t\n1 2:3\r\n0 1:4 2:5 3:6",
    ],
)
def test_sparse_rows_stay_sparse(kind, body):
    """From an npz and from text, rows come as CSR of float32 whose columns rise."""
    dataset = decode(kind(body), data_type="sparse_libsvm")

    assert isinstance(dataset.x, csr_array)
    assert (np.float32, (4, 3), 6) == (dataset.x.dtype, dataset.x.shape, dataset.x.nnz)
    assert dataset.x.has_canonical_format
    np.testing.assert_array_equal(SPARSE_X, dataset.x.toarray())
    np.testing.assert_array_equal(Y, dataset.y)


def test_text_of_another_width_is_wide_enough():
    """Columns that no row of a sparse partition has are there all the same."""
    assert (1, 47_236) == decode(b"1 3:1\n", n_features=47_236, data_type="sparse_libsvm").x.shape


@settings(deadline=None)  # the machine may be busy
@given(
    arrays(
        np.float32,
        array_shapes(min_dims=2, max_dims=2, max_side=9),
        elements=st.just(0) | st.floats(width=32, allow_nan=False, allow_infinity=False),
    )
)
def test_sparse_rows_of_any_shape_are_read(x):
    """Empty rows, empty columns, matrices of nothing: an npz gives back what scipy put in."""
    rows = csr_array(x)
    body = npz(data=rows.data, indices=rows.indices, indptr=rows.indptr, y=np.zeros(len(x), np.float32))

    dataset = decode(body, n_features=x.shape[1], data_type="sparse_libsvm")

    np.testing.assert_array_equal(rows.toarray(), dataset.x.toarray())


@pytest.mark.parametrize("body", [npz(x=IMAGES, y=Y), records(IMAGES, [0, 1, 1, 0])])
def test_images_are_bytes(body):
    """From an npz and from CIFAR-10's binary format, images come as 3072 bytes each."""
    dataset = decode(body, n_features=3072, data_type="cifar10")

    assert np.uint8 == dataset.x.dtype
    assert dataset.x.flags.c_contiguous
    np.testing.assert_array_equal(IMAGES, dataset.x)
    np.testing.assert_array_equal(Y, dataset.y)


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b"", "the partition holds no rows"),
        (sparse_npz(indptr=[0], data=[], indices=[], y=[]), "the partition holds no rows"),
        (sparse_npz(data=[1, 2, np.nan, 4, 5, 6]), "row 3: feature 2 is nan, not a finite number"),
        (sparse_npz(data=[1, -np.inf, 3, 4, 5, 6]), "row 1: feature 3 is -inf, not a finite number"),
        (sparse_npz(indices=[0, 2, 3, 0, 1, 2]), "row 3: column 3 is not one of 0 to 2, the job's n_features 3"),
        (sparse_npz(indices=[0, 2, 1, 0, -1, 2]), "row 4: column -1 is not one of 0 to 2"),
        (sparse_npz(indices=[2, 0, 1, 0, 1, 2]), "row 1: column 0 comes after 2; columns must rise within a row"),
        (sparse_npz(indices=[0, 2, 1, 0, 1, 1]), "row 4: column 1 comes after 1"),
        (sparse_npz(indptr=[0, 2, 2, 3, 5]), "array 'indptr' must rise from 0 to 6"),
        (sparse_npz(indptr=[1, 2, 2, 3, 6]), "array 'indptr' must rise from 0 to 6"),
        (sparse_npz(indptr=[0, 3, 2, 3, 6]), "array 'indptr' must rise from 0 to 6"),
        (sparse_npz(indptr=[]), "array 'indptr' must rise from 0 to 6"),
        (sparse_npz(indptr=[0, 2, 3, 6]), "there are 3 rows of features and array 'y' has 4"),
        (sparse_npz(indices=[0, 2, 1]), "array 'data' has 6 numbers and array 'indices' has 3"),
        (sparse_npz(y=[0, 1, np.inf, 0]), "row 3: label is inf, not a finite number"),
        (npz(**(SPARSE | {"data": SPARSE["data"].astype(np.float64)})), "array 'data' is of type float64; it must be"),
        (npz(**(SPARSE | {"indices": SPARSE["indices"].astype(np.int64)})), "array 'indices' is of type int64"),
        (npz(indptr=SPARSE["indptr"], y=Y), "the npz holds no array 'data', but indptr, y"),
        (sparse_npz()[:-30], "a damaged npz file"),
        (b"1 1:1\n1 2:1 2:2\n", "line 2: feature index 2 comes after 2; indices must rise"),
        (b"1 1:1\n1 2:1 1:2\n", "line 2: feature index 1 comes after 2; indices must rise"),
        (b"1 1:1\n1 0:1\n", "line 2: feature index 0; indices start at 1"),
        (b"1 1:1\n1 4:1\n", "line 2: feature index 4 is beyond 3, the job's number of features"),
        (b"1 1:1\n1 2:nan\n", "line 2: value of feature 2 `nan` is not a finite number"),
        (records(IMAGES, [3, 1, 1, 0]), "neither an npz nor LIBSVM text; .* CIFAR-10's binary format is cifar10"),
        (npz(x=X, y=Y), "the arrays of dataset_type=dense_libsvm; the job says dataset_type=sparse_libsvm"),
        (npz(x=IMAGES, y=Y), "the arrays of dataset_type=cifar10; the job says dataset_type=sparse_libsvm"),
    ],
)
def test_bytes_that_are_no_sparse_rows_are_refused(body, message):
    """The error names bucket and key, the row or the line, and what is wrong."""
    with pytest.raises(InputError, match=rf"^bucket/0_2.*{message}"):
        decode(body, data_type="sparse_libsvm")


@pytest.mark.parametrize(
    ("body", "n_features", "message"),
    [
        (b"", 3072, "the partition holds no rows"),
        (records(IMAGES, [0, 1, 1, 0])[:-1], 3072, "12291 bytes are not a whole number of CIFAR-10 records"),
        (b"1 1:2\n", 3072, "the dataset_type of LIBSVM text is dense_libsvm or sparse_libsvm"),
        (npz(x=IMAGES, y=Y), 28, "images have 3072 features; the job says n_features 28"),
        (npz(x=IMAGES[:, :28].copy(), y=Y), 3072, "rows have 28 features; the job says n_features 3072"),
        (npz(x=X, y=Y), 3072, "the arrays of dataset_type=dense_libsvm; the job says dataset_type=cifar10"),
        (npz(**SPARSE), 3072, "the arrays of dataset_type=sparse_libsvm; the job says dataset_type=cifar10"),
    ],
)
def test_bytes_that_are_no_images_are_refused(body, n_features, message):
    """The error names bucket and key, and which type of data would fit."""
    with pytest.raises(InputError, match=rf"^bucket/0_2.*{message}"):
        decode(body, n_features=n_features, data_type="cifar10")


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (npz(**SPARSE), "the arrays of dataset_type=sparse_libsvm; the job says dataset_type=dense_libsvm"),
        (npz(x=IMAGES, y=Y), "the arrays of dataset_type=cifar10; the job says dataset_type=dense_libsvm"),
        (records(IMAGES, [3, 1, 1, 0]), "the dataset_type of CIFAR-10's binary format is cifar10"),
    ],
)
def test_another_type_of_data_than_dense_is_refused(body, message):
    """The error says which type of data the partition holds."""
    with pytest.raises(InputError, match=rf"^bucket/0_2.*{message}"):
        decode(body)


@settings(deadline=None)  # the machine may be busy
@given(st.binary(max_size=40), st.integers(0, 1100), st.sampled_from(["dense_libsvm", "sparse_libsvm"]))
def test_damage_gives_an_input_error_or_the_rows(damage, position, data_type):
    """Whatever bytes are overwritten in a partition, it is refused as bad input or decoded to its rows."""
    body = npz(x=X, y=Y) if data_type == "dense_libsvm" else npz(**SPARSE)
    try:
        dataset = decode(body[:position] + damage + body[position + len(damage) :], data_type=data_type)
    except InputError:
        return
    x, expected = (dataset.x, X) if data_type == "dense_libsvm" else (dataset.x.toarray(), SPARSE_X)
    np.testing.assert_array_equal(expected, x)
    np.testing.assert_array_equal(Y, dataset.y)


def test_members_that_are_not_npy_are_refused():
    """A zip file of something else is an error that says so."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("x.npy", "no array")
        archive.writestr("y.npy", "no array")

    with pytest.raises(InputError, match="array 'y' is not in NumPy's format"):
        decode(file.getvalue())


def test_labels_become_classes_from_zero():
    """A label's class is its place among all labels."""
    numbered = to_classes(np.array([2, -1, 7, -1], np.float32), [-1, 2, 7], "bucket/0_2")

    assert np.int64 == numbered.dtype
    assert [1, 0, 2, 0] == numbered.tolist()


@pytest.mark.parametrize("label", [0, 8, -2, 0.5, np.nan])
def test_other_labels_are_refused(label):
    """The error names the file, the row, the label and those that there are."""
    with pytest.raises(InputError, match=rf"^bucket/0_2 row 3: label {label} is none of the data's labels: -1, 2, 7$"):
        to_classes(np.array([2, -1, label], np.float32), [-1, 2, 7], "bucket/0_2")


@settings(deadline=None)  # the machine may be busy
@given(arrays(np.int64, st.integers(1, 30), elements=st.integers(0, 9)))
def test_classes_of_classes_are_the_same(y):
    """Labels that are classes already stay what they are."""
    np.testing.assert_array_equal(y, to_classes(y.astype(np.float32), range(10), "s"))


def test_rows_of_fewer_features_get_columns_of_zeros():
    """A job may have more columns than its partitions."""
    rows = decode(npz(x=X[:, :2].copy(), y=Y))

    assert (4, 3) == rows.x.shape
    np.testing.assert_array_equal(X[:, :2], rows.x[:, :2])
    assert not rows.x[:, 2].any()

"""A worker's rows: what a partition object's bytes are decoded to, and what is refused."""

import io
import zipfile

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from training.dataset import Dataset, decode_partition, labels_to_classes, split
from training.errors import InputError

X = np.arange(12, dtype=np.float32).reshape(4, 3)
Y = np.array([0, 1, 1, 0], np.float32)


def npz(save=np.savez, **members):
    """The bytes of an npz file."""
    file = io.BytesIO()
    save(file, **members)
    return file.getvalue()


def decode(body, n_features=3):
    """Decodes as a worker of the first rank of two would."""
    return decode_partition(body, source="bucket/0_2", n_features=n_features)


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
        (npz(x=X, y=Y[:3]), "array 'x' has 4 rows and array 'y' has 3"),
        (npz(x=X[:, :2].copy(), y=Y), "rows have 2 features; the job says n_features 3"),
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


@settings(deadline=None)  # the machine may be busy
@given(st.binary(max_size=40), st.integers(0, 600))
def test_damage_gives_an_input_error_or_the_rows(damage, position):
    """Whatever bytes are overwritten in a partition, it is refused as bad input or decoded to its rows."""
    body = npz(x=X, y=Y)
    try:
        dataset = decode(body[:position] + damage + body[position + len(damage) :])
    except InputError:
        return
    np.testing.assert_array_equal(X, dataset.x)
    np.testing.assert_array_equal(Y, dataset.y)


def test_members_that_are_not_npy_are_refused():
    """A zip file of something else is an error that says so."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("x.npy", "no array")
        archive.writestr("y.npy", "no array")

    with pytest.raises(InputError, match="array 'x' is not in NumPy's format"):
        decode(file.getvalue())


@settings(deadline=None)  # the machine may be busy
@given(st.integers(1, 200), st.floats(0, 1, exclude_max=True))
def test_the_last_rows_are_for_validation(rows, ratio):
    """No row is lost or used twice, and the last int(ratio * rows) are the validation rows."""
    dataset = Dataset(np.arange(rows, dtype=np.float32)[:, np.newaxis], np.arange(rows, dtype=np.float32))

    train, valid = split(dataset, ratio)

    assert int(ratio * rows) == valid.rows == len(valid.x)
    np.testing.assert_array_equal(dataset.x, np.concatenate([train.x, valid.x]))
    np.testing.assert_array_equal(dataset.y, np.concatenate([train.y, valid.y]))


@pytest.mark.parametrize(
    ("labels", "n_classes", "classes"),
    [
        ([0, 1, 1], 2, [0, 1, 1]),
        ([-1, 1, -1], 2, [0, 1, 0]),
        ([1, 1], 2, [1, 1]),
        ([-1], 2, [0]),
        ([2, 0, 1], 3, [2, 0, 1]),
        ([1, 1], 3, [1, 1]),
    ],
)
def test_labels_become_classes_from_zero(labels, n_classes, classes):
    """0/1 and -1/+1 are two classes; more are numbered from 0 as they are."""
    numbered = labels_to_classes(np.array(labels, np.float32), n_classes, "bucket/0_2")

    assert np.int64 == numbered.dtype
    assert classes == numbered.tolist()


@pytest.mark.parametrize(
    ("labels", "n_classes", "message"),
    [
        ([0, 1, 2], 2, r"row 3: label 2 is not 0 or 1 \(or -1 or 1\)"),
        ([1, -1, 0], 2, "row 3: label 0 is not -1 or 1"),
        ([0, 0.5], 2, "row 2: label 0.5 is not 0 or 1"),
        ([1, 2, 3], 3, "row 3: label 3 is not 0 to 2; 3 classes are numbered from 0"),
        ([-1, 1], 3, "row 1: label -1 is not 0 to 2"),
        ([np.nan], 3, "row 1: label nan is not 0 to 2"),
    ],
)
def test_other_labels_are_refused(labels, n_classes, message):
    """The error names the file, the row, the label and what would be right."""
    with pytest.raises(InputError, match=rf"^bucket/0_2 {message}"):
        labels_to_classes(np.array(labels, np.float32), n_classes, "bucket/0_2")


@settings(deadline=None)  # the machine may be busy
@given(arrays(np.int64, st.integers(1, 30), elements=st.integers(0, 9)))
def test_classes_of_classes_are_the_same(y):
    """Labels that are classes already stay what they are."""
    np.testing.assert_array_equal(y, labels_to_classes(y.astype(np.float32), 10, "s"))

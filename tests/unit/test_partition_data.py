"""Partitions of files and of arrays: every row once, the same order everywhere, all in the bucket or nothing."""

import hashlib
import io
import lzma
import zipfile
from types import SimpleNamespace

import numpy as np
import pytest
from botocore.exceptions import ClientError
from scipy.sparse import csr_array, random_array

from harness.datasets import partitions, spill
from harness.datasets.data_file import FILE_FORMATS
from harness.datasets.partitioning import partition_arrays, partition_file
from harness.datasets.partitions import list_objects, read_manifest
from harness.datasets.shuffle import row_order
from harness.datasets.sidecar import Sidecar, write_sidecar
from training.data.dataset import Dataset, decode_npz, decode_partition
from training.data.manifest import LabelCount
from training.errors import InputError

FEATURES = {"dense_libsvm": 3, "sparse_libsvm": 50, "cifar10": 3072}

EVERY_TYPE = pytest.mark.parametrize("data_type", list(FEATURES))


@pytest.fixture
def write_rows(tmp_path):
    """Writes rows that tell their number, and returns the file's path and the rows."""

    def write(count, name="rows.txt", data_type="dense_libsvm"):
        random = np.random.default_rng(count)
        shape = (count, FEATURES[data_type])
        if data_type == "cifar10":
            x = random.integers(0, 256, shape, np.uint8)
        elif data_type == "sparse_libsvm":
            x = random_array(shape, density=0.1, rng=random).toarray().astype(np.float32)
            x[:, -1] = 1  # so that the file shows all columns
        else:
            x = random.normal(size=shape).astype(np.float32)
        x[:, 0] = np.arange(count)
        data = Dataset(csr_array(x) if data_type == "sparse_libsvm" else x, (random.random(count) < 0.5).astype("f4"))
        path = tmp_path / name
        path.write_bytes(FILE_FORMATS[data_type].format(data))
        return path, data

    return write


def contents(s3, bucket):
    """All objects of a bucket."""
    return {key: s3.get_object(Bucket=bucket, Key=key)["Body"].read() for key in list_objects(s3, bucket)}


def dense(x):
    """Rows of any type as a dense matrix."""
    return x if isinstance(x, np.ndarray) else x.toarray()


def decoded(s3, bucket, n_workers, data_type="dense_libsvm"):
    """What the workers get, by rank; sparse rows made dense."""
    parts = []
    for rank in range(n_workers):
        body = s3.get_object(Bucket=bucket, Key=f"{rank}_{n_workers}")["Body"].read()
        part = decode_partition(body, source=f"{rank}", n_features=FEATURES[data_type], data_type=data_type)
        parts.append(Dataset(dense(part.x), part.y))
    return parts


def global_order(parts):
    """The rows' numbers in the global order: one row of each rank in turn."""
    rows = sum(part.rows for part in parts)
    return [int(parts[j % len(parts)].x[j // len(parts), 0]) for j in range(rows)]


def buckets(s3):
    """The names of all buckets."""
    return [bucket["Name"] for bucket in s3.list_buckets()["Buckets"]]


@pytest.mark.parametrize(
    ("data_type", "form"),
    [
        ("dense_libsvm", "npz"),
        ("dense_libsvm", "libsvm"),
        ("sparse_libsvm", "npz"),
        ("sparse_libsvm", "libsvm"),
        ("cifar10", "npz"),
        ("cifar10", "cifar10"),
    ],
)
@pytest.mark.parametrize("n_workers", [1, 2, 3, 7])
def test_every_row_is_in_one_partition_and_the_order_is_the_seeds(s3, write_rows, data_type, form, n_workers):
    """Unequal partitions included, no row is lost, labels stay with their rows, and the order is `row_order`'s."""
    path, data = write_rows(101, data_type=data_type)

    manifest = partition_file(
        path, n_workers=n_workers, s3=s3, bucket="higgs", data_type=data_type, seed=5, format=form
    )
    parts = decoded(s3, "higgs", n_workers, data_type)

    order = row_order(101, 5)
    assert order.tolist() == global_order(parts)
    for rank, part in enumerate(parts):
        np.testing.assert_array_equal(dense(data.x)[order[rank::n_workers]], part.x)
        np.testing.assert_array_equal(data.y[order[rank::n_workers]], part.y)
    assert [part.rows for part in parts] == manifest.rows_per_partition
    assert max(manifest.rows_per_partition) - min(manifest.rows_per_partition) <= 1


@EVERY_TYPE
def test_a_file_and_the_same_rows_in_memory_give_the_same_objects(s3, write_rows, data_type):
    """Partitions depend on rows and seed alone: a file, compressed or not, and arrays give the same bytes."""
    path, data = write_rows(50, data_type=data_type)
    compressed = path.with_name("rows.xz")
    compressed.write_bytes(lzma.compress(path.read_bytes()))

    partition_file(path, n_workers=3, s3=s3, bucket="from-file", seed=9, data_type=data_type)
    partition_file(compressed, n_workers=3, s3=s3, bucket="from-xz", seed=9, data_type=data_type)
    partition_arrays(data.x, data.y, n_workers=3, s3=s3, bucket="from-arrays", seed=9, source="rows.txt")

    assert contents(s3, "from-file") == contents(s3, "from-arrays")
    assert [f"{rank}_3" for rank in range(3)] + ["manifest.json"] == sorted(contents(s3, "from-file"))
    for key in ("0_3", "1_3", "2_3"):
        assert contents(s3, "from-file")[key] == contents(s3, "from-xz")[key]


@EVERY_TYPE
def test_the_digest_is_the_same_for_any_number_of_workers(s3, write_rows, data_type):
    """The manifest's digest tells the data and the order, whatever the partitions."""
    path, _ = write_rows(40, data_type=data_type)

    def digest(n_workers, seed):
        bucket = f"for-{n_workers}-workers-{seed}"
        return partition_file(path, n_workers=n_workers, s3=s3, bucket=bucket, seed=seed, data_type=data_type).sha256

    digests = {digest(n_workers, seed=1) for n_workers in (1, 3, 4)}

    assert 1 == len(digests)
    assert digests != {digest(1, seed=2)}


@EVERY_TYPE
def test_the_manifest_says_what_lies_in_the_bucket(s3, write_rows, data_type):
    """Reading the manifest gives what the call returned, with counts and labels of the data."""
    path, data = write_rows(21, data_type=data_type)

    manifest = partition_file(path, n_workers=2, s3=s3, bucket="higgs-2", seed=3, data_type=data_type)

    assert manifest == read_manifest(s3, "higgs-2")
    assert ("rows.txt", data_type, 21, FEATURES[data_type], [11, 10], 3, None) == (
        manifest.source,
        manifest.data_type,
        manifest.rows,
        manifest.features,
        manifest.rows_per_partition,
        manifest.seed,
        manifest.skew,
    )
    assert np.count_nonzero(dense(data.x)) == manifest.non_zeros
    positive = int(data.y.sum())
    assert [LabelCount(0, 21 - positive), LabelCount(1, positive)] == manifest.labels
    assert [0, 1] == manifest.classes(None, "higgs")
    assert not manifest.synthetic


def test_a_note_beside_the_file_marks_it_as_synthetic(s3, write_rows):
    """A file that the harness made up is called synthetic in the manifest too."""
    path, _ = write_rows(4)
    write_sidecar(path, Sidecar(synthetic=True, made_by="a test", rows=4, features=3, seed=0))

    assert partition_file(path, n_workers=2, s3=s3, bucket="made-up").synthetic


@EVERY_TYPE
def test_without_a_shuffle_the_order_is_the_files(s3, write_rows, data_type):
    """Rows are dealt in turn as they stand in the file, and the manifest names no seed."""
    path, _ = write_rows(25, data_type=data_type)

    manifest = partition_file(path, n_workers=4, s3=s3, bucket="in-order", shuffle=False, data_type=data_type)

    assert list(range(25)) == global_order(decoded(s3, "in-order", 4, data_type))
    assert manifest.seed is None


def test_a_limit_takes_the_first_rows_and_shuffles_them(s3, write_rows):
    """Of a longer file only the first rows are taken."""
    path, _ = write_rows(100)

    partition_file(path, n_workers=2, s3=s3, bucket="limited", limit=20)

    order = global_order(decoded(s3, "limited", 2))
    assert list(range(20)) == sorted(order)
    assert list(range(20)) != order


def test_columns_beyond_those_of_the_file_are_zero(s3, write_rows):
    """`n_features` may be larger than the file's largest index, not smaller."""
    path, _ = write_rows(10)

    assert 5 == partition_file(path, n_workers=2, s3=s3, bucket="wide", n_features=5).features
    with pytest.raises(InputError, match=r"rows.txt line 1: feature index 3 is beyond 2"):
        partition_file(path, n_workers=2, s3=s3, bucket="narrow", n_features=2)


@pytest.mark.parametrize(
    ("data_type", "types"),
    [
        ("dense_libsvm", {"x": "float32", "y": "float32"}),
        ("sparse_libsvm", {"data": "float32", "indices": "int32", "indptr": "int64", "y": "float32"}),
        ("cifar10", {"x": "uint8", "y": "float32"}),
    ],
)
def test_npz_partitions_are_aligned_and_readable_by_numpy(s3, write_rows, data_type, types):
    """NumPy reads a partition, its members are stored, and each array begins at a multiple of 64 bytes."""
    path, _ = write_rows(33, data_type=data_type)
    partition_file(path, n_workers=2, s3=s3, bucket="npz", data_type=data_type)
    body = contents(s3, "npz")["1_2"]

    with np.load(io.BytesIO(body), allow_pickle=False) as arrays:
        assert types == {name: str(array.dtype) for name, array in arrays.items()}
        assert {0} == {body.index(array.tobytes()) % 64 for array in arrays.values()}
    with zipfile.ZipFile(io.BytesIO(body)) as archive:
        assert archive.testzip() is None
        assert {zipfile.ZIP_STORED} == {member.compress_type for member in archive.infolist()}


@pytest.mark.parametrize(
    ("content", "n_workers", "message"),
    [
        (b"1 1:0.5\n0 1:oops\n", 2, "line 2: value of feature 1 `oops` is not a number"),
        (b"", 2, "holds no rows"),
        (b"1\n0\n", 2, "holds no features"),
        (b"1 1:0.5\n", 2, "1 rows are too few for 2 partitions"),
        (lzma.compress(b"1 1:0.5\n" * 1000)[:-20], 2, "cut off"),
        (b"1 1:0.5\n", 0, "number of workers 0: it must be from 1 to 1000"),
    ],
)
def test_bad_input_leaves_nothing_behind(s3, tmp_path, content, n_workers, message):
    """One clear error, and neither a bucket nor an object."""
    path = tmp_path / "bad.xz"
    path.write_bytes(content)

    with pytest.raises(InputError, match=message):
        partition_file(path, n_workers=n_workers, s3=s3, bucket="untouched")

    assert [] == buckets(s3)


@pytest.mark.parametrize(
    ("data_type", "n_features", "allowed"),
    [
        ("dense_libsvm", 0, "1 to 10000"),
        ("dense_libsvm", 10_001, "1 to 10000"),
        ("sparse_libsvm", 10_000_001, "1 to 10000000"),
        ("cifar10", 28, "3072"),
    ],
)
def test_an_impossible_number_of_features_is_refused_first(s3, write_rows, data_type, n_features, allowed):
    """Each type of rows has its own limits."""
    path, _ = write_rows(4, data_type=data_type)

    message = f"number of features {n_features}: rows of {data_type} may have {allowed}$"
    with pytest.raises(InputError, match=message):
        partition_file(path, n_workers=2, s3=s3, bucket="untouched", n_features=n_features, data_type=data_type)


@pytest.mark.parametrize(
    ("data_type", "form", "allowed"),
    [
        ("dense_libsvm", "cifar10", "npz or libsvm"),
        ("sparse_libsvm", "cifar10", "npz or libsvm"),
        ("cifar10", "libsvm", "npz or cifar10"),
    ],
)
def test_a_format_that_does_not_hold_such_rows_is_refused_first(s3, write_rows, data_type, form, allowed):
    """Images are no text, and text is no images."""
    path, _ = write_rows(4, data_type=data_type)

    with pytest.raises(InputError, match=f"format {form}: partitions of {data_type} are {allowed}"):
        partition_file(path, n_workers=2, s3=s3, bucket="untouched", data_type=data_type, format=form)


@pytest.mark.parametrize("bucket", ["ab", "Upper", "under_score", "a..b", "-a-", "x" * 64])
def test_a_bucket_name_that_s3_refuses_is_refused_first(s3, write_rows, bucket):
    """A wrong bucket name is found out before the file is read."""
    path, _ = write_rows(4)

    with pytest.raises(InputError, match=r"bucket name .* is not allowed"):
        partition_file(path, n_workers=2, s3=s3, bucket=bucket)


def failing_at(s3, call):
    """Makes S3 fail at the n-th put of a partition or manifest."""
    calls = []

    def refuse(**_):
        calls.append(1)
        if len(calls) == call:
            raise ClientError({"Error": {"Code": "SlowDown", "Message": "reduce your rate"}}, "PutObject")

    s3.meta.events.register_first("before-call.s3.PutObject", refuse)


@pytest.mark.parametrize("call", [1, 3, 4])
def test_a_failed_upload_is_taken_back(s3, write_rows, call):
    """When S3 refuses a partition or the manifest, the bucket holds nothing of the set."""
    path, _ = write_rows(9)
    failing_at(s3, call)

    with pytest.raises(InputError, match=r"writing partitions to s3://higgs-3: .*reduce your rate"):
        partition_file(path, n_workers=3, s3=s3, bucket="higgs-3")

    assert {} == list_objects(s3, "higgs-3")


def test_a_failed_second_run_leaves_the_first_ones_set(s3, write_rows):
    """When the same set lies there already, a failure to write it again takes nothing away."""
    path, _ = write_rows(9)
    manifest = partition_file(path, n_workers=3, s3=s3, bucket="higgs-3")
    before = contents(s3, "higgs-3")
    failing_at(s3, 2)

    with pytest.raises(InputError):
        partition_file(path, n_workers=3, s3=s3, bucket="higgs-3")

    assert before == contents(s3, "higgs-3")
    assert manifest == read_manifest(s3, "higgs-3")


def test_a_failed_run_with_other_data_leaves_no_manifest(s3, write_rows):
    """A manifest never describes partitions of which some have been overwritten."""
    path, _ = write_rows(9)
    other, _ = write_rows(10, "other.txt")
    partition_file(path, n_workers=3, s3=s3, bucket="higgs-3")
    failing_at(s3, 2)

    with pytest.raises(InputError):
        partition_file(other, n_workers=3, s3=s3, bucket="higgs-3")

    assert read_manifest(s3, "higgs-3") is None


def test_partitions_that_another_run_took_back_are_written_again(s3, write_rows, monkeypatch):
    """A run that finds partitions of its set missing once its manifest is there puts them back."""
    path, _ = write_rows(9)
    put = s3.put_object

    def put_and_lose_a_partition(**arguments):
        put(**arguments)
        if arguments["Key"] == "manifest.json":
            s3.delete_object(Bucket="higgs-3", Key="1_3")

    monkeypatch.setattr(s3, "put_object", put_and_lose_a_partition)
    partition_file(path, n_workers=3, s3=s3, bucket="higgs-3")

    assert {"0_3", "1_3", "2_3", "manifest.json"} == set(list_objects(s3, "higgs-3"))


def test_a_bucket_that_appears_meanwhile_is_used(s3, write_rows, monkeypatch):
    """A bucket that another process makes between the check and the making is no failure."""
    path, _ = write_rows(4)
    s3.create_bucket(Bucket="taken")
    answers = iter([False, False])
    monkeypatch.setattr(partitions, "bucket_exists", lambda *_: next(answers))

    def refuse(**_):
        raise ClientError({"Error": {"Code": "BucketAlreadyOwnedByYou", "Message": "yours"}}, "CreateBucket")

    monkeypatch.setattr(s3, "create_bucket", refuse)

    assert 4 == partition_file(path, n_workers=2, s3=s3, bucket="taken").rows


def test_there_is_no_manifest_where_there_is_no_bucket(s3):
    """A missing bucket and a missing manifest both read as None."""
    s3.create_bucket(Bucket="empty")

    assert read_manifest(s3, "empty") is None
    assert read_manifest(s3, "not-there") is None


def test_a_foreign_manifest_is_an_error(s3):
    """A `manifest.json` of someone else's is named, not misread."""
    s3.create_bucket(Bucket="foreign")
    s3.put_object(Bucket="foreign", Key="manifest.json", Body=b'{"name": "an app"}')

    with pytest.raises(InputError, match=r"s3://foreign/manifest\.json is not a manifest of this version's partitions"):
        read_manifest(s3, "foreign")


def test_too_small_a_disk_is_one_clear_error(s3, write_rows, tmp_path):
    """When temporary data cannot be written the error names the place."""
    path, _ = write_rows(4)

    with pytest.raises(InputError, match=r"temporary data in .*/not-there: No such file"):
        partition_file(path, n_workers=2, s3=s3, bucket="higgs", spill_dir=tmp_path / "not-there")


def test_a_disk_that_will_be_too_small_is_found_out_early(s3, write_rows, tmp_path, monkeypatch):
    """Before it is full, the error says how much is needed, how much there is, and what to do."""
    path, _ = write_rows(200_000)
    monkeypatch.setattr(spill, "RUN_BYTES", 1000)
    monkeypatch.setattr("shutil.disk_usage", lambda _: SimpleNamespace(free=1_000_000))

    with pytest.raises(
        InputError,
        match=rf"temporary data in {tmp_path}: needs about \d+ MB more, but 1 MB are free\n"
        "choose a folder on a larger disk with --spill-dir or the variable TMPDIR",
    ):
        partition_file(path, n_workers=2, s3=s3, bucket="higgs", spill_dir=tmp_path)

    assert [] == buckets(s3)
    assert 20 == partition_file(path, n_workers=2, s3=s3, bucket="few", spill_dir=tmp_path, limit=20).rows


def test_progress_goes_through_all_stages(s3, write_rows):
    """From the reading to the last upload the work done never falls, and ends with all of it."""
    path, data = write_rows(300)
    from_file, from_arrays = [], []

    partition_file(path, n_workers=3, s3=s3, bucket="file", progress=lambda *call: from_file.append(call))
    partition_arrays(
        data.x, data.y, n_workers=3, s3=s3, bucket="arrays", seed=0, source="rows",
        progress=lambda *call: from_arrays.append(call),
    )  # fmt: skip

    for calls in (from_file, from_arrays):
        shares = [done / total for _, done, total in calls]
        assert sorted(shares) == shares
        assert 1 == shares[-1]
        assert 300 == calls[-1][0]
        assert len(shares) >= 4


@pytest.mark.parametrize(
    ("data_type", "form", "digest"),
    [
        ("dense_libsvm", "npz", "8371e4672c1ae91cd7bf6ba84c14cca21e7600b3879559204d01e4d1acfffb95"),
        ("dense_libsvm", "libsvm", "ee988eb898d759a23ef81cd9d41522510c83be6ccbf6ac91c7f1e51ab65ec9af"),
        ("sparse_libsvm", "npz", "ceef1a050df6da4ed69639017ec18100be49f10889c2c27466fce78982af5e72"),
        ("cifar10", "npz", "458f10bf72b53587930d74156eab65a9ac57715a9bbcaa2d9a540e4faa43e4f7"),
    ],
)
def test_the_bytes_hold_for_all_time(s3, tmp_path, data_type, form, digest):
    """The same data and seed give the objects of version 2 of the manifest, bit for bit."""
    numbers = np.arange(101 * FEATURES[data_type]).reshape(101, -1)
    x = (numbers * 7 % 256).astype(np.uint8) if data_type == "cifar10" else (numbers * 7 % 97 / 8).astype(np.float32)
    data = Dataset(csr_array(x) if data_type == "sparse_libsvm" else x, (np.arange(101) % 2).astype(np.float32))
    path = tmp_path / "rows"
    path.write_bytes(FILE_FORMATS[data_type].format(data))

    partition_file(path, n_workers=3, s3=s3, bucket="golden", data_type=data_type, seed=5, format=form)

    found = contents(s3, "golden")
    assert digest == hashlib.sha256(b"".join(found[f"{rank}_3"] for rank in range(3))).hexdigest()


ONES = np.ones(4, np.float32)


@pytest.mark.parametrize(
    ("x", "y", "message"),
    [
        (np.full((4, 2), np.nan, np.float32), 0 * ONES, "finite"),
        (np.ones((4, 2), np.float32), ONES * np.inf, "labels must be finite"),
        (np.ones((1, 2), np.float32), ONES[:1], "too few"),
        (np.ones((4, 2)), ONES, "features are float64 and labels float32; they must be float32"),
        (np.ones((4, 2), np.float32), np.ones(4), "features are float32 and labels float64"),
        (csr_array(np.eye(4)), ONES, "features are float64"),
        (csr_array((ONES, [0, 1, 1, 0], [0, 2, 4, 4, 4])), ONES, "row 2: column 0 comes after 1"),
        (csr_array((ONES, [0, 1, 1, 1], [0, 2, 4, 4, 4])), ONES, "row 2: column 1 comes after 1"),
        (csr_array((ONES * np.nan, [0, 1, 0, 1], [0, 2, 4, 4, 4])), ONES, "row 1: feature 1 is nan"),
        (np.ones((4, 2), np.uint8), ONES, "images have 3072 features; these have 2"),
    ],
)
def test_bad_arrays_are_refused(s3, x, y, message):
    """Rows in memory are checked as those of a file are."""
    with pytest.raises(InputError, match=f"^rows.*{message}"):
        partition_arrays(x, y, n_workers=2, s3=s3, bucket="arrays", seed=0, source="rows")


@EVERY_TYPE
def test_skewed_partitions_hold_few_labels(s3, write_rows, data_type):
    """Sorted by label from the first partition to the last and shuffled within each; the manifest says so."""
    _, data = write_rows(101, data_type=data_type)

    manifest = partition_arrays(
        data.x, data.y, n_workers=4, s3=s3, bucket="skewed", seed=5, source="rows", skew="label"
    )

    parts = decoded(s3, "skewed", 4, data_type)
    assert ("label", 5) == (manifest.skew, manifest.seed)
    assert [26, 25, 25, 25] == manifest.rows_per_partition == [part.rows for part in parts]
    assert sorted(data.y.tolist()) == [label for part in parts for label in sorted(part.y.tolist())]
    rows = [int(row) for part in parts for row in part.x[:, 0]]
    assert list(range(101)) == sorted(rows)
    place = {row: at for at, row in enumerate(row_order(101, 5).tolist())}
    for part in parts:
        places = [place[int(row)] for row in part.x[:, 0]]
        assert sorted(places) == places
    np.testing.assert_array_equal(data.y[rows], np.concatenate([part.y for part in parts]))


def test_an_older_manifest_is_an_error_that_says_so(s3):
    """Partitions that an earlier version made are not misread."""
    s3.create_bucket(Bucket="older")
    s3.put_object(Bucket="older", Key="manifest.json", Body=b'{"source": "HIGGS.xz", "rows": 4, "version": 1}')

    with pytest.raises(InputError, match="is not a manifest of this version's partitions"):
        read_manifest(s3, "older")


@pytest.mark.parametrize("data_type", ["dense_libsvm", "sparse_libsvm"])
@pytest.mark.parametrize(
    ("missing", "x", "y"),
    [
        ("mean", [[1, 2.5, 3], [4, 5, 2], [2.5, 0, 1]], [1, 0, 1]),
        ("zero", [[1, 0, 3], [4, 5, 0], [0, 0, 1]], [1, 0, 1]),
        ("drop", [[7, 0, 1]], [1]),
    ],
)
def test_missing_values_of_text_become_what_the_user_says(s3, tmp_path, data_type, missing, x, y):
    """`nan` becomes the mean of its feature or zero, or its row is left out; a comment is none."""
    path = tmp_path / "rows.txt"
    text = "1 1:1 2:nan 3:3\n0 1:4 2:5 3:NaN # 1:nan\n1 1:nan 3:1\n"
    path.write_text(text if missing != "drop" else text + "1 1:7 3:1 # 2:nan\n")
    partition_file(
        path, n_workers=1, s3=s3, bucket="filled", data_type=data_type, missing=missing, shuffle=False, n_features=3
    )

    rows = decode_npz(s3.get_object(Bucket="filled", Key="0_1")["Body"].read(), source="rows")[1]
    found = rows.x if isinstance(rows.x, np.ndarray) else rows.x.toarray()
    assert (x, y) == (found.tolist(), rows.y.tolist())


def test_missing_values_of_text_are_counted(s3, tmp_path):
    """Without a word about them, they are refused with their number by feature."""
    path = tmp_path / "rows.txt"
    path.write_text("1 1:1 2:2 3:3\n0 1:4 2:nan 3:nan\n1 2:-nan 3:1\n")
    with pytest.raises(InputError, match=r"values \(nan\): feature 2 2, feature 3 1; the first at line 2\n--miss"):
        partition_file(path, n_workers=1, s3=s3, bucket="refused")

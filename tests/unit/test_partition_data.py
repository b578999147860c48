"""Partitions of files and of arrays: every row once, the same order everywhere, all in the bucket or nothing."""

import io
import lzma
import threading
import zipfile

import boto3
import numpy as np
import pytest
from botocore.exceptions import ClientError
from moto import mock_aws

from fixtures import partitions
from fixtures.libsvm import format_rows
from fixtures.partition_data import partition_arrays, partition_file, read_manifest
from fixtures.partitions import LabelCount, list_objects
from fixtures.shuffle import row_order
from fixtures.sidecar import Sidecar, write_sidecar
from training.dataset import Dataset, decode_partition
from training.errors import InputError

FEATURES = 3


@pytest.fixture(scope="module")
def s3_in_memory():
    """An S3 in this process's memory."""
    with pytest.MonkeyPatch.context() as patch, mock_aws():
        for name in ("AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_S3", "AWS_PROFILE"):
            patch.delenv(name, raising=False)
        yield boto3.client("s3", region_name="us-east-1")


@pytest.fixture
def s3(s3_in_memory):
    """That S3, without any bucket."""
    yield s3_in_memory
    for bucket in buckets(s3_in_memory):
        for key in list_objects(s3_in_memory, bucket):
            s3_in_memory.delete_object(Bucket=bucket, Key=key)
        s3_in_memory.delete_bucket(Bucket=bucket)


@pytest.fixture
def write_rows(tmp_path):
    """Writes rows that tell their number, and returns the file's path and the rows."""

    def write(count, name="rows.txt"):
        random = np.random.default_rng(count)
        x = random.normal(size=(count, FEATURES)).astype(np.float32)
        x[:, 0] = np.arange(count)
        data = Dataset(x, (random.random(count) < 0.5).astype(np.float32))
        path = tmp_path / name
        path.write_bytes(format_rows(data))
        return path, data

    return write


def contents(s3, bucket):
    """All objects of a bucket."""
    return {key: s3.get_object(Bucket=bucket, Key=key)["Body"].read() for key in list_objects(s3, bucket)}


def decoded(s3, bucket, n_workers):
    """What the workers get, by rank."""
    return [
        decode_partition(
            s3.get_object(Bucket=bucket, Key=f"{rank}_{n_workers}")["Body"].read(),
            source=f"{rank}",
            n_features=FEATURES,
        )
        for rank in range(n_workers)
    ]


def global_order(parts):
    """The rows' numbers in the global order: one row of each rank in turn."""
    rows = sum(part.rows for part in parts)
    return [int(parts[j % len(parts)].x[j // len(parts), 0]) for j in range(rows)]


def buckets(s3):
    """The names of all buckets."""
    return [bucket["Name"] for bucket in s3.list_buckets()["Buckets"]]


@pytest.mark.parametrize("form", ["npz", "libsvm"])
@pytest.mark.parametrize("n_workers", [1, 2, 3, 7])
def test_every_row_is_in_one_partition_and_the_order_is_the_seeds(s3, write_rows, form, n_workers):
    """Unequal partitions included, no row is lost, labels stay with their rows, and the order is `row_order`'s."""
    path, data = write_rows(101)

    manifest = partition_file(path, n_workers=n_workers, s3=s3, bucket="higgs", seed=5, format=form)
    parts = decoded(s3, "higgs", n_workers)

    order = row_order(101, 5)
    assert order.tolist() == global_order(parts)
    for rank, part in enumerate(parts):
        np.testing.assert_array_equal(data.x[order[rank::n_workers]], part.x)
        np.testing.assert_array_equal(data.y[order[rank::n_workers]], part.y)
    assert [part.rows for part in parts] == manifest.rows_per_partition
    assert max(manifest.rows_per_partition) - min(manifest.rows_per_partition) <= 1


def test_a_file_and_the_same_rows_in_memory_give_the_same_objects(s3, write_rows):
    """Partitions depend on rows and seed alone: a file, compressed or not, and arrays give the same bytes."""
    path, data = write_rows(50)
    compressed = path.with_name("rows.xz")
    compressed.write_bytes(lzma.compress(path.read_bytes()))

    partition_file(path, n_workers=3, s3=s3, bucket="from-file", seed=9)
    partition_file(compressed, n_workers=3, s3=s3, bucket="from-xz", seed=9)
    partition_arrays(data.x, data.y, n_workers=3, s3=s3, bucket="from-arrays", seed=9, source="rows.txt")

    assert contents(s3, "from-file") == contents(s3, "from-arrays")
    assert [f"{rank}_3" for rank in range(3)] + ["manifest.json"] == sorted(contents(s3, "from-file"))
    for key in ("0_3", "1_3", "2_3"):
        assert contents(s3, "from-file")[key] == contents(s3, "from-xz")[key]


def test_the_digest_is_the_same_for_any_number_of_workers(s3, write_rows):
    """The manifest's digest tells the data and the order, whatever the partitions."""
    path, _ = write_rows(40)

    digests = {partition_file(path, n_workers=n, s3=s3, bucket=f"for-{n}-workers", seed=1).sha256 for n in (1, 3, 4)}

    assert 1 == len(digests)
    assert digests != {partition_file(path, n_workers=1, s3=s3, bucket="other-seed", seed=2).sha256}


def test_the_manifest_says_what_lies_in_the_bucket(s3, write_rows):
    """Reading the manifest gives what the call returned, with counts and labels of the data."""
    path, data = write_rows(21)

    manifest = partition_file(path, n_workers=2, s3=s3, bucket="higgs-2", seed=3)

    assert manifest == read_manifest(s3, "higgs-2")
    assert ("rows.txt", 21, FEATURES, [11, 10], 3) == (
        manifest.source,
        manifest.rows,
        manifest.features,
        manifest.rows_per_partition,
        manifest.seed,
    )
    positive = int(data.y.sum())
    assert [LabelCount(0, 21 - positive), LabelCount(1, positive)] == manifest.labels
    assert 2 == manifest.n_classes
    assert not manifest.synthetic


def test_a_note_beside_the_file_marks_it_as_synthetic(s3, write_rows):
    """A file that the harness made up is called synthetic in the manifest too."""
    path, _ = write_rows(4)
    write_sidecar(path, Sidecar(synthetic=True, made_by="a test", rows=4, features=FEATURES, seed=0))

    assert partition_file(path, n_workers=2, s3=s3, bucket="made-up").synthetic


def test_without_a_shuffle_the_order_is_the_files(s3, write_rows):
    """Rows are dealt in turn as they stand in the file, and the manifest names no seed."""
    path, _ = write_rows(25)

    manifest = partition_file(path, n_workers=4, s3=s3, bucket="in-order", shuffle=False)

    assert list(range(25)) == global_order(decoded(s3, "in-order", 4))
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


def test_npz_partitions_are_aligned_and_readable_by_numpy(s3, write_rows):
    """NumPy reads a partition, its members are stored, and each array begins at a multiple of 64 bytes."""
    path, _ = write_rows(33)
    partition_file(path, n_workers=2, s3=s3, bucket="npz")
    body = contents(s3, "npz")["1_2"]

    with np.load(io.BytesIO(body), allow_pickle=False) as arrays:
        assert ["x", "y"] == sorted(arrays.files)
        assert body.index(arrays["x"].tobytes()) % 64 == 0
        assert body.index(arrays["y"].tobytes()) % 64 == 0
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


@pytest.mark.parametrize("n_features", [0, 10_001])
def test_an_impossible_number_of_features_is_refused_first(s3, write_rows, n_features):
    """Dense rows have 1 to 10,000 columns."""
    path, _ = write_rows(4)

    with pytest.raises(InputError, match=f"number of features {n_features}: dense rows may have 1 to 10000"):
        partition_file(path, n_workers=2, s3=s3, bucket="untouched", n_features=n_features)


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


def test_runs_at_the_same_time_write_the_same_set(s3, write_rows):
    """Two runs with the same data and seed that overlap in any way leave one complete set."""
    path, _ = write_rows(60)
    manifests = []

    def run():
        manifests.append(partition_file(path, n_workers=4, s3=s3, bucket="shared", seed=2))

    threads = [threading.Thread(target=run) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert 4 == len(manifests)
    assert {manifests[0].sha256} == {manifest.sha256 for manifest in manifests}
    assert row_order(60, 2).tolist() == global_order(decoded(s3, "shared", 4))


def test_a_bucket_that_appears_meanwhile_is_used(s3, write_rows, monkeypatch):
    """A bucket that another process makes between the check and the making is no failure."""
    path, _ = write_rows(4)
    s3.create_bucket(Bucket="taken")
    answers = iter([False, False])
    monkeypatch.setattr(partitions, "_exists", lambda *_: next(answers))

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

    with pytest.raises(InputError, match=r"s3://foreign/manifest\.json is not a manifest of partitions"):
        read_manifest(s3, "foreign")


def test_too_small_a_disk_is_one_clear_error(s3, write_rows, tmp_path):
    """When temporary data cannot be written the error names the place."""
    path, _ = write_rows(4)

    with pytest.raises(InputError, match=r"temporary data in .*/not-there: No such file"):
        partition_file(path, n_workers=2, s3=s3, bucket="higgs", spill_dir=tmp_path / "not-there")


@pytest.mark.parametrize(
    ("x", "y", "message"),
    [
        (np.full((4, 2), np.nan, np.float32), np.zeros(4, np.float32), "finite"),
        (np.ones((4, 2), np.float32), np.full(4, 0.5, np.float32), "whole"),
        (np.ones((1, 2), np.float32), np.zeros(1, np.float32), "too few"),
    ],
)
def test_bad_arrays_are_refused(s3, x, y, message):
    """Rows in memory are checked as those of a file are."""
    with pytest.raises(InputError, match=message):
        partition_arrays(x, y, n_workers=2, s3=s3, bucket="arrays", seed=0, source="rows")

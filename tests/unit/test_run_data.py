"""The data of a run: partitioned when needed, and checked against the job before anything is invoked."""

import numpy as np
import pytest
from scipy.sparse import csr_array

from harness.datasets.libsvm import format_rows
from harness.datasets.partitioning import partition_arrays
from harness.datasets.partitions import read_manifest
from harness.datasets.specs import parse_data_spec
from harness.datasets.tables.spec import TableOptions
from harness.errors import HarnessError
from harness.runs.data import Data, check_shape, prepare_data
from training.data.dataset import Dataset
from training.errors import InputError, JobError
from training.job import Job, decode_job

EVENT = {"data_bucket": "not-known-yet", "n_features": 1, "n_workers": 2, "host": "h"}
SHAPE = {"dataset_type": "sparse_libsvm", "n_features": 50, "n_classes": 3}


def job(**event):
    """The job of an event."""
    return decode_job(EVENT | event, Job)


@pytest.mark.parametrize(
    ("spec", "model", "shape"),
    [
        ("synthetic:rows=20,features=3", "lr", ("dense_libsvm", 3, 2)),
        ("synthetic-sparse:rows=20,features=50,density=0.1", "sparse_lr", ("sparse_libsvm", 50, 2)),
        ("synthetic-images:rows=40,classes=3", "resnet", ("cifar10", 3072, 3)),
        ("synthetic-images:rows=40,classes=3", "mlp", ("cifar10", 3072, 3)),
    ],
)
def test_a_set_brings_its_type_along(s3, spec, model, shape):
    """What a set is made of tells the type, the columns and the classes of the job."""
    data = prepare_data(parse_data_spec(spec), job(model=model), s3)

    assert dict(zip(SHAPE, shape, strict=True)) == data.shape
    assert shape[0] == read_manifest(s3, data.bucket).data_type


def test_a_deployment_holds_each_set_in_a_folder_of_its_one_bucket(s3):
    """Functions on AWS may read one bucket only, so sets lie beside each other in it, each with its manifest."""
    s3.create_bucket(Bucket="deployed")
    places = [
        prepare_data(parse_data_spec(f"synthetic:rows={rows},features=3"), job(), s3, deployed_bucket="deployed")
        for rows in (20, 30)
    ]

    assert {"deployed"} == {data.bucket for data in places}
    assert all(data.prefix.startswith("data/synthetic-2-") and data.prefix.endswith("/") for data in places)
    assert [20, 30] == [read_manifest(s3, data.bucket, data.prefix).rows for data in places]
    assert ["deployed"] == [entry["Name"] for entry in s3.list_buckets()["Buckets"]]


@pytest.mark.parametrize(
    ("model", "spec", "message"),
    [
        ("lr", "synthetic-sparse", "model=lr needs dataset_type=dense_libsvm; got dataset_type=sparse_libsvm"),
        ("sparse_lr", "synthetic", "model=sparse_lr needs dataset_type=sparse_libsvm; got dataset_type=dense_libsvm"),
        ("resnet", "sklearn:wine", "model=resnet needs dataset_type=cifar10; got dataset_type=dense_libsvm"),
    ],
)
def test_a_set_that_the_model_does_not_take_is_refused_first(s3, model, spec, message):
    """Nothing is made and nothing is written for a run that cannot be."""
    with pytest.raises(InputError, match=f"^{message}$"):
        prepare_data(parse_data_spec(spec), job(model=model), s3)

    assert [] == s3.list_buckets()["Buckets"]


def test_a_files_type_is_the_jobs(s3, tmp_path):
    """The same text is sparse for one model and dense for another, in buckets of their own."""
    path = tmp_path / "rows"
    path.write_bytes(b"0 1:1 3:2\n1 2:1\n" * 4)
    spec = parse_data_spec(str(path))

    dense, sparse = (prepare_data(spec, job(model=model), s3) for model in ("lr", "sparse_lr"))

    assert "dense_libsvm" == read_manifest(s3, dense.bucket).data_type
    assert "sparse_libsvm" == read_manifest(s3, sparse.bucket).data_type
    assert dense.bucket != sparse.bucket


def test_a_bucket_tells_its_type_by_its_manifest(s3):
    """Partitions that lie there already say what they are; without a manifest the job must."""
    rows = csr_array(np.eye(6, 50, dtype=np.float32))
    y = np.arange(6, dtype=np.float32) % 3
    partition_arrays(rows, y, n_workers=2, s3=s3, bucket="sparse-rows", seed=0, source="rows")
    s3.create_bucket(Bucket="someones")
    s3.put_object(Bucket="someones", Key="0_2", Body=format_rows(Dataset(rows, y)))

    assert prepare_data(parse_data_spec("s3://sparse-rows"), job(model="sparse_lr"), s3).shape == SHAPE
    assert {} == prepare_data(parse_data_spec("s3://someones"), job(model="sparse_lr"), s3).shape


def test_skewed_sets_are_skewed(s3):
    """The option of the set's name reaches the partitions."""
    data = prepare_data(parse_data_spec("sklearn:wine,skew=label"), job(), s3)

    assert "label" == read_manifest(s3, data.bucket).skew


def test_partitions_for_another_number_of_workers_are_refused(s3):
    """The error says for how many workers the bucket is."""
    rows, y = np.ones((6, 3), np.float32), np.arange(6, dtype=np.float32) % 2
    partition_arrays(rows, y, n_workers=3, s3=s3, bucket="for-three", seed=0, source="rows")

    with pytest.raises(HarnessError, match="s3://for-three holds 3 partitions, n_workers is 2"):
        prepare_data(parse_data_spec("s3://for-three"), job(), s3)


@pytest.mark.parametrize(
    ("event", "message"),
    [
        ({"dataset_type": "dense_libsvm"}, "`dataset_type` is 'dense_libsvm'; allowed: sparse_libsvm, as rcv1 has it"),
        ({"dataset_type": "cifar10"}, "`dataset_type` is 'cifar10'; allowed: sparse_libsvm, as rcv1 has it"),
        ({"n_features": 49}, "`n_features` is 49; allowed: 50 or more, as rcv1 has 50; or leave it out"),
        ({"n_classes": 2}, "`n_classes` is 2; allowed: 3 or more, as rcv1 has 3; or leave it out"),
    ],
)
def test_what_the_user_says_of_the_data_must_be_true(event, message):
    """A field that contradicts the manifest is one error."""
    with pytest.raises(JobError, match=message):
        check_shape(event, Data("bucket", "rcv1", SHAPE))


@pytest.mark.parametrize("event", [{}, SHAPE, {"n_classes": 5}, {"n_features": 51}])
def test_what_agrees_with_the_data_is_taken(event):
    """More classes and columns than the data has are possible: it may lack the last of them."""
    check_shape(event, Data("bucket", "rcv1", SHAPE))


@pytest.fixture
def data_file(tmp_path):
    """Writes a file and returns its spec."""

    def write(text):
        path = tmp_path / "rows.txt"
        path.write_bytes(text)
        return parse_data_spec(str(path))

    return write


@pytest.mark.parametrize("labels", [(0.5, 1.5), (1, 4_000_000_000), (7, 7), (-3.25, 1e30)])
def test_only_a_classification_looks_at_labels(s3, data_file, labels):
    """k-means takes any; a classifier refuses those that are no classes, in the user's own words."""
    spec = data_file(b"%r 1:1\n%r 1:2\n" % labels)

    assert {"dataset_type": "dense_libsvm", "n_features": 1} == prepare_data(spec, job(model="kmeans"), s3).shape
    with pytest.raises(InputError, match=rf"rows.txt: .*label ({labels[0]}|{labels[1]})\b"):
        prepare_data(spec, job(), s3)


def test_the_classes_are_the_labels(s3, data_file):
    """As many as there are, not up to the largest; another number of classes must make sense."""
    spec = data_file(b"1 1:1\n2 1:2\n3 1:3\n")

    assert 3 == prepare_data(spec, job(), s3).shape["n_classes"]
    assert 5 == prepare_data(spec, job(n_classes=5), s3).shape["n_classes"]
    with pytest.raises(JobError, match=r"`n_classes` is 2; .*rows.txt has 3: 1, 2, 3"):
        prepare_data(spec, job(n_classes=2), s3)


def test_a_zero_based_file_is_told_from_others(s3, data_file):
    """Seen by its index 0; a bucket keeps the base that its partitions were read with."""
    spec = data_file(b"1 0:1 1:2\n0 1:3\n" * 3)

    seen = prepare_data(spec, job(), s3)

    assert ("yes", 2) == (seen.shape["zero_based"], seen.shape["n_features"])
    assert read_manifest(s3, seen.bucket).zero_based
    assert seen.shape | {"zero_based": "yes"} == prepare_data(spec, job(zero_based="yes"), s3).shape
    with pytest.raises(InputError, match=r"line 1: feature index 0; indices start at 1, unless .* --zero-based yes"):
        prepare_data(spec, job(zero_based="no"), s3)
    with pytest.raises(JobError, match=r"`zero_based` is 'no'; allowed: auto or yes, as s3://.* was read so"):
        prepare_data(parse_data_spec(f"s3://{seen.bucket}"), job(zero_based="no"), s3)


@pytest.mark.parametrize(
    ("event", "field", "allowed"),
    [
        ({"model": "svm"}, "model", "linear, or mlp with loss=squared: sklearn:diabetes has targets"),
        ({"model": "mlp"}, "loss", "squared, huber or poisson: sklearn:diabetes has targets, not classes"),
    ],
)
def test_targets_are_no_classes(s3, event, field, allowed):
    """The error names the key that makes the job a regression."""
    with pytest.raises(JobError, match=allowed) as caught:
        prepare_data(parse_data_spec("sklearn:diabetes"), job(**event), s3)

    assert f"`{field}`" in str(caught.value)


def test_what_a_column_decided_is_not_decided_again(s3, tmp_path):
    """Partitions that were split by a column take no other share of validation rows; the run itself says the share."""
    path = tmp_path / "table.csv"
    path.write_text("a,who,y\n" + "".join(f"{row},{row % 10},{row % 2}\n" for row in range(100)))
    options = TableOptions(split_by="who")
    made = prepare_data(parse_data_spec(str(path), options), job(valid_ratio=0.2), s3)
    check_shape({"valid_ratio": 0.2}, made)
    with pytest.raises(JobError, match=r"`n_features` is 7; allowed: 1, as .* has it"):
        check_shape({"n_features": 7}, made)

    named = prepare_data(parse_data_spec(f"s3://{made.bucket}"), job(), s3)
    assert 20 == sum(made.manifest.valid_rows_per_partition)
    with pytest.raises(JobError, match="nothing: a column decided which rows of"):
        check_shape({"valid_ratio": 0.2}, named)


def test_a_model_of_another_task_is_refused(s3, tmp_path):
    """Partitions of targets need a model of regression, and those of classes none."""
    path = tmp_path / "table.csv"
    for labels, model, named in (("0.5", "lr", "has targets, not classes"), ("cat", "linear", "with classes")):
        path.write_text("a,y\n" + "".join(f"{row},{labels}{row % 3}\n" for row in range(30)))
        data = prepare_data(parse_data_spec(str(path)), job(), s3)
        with pytest.raises(JobError, match=named):
            check_shape({"model": model}, data)

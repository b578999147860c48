"""A run is prepared once: what the user asks for is checked before anything is started, then completed."""

from types import SimpleNamespace

import pytest

from harness.datasets.specs import BucketSpec, parse_data_spec
from harness.errors import HarnessError
from harness.faults import read_plan
from harness.runs.data import Data
from harness.runs.prepared import DEFAULT_DATA, RESULT_BUCKET, complete_job, prepare_run, with_world_size
from training.errors import InputError, JobError

EVENT = {"model": "svm", "n_epochs": 3}


def bucket_of(s3, n_workers):
    """A bucket with one set of partitions, as the original writes it."""
    s3.create_bucket(Bucket="partitioned")
    for rank in range(n_workers):
        s3.put_object(Bucket="partitioned", Key=f"{rank}_{n_workers}", Body=b"1 1:0.5\n")


def test_what_the_run_finds_out_itself_is_empty():
    """No placeholder looks like a value."""
    job = prepare_run("s3://partitioned", None, EVENT).job

    assert ("", 0, 0, "") == (job.data_bucket, job.n_features, job.n_workers, job.host)
    assert ("svm", 3) == (job.model, job.n_epochs)


@pytest.mark.parametrize(
    ("data", "event", "expected"),
    [
        (None, {}, parse_data_spec(DEFAULT_DATA["dense_libsvm"])),
        (None, {"model": "sparse_lr"}, parse_data_spec(DEFAULT_DATA["sparse_libsvm"])),
        (None, {"model": "resnet"}, parse_data_spec(DEFAULT_DATA["cifar10"])),
        (None, {"data_bucket": "mine", "data_prefix": "a/"}, BucketSpec("mine", "a/")),
        ("s3://other", {"data_bucket": "mine"}, BucketSpec("other", "")),
    ],
)
def test_data_is_what_is_named_or_what_the_model_takes(data, event, expected):
    """`--data` comes first, then the job's own bucket, then a set for the model."""
    assert expected == prepare_run(data, None, event).data


@pytest.mark.parametrize("event", [{"n_workers": 0}, {"n_workers": 1001}, {"n_features": 0}, {"host": ""}])
def test_an_empty_key_is_refused_when_the_user_sets_it(event):
    """A key may be missing, but it may not be wrong."""
    with pytest.raises(JobError, match=f"job field `{next(iter(event))}`"):
        prepare_run("s3://partitioned", None, event)


def test_faults_are_checked_again_when_the_world_size_is_known(s3):
    """Before the partitions are counted any rank may exist; afterwards a fault of a missing rank is refused."""
    bucket_of(s3, 2)
    run = prepare_run("s3://partitioned", None, {}, read_plan(None, ("kill rank=2 round=1",), None))

    with pytest.raises(HarnessError, match="0 to n_workers - 1 = 1"):
        with_world_size(run, s3)


def test_the_world_size_is_the_users_else_the_buckets(s3):
    """Partitions are counted only when nobody has named a number."""
    bucket_of(s3, 2)

    assert 2 == with_world_size(prepare_run("s3://partitioned", None, {}), s3).job.n_workers
    assert 3 == with_world_size(prepare_run("s3://partitioned", None, {"n_workers": 3}), s3).job.n_workers


def test_the_complete_job_takes_the_users_keys_before_what_follows_from_the_data():
    """The place wins over everything, the user over the data and its defaults."""
    run = prepare_run("sklearn:wine", None, {**EVENT, "n_classes": 5, "host": "elsewhere"})
    data = Data("bucket", "wine", {"n_features": 13, "n_classes": 3, "dataset_type": "dense_libsvm"}, "data/")
    target = SimpleNamespace(discovery="127.0.0.1:4242", bucket="")

    job = complete_job(run, data, target, {"lr": 0.5, "n_epochs": 9})

    assert (3, 0.5, 5, 13, 4) == (job.n_epochs, job.lr, job.n_classes, job.n_features, job.n_workers)
    assert ("127.0.0.1", 4242, "bucket", "data/") == (job.host, job.port, job.data_bucket, job.data_prefix)
    assert RESULT_BUCKET == job.results


def test_what_the_data_brings_is_checked_too():
    """A set of one class is no classification."""
    run = prepare_run("sklearn:wine", None, {})
    target = SimpleNamespace(discovery="127.0.0.1:4242", bucket="")

    with pytest.raises(InputError, match="`n_classes` is 1"):
        complete_job(run, Data("bucket", "ones", {"n_features": 13, "n_classes": 1}), target, {})


def test_an_empty_name_of_data_is_refused():
    """It is what a script's unset variable gives, and no wish for the default data."""
    with pytest.raises(InputError, match="data ``: is empty; the forms are"):
        prepare_run("", None, EVENT)

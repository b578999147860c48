"""The test set of a run: what it must have in common with the training data."""

import numpy as np
import pytest

from harness.datasets.libsvm import format_rows
from harness.datasets.specs import parse_data_spec
from harness.errors import HarnessError
from harness.runs.data import prepare_data
from harness.runs.prepared import prepare_run, with_test_set
from harness.runs.test_set import prepare_test_set
from training.data.dataset import Dataset
from training.errors import InputError
from training.job import Job, decode_job

EVENT = {"data_bucket": "not-known-yet", "n_features": 3, "n_workers": 2, "host": "h"}


def written(path, labels, n_features=3, rows=12):
    """A LIBSVM file."""
    x = np.random.default_rng(0).normal(size=(rows, n_features)).astype(np.float32)
    path.write_bytes(format_rows(Dataset(x, np.resize(np.array(labels, np.float32), rows))))
    return str(path)


def prepared(s3, tmp_path, test, **event):
    """The job of a training on classes 0 and 1, with its test set."""
    job = decode_job(EVENT | event, Job)
    data = prepare_data(parse_data_spec(written(tmp_path / "train.svm", [0, 1])), job, s3)
    return prepare_test_set(parse_data_spec(test), job, data, s3)


def test_a_test_set_is_partitioned_for_the_ranks(s3, tmp_path):
    """It has as many partitions as there are workers, and may lack classes and trailing columns."""
    job = prepared(s3, tmp_path, written(tmp_path / "test.svm", [1], n_features=2))

    found = {entry["Key"] for entry in s3.list_objects_v2(Bucket=job.test_bucket)["Contents"]}
    assert {"0_2", "1_2", "manifest.json"} == found


@pytest.mark.parametrize(
    ("labels", "n_features", "message"),
    [
        ([0, 2], 3, "has the label 2, which the training data lacks: 0, 1\nleave such rows out"),
        ([0, 1], 5, "has 5 columns, and .*train.svm 3: the model knows no others"),
    ],
)
def test_rows_that_the_model_cannot_know_are_refused(s3, tmp_path, labels, n_features, message):
    """Another label, or more columns than the training data."""
    test = written(tmp_path / "test.svm", labels, n_features)

    with pytest.raises(InputError, match=message):
        prepared(s3, tmp_path, test)


def test_the_test_sets_indices_start_where_those_of_the_data_do(s3, tmp_path):
    """An index 0 beside training data that starts at 1 would shift all columns: it is refused by its line."""
    test = tmp_path / "test.svm"
    test.write_text("0 0:1 1:2\n1 1:1\n")

    with pytest.raises(InputError, match="line 1: feature index 0"):
        prepared(s3, tmp_path, str(test))


def test_a_clustering_has_no_test_set():
    """There is nothing to compare clusters with."""
    run = prepare_run("sklearn:wine", None, {"model": "kmeans"})

    with pytest.raises(HarnessError, match="model=kmeans has no labels to compare with a test set"):
        with_test_set(run, "sklearn:wine")

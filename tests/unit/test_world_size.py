"""How many workers a run has when nobody says: as many as there are partitions, else 4."""

import pytest

from harness.datasets.partitions import count_partitions
from harness.datasets.specs import parse_data_spec
from harness.runs.data import prepare_data
from harness.runs.prepared import DEFAULT_WORKERS, prepare_run
from training.errors import InputError
from training.job import Job, decode_job


def test_a_run_of_data_that_is_partitioned_for_it_has_four_workers(tmp_path):
    """`harness run` alone is a whole command; flags and a job file still decide."""
    (tmp_path / "event.json").write_text('{"n_workers": 3}')

    assert DEFAULT_WORKERS == prepare_run(None, None, {}).job.n_workers == 4
    assert 3 == prepare_run(None, tmp_path / "event.json", {}).job.n_workers
    assert 2 == prepare_run("sklearn:wine", tmp_path / "event.json", {"n_workers": 2}).job.n_workers


def test_partitions_are_counted_by_their_manifest(s3):
    """Partitions that the harness wrote say themselves how many they are."""
    job = decode_job({"data_bucket": "later", "n_features": 1, "n_workers": 3, "host": "h"}, Job)
    data = prepare_data(parse_data_spec("synthetic:rows=20,features=3"), job, s3)

    assert 3 == count_partitions(s3, data.bucket)


def test_partitions_of_the_original_are_counted_by_their_keys(s3):
    """The original writes no manifest; an incomplete set and other objects do not count."""
    s3.create_bucket(Bucket="higgs")
    for key in ("0_2", "1_2", "0_10", "readme.txt"):
        s3.put_object(Bucket="higgs", Key=key, Body=b"1 1:0.5\n")

    assert 2 == count_partitions(s3, "higgs")


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ([], "s3://higgs holds no complete set of partitions: objects named <rank>_<n>, ranks 0 to n - 1"),
        (["0_2"], "s3://higgs holds no complete set of partitions: objects named <rank>_<n>, ranks 0 to n - 1"),
        (["0_1", "0_2", "1_2"], "s3://higgs holds sets of 1, 2 partitions: choose one with --n-workers"),
    ],
)
def test_a_bucket_without_one_complete_set_is_refused(s3, keys, message):
    """The error says what was looked for, or which numbers there are to choose from."""
    s3.create_bucket(Bucket="higgs")
    for key in keys:
        s3.put_object(Bucket="higgs", Key=key, Body=b"1 1:0.5\n")

    with pytest.raises(InputError) as refused:
        count_partitions(s3, "higgs")
    assert message == str(refused.value)


def test_a_bucket_that_is_not_there_is_named(s3):
    """A mistyped bucket is told as that."""
    with pytest.raises(InputError, match="there is no bucket `higs`"):
        count_partitions(s3, "higs")

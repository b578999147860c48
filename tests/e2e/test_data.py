"""Data on the real stack: objects that are not what was put there, and labels of several partitions."""

import hashlib

import numpy as np
import polars as pl
import pytest

from harness.aws.clients import clients_for
from harness.datasets.partitioning import partition_file
from harness.datasets.partitions import read_manifest
from harness.datasets.tables.spec import TableOptions
from harness.errors import HarnessError
from harness.runs.predict import model_of_run
from tests.support.running import run_job
from training.errors import InputError
from training.run.results import RunFolder

JOB = {
    "n_workers": 2,
    "n_features": 3,
    "valid_ratio": 0,
    "n_epochs": 4,
    "batch_size": 10,
    "lr": 0.5,
    "standardise": False,
}


@pytest.fixture(scope="module")
def s3(stack):
    """A client of the session's stack."""
    return clients_for(stack.endpoints).s3


@pytest.fixture(scope="module")
def three_labels(tmp_path_factory):
    """60 rows whose labels are 2, 4 and 7, in the order of the file."""
    path = tmp_path_factory.mktemp("data") / "three.txt"
    path.write_text("".join(f"{[2, 4, 7][row % 3]} {row % 3 + 1}:1\n" for row in range(60)))
    return path


def test_the_classes_are_the_labels_of_all_partitions(stack, settings, s3, three_labels):
    """With the manifest, or by agreement where a bucket has none: the same model, which keeps the labels."""
    partition_file(three_labels, n_workers=2, s3=s3, bucket="three-labels", shuffle=False)
    s3.create_bucket(Bucket="three-labels-alone")
    for key in ("0_2", "1_2"):
        s3.copy_object(Bucket="three-labels-alone", Key=key, CopySource=f"three-labels/{key}")
    # Rank 1 has no row of label 2: it could not number the classes by itself.
    sorted_lines = sorted(three_labels.read_text().splitlines(keepends=True))
    s3.create_bucket(Bucket="three-labels-sorted")
    s3.put_object(Bucket="three-labels-sorted", Key="0_2", Body="".join(sorted_lines[:30]))
    s3.put_object(Bucket="three-labels-sorted", Key="1_2", Body="".join(sorted_lines[30:]))

    described, alone, uneven = (
        run_job(stack, settings, data=f"s3://{bucket}", **JOB)
        for bucket in ("three-labels", "three-labels-alone", "three-labels-sorted")
    )

    assert described.model["sha256"] == alone.model["sha256"]
    assert 1.0 == described.accuracy == uneven.accuracy
    models = [model_of_run(RunFolder(s3, "lambda-harness-runs", run.run_id)) for run in (described, uneven)]
    assert [[2, 4, 7]] * 2 == [model.class_labels for model in models]


def test_an_object_that_is_not_the_partition_is_refused(stack, settings, s3, three_labels):
    """Another rank's rows, fewer rows, one altered value: the run fails at once and names the object."""
    partition_file(three_labels, n_workers=2, s3=s3, bucket="swapped", shuffle=False)
    first, second = (s3.get_object(Bucket="swapped", Key=key)["Body"].read() for key in ("0_2", "1_2"))
    expected = read_manifest(s3, "swapped").md5_per_partition[0]
    assert hashlib.md5(first, usedforsecurity=False).hexdigest() == expected

    altered = first[:-200] + bytes([first[-200] ^ 1]) + first[-199:]
    for body in (second, altered):
        s3.put_object(Bucket="swapped", Key="0_2", Body=body)
        with pytest.raises(HarnessError, match=r"s3://swapped/0_2 is not the partition .*expected 30 rows with md5 "):
            run_job(stack, settings, data="s3://swapped", **JOB)


def test_an_object_put_in_parts_is_judged_by_its_bytes(stack, settings, s3, three_labels):
    """The ETag of an object in parts is no digest of its content."""
    partition_file(three_labels, n_workers=2, s3=s3, bucket="in-parts", shuffle=False)
    place = {"Bucket": "in-parts", "Key": "0_2"}
    body = s3.get_object(**place)["Body"].read()
    upload = s3.create_multipart_upload(**place)["UploadId"]
    part = s3.upload_part(**place, UploadId=upload, PartNumber=1, Body=body)["ETag"]
    parts = {"Parts": [{"PartNumber": 1, "ETag": part}]}
    assert s3.complete_multipart_upload(**place, UploadId=upload, MultipartUpload=parts)["ETag"].endswith('-1"')

    assert "succeeded" == run_job(stack, settings, data="s3://in-parts", **JOB).status


def test_a_model_that_is_not_the_runs_is_refused(stack, settings, s3):
    """`predict` compares the model with the digest in the run's result."""
    summary = run_job(stack, settings, n_workers=1, n_epochs=1)
    key = f"runs/{summary.run_id}/model.npz"
    body = s3.get_object(Bucket="lambda-harness-runs", Key=key)["Body"].read()
    s3.put_object(Bucket="lambda-harness-runs", Key=key, Body=body[:-1] + b"\x01")

    with pytest.raises(HarnessError, match=f"the model is not the one that run {summary.run_id} stored: sha256 "):
        model_of_run(RunFolder(s3, "lambda-harness-runs", summary.run_id))


def people(rows):
    """A table with text, a missing value and labels that follow from its columns."""
    random = np.random.default_rng(3)
    age, town = random.normal(40, 10, rows), random.choice(["Bern", "Rome"], rows)
    pet = np.where(age / 10 + 2 * (town == "Rome") > 5, "cat", "dog")
    ages = [None, *age.round(2).tolist()[1:]]
    return pl.DataFrame({"age": ages, "town": town, "pet": pet})


def test_a_table_with_text_and_missing_values_trains(stack, settings, s3, tmp_path):
    """From a CSV file to a model that knows the columns and the user's labels."""
    path = tmp_path / "people.csv"
    people(300).write_csv(path)

    with pytest.raises(InputError, match=r"missing values: `age` 1; the first at .*people.csv line 2"):
        run_job(stack, settings, data=str(path), n_workers=2)
    done = run_job(stack, settings, data=str(path), n_workers=2, n_epochs=10, options=TableOptions(missing="mean"))

    assert done.accuracy > 0.9
    schema = model_of_run(RunFolder(s3, "lambda-harness-runs", done.run_id)).schema
    assert (["age", "town=Bern", "town=Rome"], ["cat", "dog"]) == (schema.features, schema.classes)


def test_a_folder_of_parquet_trains_alike_on_disk_and_in_s3(stack, settings, s3, tmp_path):
    """The same rows give the same model; the bucket with objects is found by what it holds."""
    table = people(300).drop_nulls()
    s3.create_bucket(Bucket="lake")
    for part, rows in enumerate((table[:100], table[100:])):
        rows.write_parquet(tmp_path / f"part-{part}.parquet")
        s3.upload_file(str(tmp_path / f"part-{part}.parquet"), "lake", f"people/part-{part}.parquet")

    here, there = (
        run_job(stack, settings, data=data, n_workers=2, n_epochs=5) for data in (str(tmp_path), "s3://lake/people")
    )

    assert here.accuracy > 0.9
    assert here.model["sha256"] == there.model["sha256"]

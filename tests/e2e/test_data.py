"""Data on the real stack: objects that are not what was put there, and labels of several partitions."""

import hashlib

import pytest

from harness.aws.clients import clients_for
from harness.datasets.partitioning import partition_file
from harness.datasets.partitions import read_manifest
from harness.errors import HarnessError
from harness.runs.predict import model_of_run
from tests.support.running import run_job

JOB = {"n_workers": 2, "n_features": 3, "valid_ratio": 0, "n_epochs": 4, "batch_size": 10, "lr": 0.5}


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
    models = [model_of_run(s3, "lambda-harness-runs", run.run_id) for run in (described, uneven)]
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
        model_of_run(s3, "lambda-harness-runs", summary.run_id)

"""The event for debugging one worker: legal for whatever data it is made of."""

import json

import pytest

from fixtures.save_1_worker_output import save
from training.job import WorkerJob, decode_job


@pytest.mark.parametrize(
    ("data", "model", "data_type", "features"),
    [
        ("synthetic:rows=20,features=3", "lr", "dense_libsvm", 3),
        ("synthetic-sparse:rows=20,features=50,density=0.1", "sparse_lr", "sparse_libsvm", 50),
        ("synthetic-images:rows=20,classes=3", "mobilenet", "cifar10", 3072),
    ],
)
def test_the_event_goes_with_its_data(s3, tmp_path, monkeypatch, data, model, data_type, features):
    """A model that takes such rows, and the partition that the event names."""
    monkeypatch.chdir(tmp_path)  # away from a stack that is up
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")

    save(data, "one-worker", None, "127.0.0.1:11211", tmp_path / "event.json")

    job = decode_job(json.loads((tmp_path / "event.json").read_bytes()), WorkerJob)
    assert (model, data_type, features) == (job.model, job.data_type, job.n_features)
    assert s3.head_object(Bucket=job.data_bucket, Key=job.file)["ContentLength"] > 0

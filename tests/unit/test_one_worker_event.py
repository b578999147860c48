"""The event for debugging one worker: legal for whatever data it is made of, and of no run."""

import json

import pytest

from fixtures.save_1_worker_output import save
from harness.runs.invoke import foreign_cache
from training.errors import InputError
from training.job import decode_worker_job


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

    event = json.loads((tmp_path / "event.json").read_bytes())
    job, again = decode_worker_job(event, "request-1"), decode_worker_job(event, "request-2")
    assert ("request-1", "request-2") == (job.run_id, again.run_id)
    assert (model, data_type, features) == (job.model, job.data_type, job.n_features)
    assert s3.head_object(Bucket=job.data_bucket, Key=job.file)["ContentLength"] > 0


def test_a_worker_among_others_must_be_told_its_run():
    """Ranks that named their run each for itself would never meet; a run that is named keeps its name."""
    event = {"worker_index": 0, "file": "0_2", "data_bucket": "higgs", "n_features": 3, "n_workers": 2, "host": "h"}

    with pytest.raises(InputError, match="`run_id` is missing"):
        decode_worker_job(event, "request")
    assert "mine" == decode_worker_job({**event, "n_workers": 1, "run_id": "mine"}, "request").run_id


@pytest.mark.parametrize(
    ("event", "foreign"),
    [
        (b'{"host": "127.0.0.1", "port": 1, "model": "lr"}', "127.0.0.1:1"),
        (b'{"host": "127.0.0.1", "port": 2}', ""),
        (b'{"host": 1}', ""),
        (b"[1]", ""),
        (b"\xff", ""),
    ],
)
def test_the_cache_of_an_earlier_stack_is_noticed(event, foreign):
    """An event that was written before `harness up` names another Memcached; any other event is no business of ours."""
    assert foreign == foreign_cache(event, "127.0.0.1:2")

"""Runs in any bucket of a stack, and folders of runs in which somebody has put what no worker wrote."""

import hashlib
import json
import uuid

import pytest

from harness.aws.clients import clients_for
from harness.errors import HarnessError
from harness.report.measured import measured_run
from harness.runs.catalogue import list_runs, result_buckets
from harness.runs.places import run_folder
from harness.runs.predict import model_of_run
from harness.runs.prepared import RESULT_BUCKET
from harness.runs.run_target import stack_target
from training.errors import InputError, TrainingError
from training.run import results
from training.run.results import RunFolder

JOB = {"dataset": "rows", "n_workers": 2, "data_bucket": "rows", "n_features": 3, "host": "h", "port": 1}

NO_MODEL = b"PK no archive"


@pytest.fixture(scope="module")
def s3(stack):
    """The stack's S3."""
    return clients_for(stack.endpoints).s3


@pytest.fixture
def place(stack):
    """The stack as the place of runs."""
    return lambda: stack_target(stack, clients_for(stack.endpoints))


@pytest.fixture
def bucket(s3):
    """A bucket of the test's own, named as none of the harness's."""
    name = f"somebodys-{uuid.uuid4().hex}"
    s3.create_bucket(Bucket=name)
    yield name
    for key in [entry["Key"] for entry in s3.list_objects_v2(Bucket=name).get("Contents", [])]:
        s3.delete_object(Bucket=name, Key=key)
    s3.delete_bucket(Bucket=name)


@pytest.fixture
def put(s3, bucket):
    """Puts objects into the folder of run `r1`: text as it is, all else as JSON."""

    def put_them(objects):
        for name, body in objects.items():
            text = body if isinstance(body, str) else json.dumps(body)
            s3.put_object(Bucket=bucket, Key=f"runs/r1/{name}", Body=text.encode())

    return put_them


def entries_of(s3, bucket):
    """The listed runs of this bucket, in the search over all."""
    return [entry for entry in list_runs(s3, result_buckets(s3, RESULT_BUCKET)) if entry.bucket == bucket]


def test_a_run_whose_results_are_in_its_datas_bucket_is_found(s3, bucket, put, settings, place):
    """So are those that `aws lambda invoke` starts: `result_bucket` is the data's own unless the event names one."""
    put({"job.json": {"job": JOB}, "result.json": {"loss": 0.25}})

    [entry] = entries_of(s3, bucket)

    assert ("r1", "succeeded", "rows", 2, 0.25) == (
        entry.run_id,
        entry.status,
        entry.dataset,
        entry.n_workers,
        entry.loss,
    )
    assert bucket == run_folder("r1", settings, place).bucket


def test_a_run_that_is_nowhere_is_one_error(settings, place):
    """It says where was looked."""
    with pytest.raises(HarnessError, match="there is no run nowhere") as caught:
        run_folder("nowhere", settings, place)

    assert caught.value.where.endswith("runs and in the stack that is up")


@pytest.mark.parametrize(
    "objects",
    [
        {"job.json": "not JSON"},
        {"job.json": []},
        {"job.json": {"job": {"n_workers": "many"}}},
        {"job.json": {"job": JOB}, "result.json": "{"},
        {"job.json": {"job": JOB}, "result.json": {"loss": "low"}},
        {"job.json": {"job": JOB}, "result.json": {}},
    ],
)
def test_a_damaged_run_is_listed_as_that(s3, bucket, put, objects):
    """The others are listed all the same."""
    put(objects)

    assert ["damaged"] == [entry.status for entry in entries_of(s3, bucket)]


@pytest.mark.parametrize(
    "objects",
    [
        {"job.json": "not JSON"},
        {"job.json": {"job": 7}},
        {"job.json": {"job": JOB}, "result.json": "{"},
        {"job.json": {"job": JOB}, "result.json": {}, "workers/x.json": "?", "telemetry/0.1.json": []},
        {
            "job.json": {"job": JOB},
            "result.json": {"rounds": 1, "epochs": []},
            **{f"{kind}/{rank}.1.json": {"rank": rank} for kind in ("workers", "telemetry") for rank in (0, 1)},
        },
        {
            "job.json": {"job": JOB},
            "result.json": {"rounds": 1, "epochs": []},
            **{f"{kind}/{rank}.1.json": [] for kind in ("workers", "telemetry") for rank in (0, 1)},
        },
    ],
)
def test_a_forecast_of_a_damaged_run_is_one_error(s3, bucket, put, objects):
    """Never a traceback: it names the object or the folder."""
    put(objects)

    with pytest.raises((HarnessError, TrainingError)) as caught:
        measured_run(RunFolder(s3, bucket, "r1"), lambda _job: 0)

    assert "r1" in str(caught.value)


@pytest.mark.parametrize(
    ("result", "named"),
    [
        (
            {"model": {"sha256": hashlib.sha256(b"PK no archive").hexdigest()}},
            r"runs/r1/model\.npz is not a trained model",
        ),
        ({"model": {"sha256": "0" * 64}}, "the model is not the one"),
        ({"model": 7}, "names no model"),
        ([], "names no model"),
        ("{", r"runs/r1/result\.json is not what a worker stores"),
    ],
)
def test_a_model_that_is_none_is_one_error(s3, bucket, put, result, named):
    """`predict` names the object."""
    put({"model.npz": NO_MODEL.decode(), "result.json": result})

    with pytest.raises((HarnessError, InputError), match=named):
        model_of_run(RunFolder(s3, bucket, "r1"))


def test_a_record_that_is_too_large_is_not_read(s3, bucket, put, monkeypatch):
    """Its size is told by S3 before it comes."""
    put({"result.json": {"loss": 0.5}, "job.json": {"loss": 0.5}})
    folder = RunFolder(s3, bucket, "r1")
    monkeypatch.setattr(results, "MOST_RECORD_BYTES", 5)

    with pytest.raises(InputError, match="has 13 bytes; no record has more than 5"):
        folder.read_json("job.json")
    # A result has all epochs, and is larger than other records.
    assert {"loss": 0.5} == folder.read_json("result.json")
    monkeypatch.setattr(results, "MOST_RESULT_BYTES", 6)
    with pytest.raises(InputError, match="has 13 bytes; no record has more than 6"):
        folder.read_json("result.json")

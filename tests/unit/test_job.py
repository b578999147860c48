"""The job: right events pass, wrong ones are refused by field, value and what would be right."""

import msgspec
import pytest

from harness.runs.prepared import RequestedJob
from training.errors import InputError, JobError
from training.job import Job, WorkerJob, decode_job

EVENT = {"data_bucket": "higgs-2", "n_features": 28, "n_workers": 2, "host": "127.0.0.1", "port": 11211}


def test_the_originals_event_is_accepted_as_it_is():
    """An event with the keys that the original's coordinator sends passes unchanged."""
    event = EVENT | {
        "dataset": "higgs",
        "dataset_type": "dense_libsvm",
        "n_classes": 2,
        "tmp_bucket": "tmp-params",
        "merged_bucket": "merged-params",
        "model": "lr",
        "optim": "grad_avg",
        "sync_mode": "reduce",
        "lr": 0.01,
        "batch_size": 10_000,
        "n_epochs": 2,
        "valid_ratio": 0.2,
    }

    job = decode_job(event, Job)

    assert event == {key: value for key, value in msgspec.to_builtins(job).items() if key in event}


@pytest.mark.parametrize(
    ("field", "value", "allowed"),
    [
        ("n_workers", 0, "from 1 to 1000"),
        ("n_workers", "two", "from 1 to 1000"),
        ("n_workers", 1.5, "from 1 to 1000"),
        ("n_workers", True, "from 1 to 1000"),
        ("n_workers", None, "from 1 to 1000"),
        ("lr", 0, "above 0"),
        ("lr", float("nan"), "above 0"),
        ("lr", float("inf"), "above 0"),
        ("model", "tree", "lr"),
        ("sync_mode", "gossip", "reduce"),
        ("valid_ratio", 1, "from 0 to below 1"),
        ("data_bucket", "No_Bucket", "bucket's name"),
        ("data_prefix", "data/higgs", "a `/` at its end"),
        ("data_prefix", "/data/", "a `/` at its end"),
        ("run_id", "a b", "letters, digits"),
        ("tmp_bucket", "a b", "letters, digits"),
        ("port", 70_000, "1 to 65535"),
        ("host", "", "host name"),
    ],
)
def test_a_wrong_value_is_refused_by_field_value_and_what_is_right(field, value, allowed):
    """The error names the field, shows the value, and says what would be right."""
    with pytest.raises(JobError) as caught:
        decode_job(EVENT | {field: value}, Job)

    assert f"`{field}`" in str(caught.value)
    assert repr(value) in str(caught.value)
    assert allowed in str(caught.value)


def test_an_unknown_key_is_refused_with_its_nearest_neighbour():
    """A misspelt key is not ignored."""
    with pytest.raises(InputError, match="unknown job field `n_worker`; did you mean `n_workers`"):
        decode_job(EVENT | {"n_worker": 3}, Job)


@pytest.mark.parametrize("event", [None, [], "text", 7])
def test_an_event_that_is_no_object_is_refused(event):
    """Whatever JSON holds but an object is refused clearly."""
    with pytest.raises(InputError, match="must be a JSON object"):
        decode_job(event, Job)


def test_a_missing_key_is_named():
    """The first key that is missing is named."""
    with pytest.raises(InputError, match="`n_features` is missing"):
        decode_job({key: value for key, value in EVENT.items() if key != "n_features"}, Job)


def test_a_rank_outside_the_world_is_refused():
    """worker_index must be below n_workers."""
    with pytest.raises(JobError, match=r"`worker_index` is 2; allowed: 0 to n_workers - 1 = 1"):
        decode_job(EVENT | {"worker_index": 2, "file": "2_2", "run_id": "r"}, WorkerJob)


def test_a_model_brings_defaults_of_its_own():
    """k-means is trained by em until it settles; what the event says wins."""
    by_name = decode_job(EVENT | {"model": "kmeans"}, Job)
    told = decode_job(EVENT | {"model": "resnet", "lr": 0.5, "n_features": 3072}, Job)

    assert ("em", 100) == (by_name.optim, by_name.n_epochs)
    assert (0.5, 0.0, 32) == (told.lr, told.momentum, told.batch_size)


def test_an_optimiser_brings_defaults_of_its_own():
    """Adam takes steps of another size than descent, and neither a model's momentum nor its learning rate."""
    linear = decode_job(EVENT | {"optimiser": "adam"}, Job)
    neural = decode_job(EVENT | {"model": "mlp", "optimiser": "adamw"}, Job)
    ahead = decode_job(EVENT | {"optimiser": "nesterov", "lr": 0.5}, Job)

    assert (0.02, 0.0, 0.0) == (linear.lr, linear.momentum, linear.weight_decay)
    assert (0.001, 0.0, 0.01) == (neural.lr, neural.momentum, neural.weight_decay)
    assert (0.5, 0.9) == (ahead.lr, ahead.momentum)


@pytest.mark.parametrize(
    ("field", "value", "allowed"),
    [
        ("optimiser", "adagrad", "sgd | nesterov | adam | adamw"),
        ("lr_schedule", "linear", "constant | step | cosine | inverse_sqrt"),
        ("warmup", 1, "from 0 to below 1"),
        ("beta2", 1.0, "from 0 to below 1"),
        ("epsilon", 0, "from 1e-12 to 1"),
        ("clip_norm", -1, "0 for no limit"),
        ("lr_decay", 1, "above 0 and below 1"),
        ("lr_step_epochs", 0, "at least 1"),
        ("patience", -1, "0 for never"),
        ("init_from", "20261123-151538-367b1d", "s3://bucket/key"),
        ("init_from", "s3://Bucket/model.npz", "s3://bucket/key"),
        ("stop_metric", "mae", "loss | accuracy | auc | precision | recall | f1 | log_loss | rmse | r2"),
        ("class_weights", "even", "balanced, or a number above 0 for each class"),
        ("class_weights", "1;5", "as 1,5"),
        ("class_weights", "-1,5", "a number above 0"),
    ],
)
def test_a_wrong_value_of_a_step_is_refused(field, value, allowed):
    """As for every other key, the error says what would be right."""
    with pytest.raises(JobError, match=f"`{field}`") as caught:
        decode_job(EVENT | {field: value}, Job)

    assert repr(value) in str(caught.value)
    assert allowed in str(caught.value)


def test_what_the_data_may_still_change_is_compared_once_it_is_known():
    """`harness run` chooses lr and n_epochs from the data: a user's key that fits those is not refused before."""
    asked = {"lr_schedule": "step", "lr_step_epochs": 5}

    assert 5 == decode_job(asked, RequestedJob).lr_step_epochs
    assert 5 == decode_job(EVENT | asked | {"n_epochs": 9}, Job).lr_step_epochs

"""A warm start: whose model fits a job, and that training goes on from its parameters."""

import numpy as np
import pytest

from harness.runs.prepared import RequestedJob
from tests.support.ranks import exchange_of, on_all_ranks
from tests.support.trained import trained_model
from tests.support.training_alone import dealt, train_together
from training.algorithm.standardisation import Standardiser
from training.data.scaling import Scaling
from training.data.schema import Column, Schema
from training.errors import InputError
from training.exchange.channel.memory import MemoryChannel
from training.job import Job, decode_job
from training.run.model_file import encode_model
from training.run.warm_start import check_fits, check_labels, check_schema, read_start

EVENT = {"data_bucket": "bucket", "n_features": 3, "n_workers": 2, "host": "h"}
SCALING = Scaling(np.zeros(3), np.ones(3))
MLP = {"model": "mlp", "hidden_units": 8}


def start_of(**changes):
    """A model as it was stored."""
    return read_start(encode_model(trained_model(**changes)), "a-run")


@pytest.mark.parametrize(
    ("model", "job"),
    [
        ({}, {}),
        ({}, {"model": "sparse_lr"}),
        ({"model": "svm"}, {"model": "svm"}),
        ({"hidden_units": 8}, {}),
        (MLP, MLP),
        ({"scaling": SCALING}, {"standardise": True}),
    ],
)
def test_a_model_fits_a_job_that_trains_the_same(model, job):
    """Dense and sparse rows have the same model, and only mlp has hidden units."""
    check_fits(start_of(**model), decode_job(EVENT | job, Job))


@pytest.mark.parametrize(
    ("model", "job", "says"),
    [
        ({"model": "svm"}, {}, "init_from=a-run needs model=svm; got model=lr"),
        ({"model": "kmeans"}, {}, "init_from=a-run needs model=kmeans; got model=lr"),
        ({"model": "theirs"}, {}, "init_from=a-run needs model=theirs; got model=lr"),
        ({"n_features": 4}, {}, "init_from=a-run needs n_features=4; got n_features=3"),
        (MLP, {"model": "mlp"}, "init_from=a-run needs hidden_units=8; got hidden_units=64"),
        ({"scaling": SCALING}, {}, "init_from=a-run needs standardise=true; got standardise=false"),
        ({}, {"standardise": True}, "init_from=a-run needs standardise=false; got standardise=true"),
    ],
)
def test_a_model_of_another_kind_is_refused_by_the_key_that_differs(model, job, says):
    """The error names the key, the model's value and the job's."""
    with pytest.raises(InputError) as caught:
        check_fits(start_of(**model), decode_job(EVENT | job, Job))

    assert says == str(caught.value)


def test_what_is_not_known_yet_is_compared_later():
    """`harness run` compares the model before it knows the data's columns."""
    check_fits(start_of(n_features=4), decode_job({"init_from": "a-run"}, RequestedJob))


def test_a_model_goes_on_with_its_own_classes():
    """Other labels are refused, also if they are as many."""
    start = start_of(labels=np.array([-1, 1], np.float32))

    check_labels(start, [-1, 1])
    with pytest.raises(InputError, match=r"init_from=a-run has the classes -1, 1, and the data 0, 1: "):
        check_labels(start, [0, 1])


def test_bytes_that_are_no_model_are_refused():
    """By the name that the user gave."""
    with pytest.raises(InputError, match=r"my\.npz is not a trained model"):
        read_start(b"PK no archive", "my.npz")


def test_ranks_that_read_different_models_stop():
    """An object that is replaced while workers start would give each its own parameters."""
    channel, starts = MemoryChannel(), [start_of(), start_of(parameters=np.zeros(4, np.float32))]

    with pytest.raises(InputError, match="a-run was replaced while workers read it: run again"):
        on_all_ranks(2, lambda rank: starts[rank].agree(exchange_of(channel, rank, 2, "reduce")))
    on_all_ranks(2, lambda rank: start_of().agree(exchange_of(channel, rank, 2, "reduce", run_id="same")))


def rows():
    """Rows with a linear signal and their classes."""
    random = np.random.default_rng(0)
    x = random.normal(size=(600, 3)).astype(np.float32)
    return x, (x[:, 0] + random.normal(size=600) > 0).astype(np.int64)


@pytest.mark.parametrize("optim", ["grad_avg", "model_avg"])
def test_two_trainings_in_a_row_are_one(optim):
    """Plain descent remembers nothing else: two epochs and two more are four, bit for bit."""
    job = {"optim": optim, "batch_size": 50, "lr": 0.2}
    whole = train_together(dealt(*rows(), 3), n_epochs=4, **job)[0]
    half = train_together(dealt(*rows(), 3), n_epochs=2, **job)[0]

    rest = train_together(dealt(*rows(), 3), n_epochs=2, initial=half.parameters, **job)[0]

    assert whole.parameters.tobytes() == rest.parameters.tobytes()
    assert [epoch.loss for epoch in whole.epochs[2:]] == [epoch.loss for epoch in rest.epochs]


def test_admm_starts_at_the_given_parameters():
    """From near the minimum, one round ends nearer to it than from zero."""
    job = {"optim": "admm", "batch_size": 600, "lr": 0.1, "lambda_": 0.01, "n_epochs": 3}
    least = train_together(dealt(*rows(), 2), n_admm_epochs=100, **job)[0]

    warm, cold = (
        train_together(dealt(*rows(), 2), n_admm_epochs=1, initial=initial, **job)[0].epochs[-1].loss
        for initial in (least.parameters, None)
    )

    assert least.epochs[-1].loss == pytest.approx(warm, rel=0.01)
    assert cold > 1.05 * warm


@pytest.mark.parametrize("initial", [np.zeros(5, np.float32), np.full(4, np.nan, np.float32)])
def test_parameters_of_another_model_are_refused(initial):
    """Their number is wrong, or they are not numbers."""
    with pytest.raises(InputError, match=r"init_from=.* has \d parameters, and the model takes 4 finite numbers"):
        train_together(dealt(*rows(), 2), n_epochs=1, initial=initial)


def test_features_are_scaled_as_the_models_were():
    """Its parameters belong to that scale, whatever the new rows' own would be; scaling happens once."""
    (shard,), channel = dealt(*rows(), 1), MemoryChannel()
    given = Scaling(np.array([1.0, 2.0, 3.0]), np.array([2.0, 2.0, 4.0]))
    standardiser = Standardiser(shard, given)
    exchange = exchange_of(channel, 0, 1, "reduce")

    scaled = standardiser.scaled(shard, exchange)

    np.testing.assert_array_equal(scaled.x, given.apply(shard.x))
    assert scaled is standardiser.scaled(scaled, exchange)
    assert given is standardiser.scaling


def schema_of(names, classes):
    """The schema of a table of numbers."""
    columns = [Column(name=name, kind="numeric") for name in names]
    return Schema(task="classification", label="kind", classes=list(classes), columns=columns)


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (None, "was trained on data with names, and this data has none"),
        (schema_of("abd", "xy"), "was trained on other columns: the data lacks 'c' and has 'd' in addition"),
        (schema_of("acb", "xy"), "was trained on other columns: the data has them in another order"),
        (schema_of("abc", "xz"), "was trained on other labels: the data lacks 'y' and has 'z' in addition"),
    ],
)
def test_a_model_of_other_columns_or_labels_is_refused(data, says):
    """Their numbers alone would not show it."""
    with pytest.raises(InputError) as caught:
        check_schema(start_of(schema=schema_of("abc", "xy")), data)

    assert f"init_from=a-run {says}" == str(caught.value)


def test_a_model_of_the_same_columns_goes_on():
    """Other means of missing values do not matter, and a model without names fits any."""
    check_schema(start_of(schema=schema_of("abc", "xy")), schema_of("abc", "xy"))
    check_schema(start_of(), schema_of("abc", "xy"))

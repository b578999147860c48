"""Warnings: each fires where a model has learnt little, and none on a run that went well."""

import numpy as np
import pytest
import scipy.sparse
from sklearn.datasets import load_breast_cancer, load_digits, load_wine
from sklearn.preprocessing import StandardScaler

from harness.datasets.synthetic import synthetic_blocks
from tests.support.training_alone import dealt, train_together
from training.algorithm.advice import advise, constant_loss, zero_loss
from training.algorithm.epochs import EpochReport
from training.job import Job

JOB = {"data_bucket": "bucket", "n_features": 3, "n_workers": 2, "host": "h"}


def job(**event):
    """A job."""
    return Job(**{**JOB, **event})


def reports(*losses, accuracy=0.9, predicted=2):
    """One epoch per loss."""
    return [
        EpochReport(
            epoch=number,
            rounds=number,
            seconds=0.1,
            loss=loss,
            accuracy=accuracy,
            validation=None,
            predicted_classes=predicted,
        )
        for number, loss in enumerate(losses, 1)
    ]


def codes(found):
    """The codes of warnings."""
    return [warning.code for warning in found]


def shipped(load):
    """A real set in a fixed random order, standardised."""
    x, y = load(return_X_y=True)
    order = np.random.default_rng(0).permutation(len(y))
    return StandardScaler().fit_transform(x)[order].astype(np.float32), y[order].astype(np.int64)


@pytest.mark.parametrize(
    ("model", "n_classes", "expected"),
    [
        ("lr", 2, 0.6931),
        ("sparse_lr", 5, 1.6094),
        ("mlp", 10, 2.3026),
        ("svm", 2, 1.0),
        ("sparse_svm", 2, 1.0),
        ("svm", 7, 7.0),
    ],
)
def test_the_zero_models_loss_is_that_of_scores_of_zero(model, n_classes, expected):
    """What a model costs that knows nothing."""
    assert expected == pytest.approx(zero_loss(job(model=model), n_classes), abs=1e-4)


@pytest.mark.parametrize(
    ("losses", "event", "expected", "says"),
    [
        (
            (0.9, 0.8, 0.75),
            {"standardise": True},
            ["loss_above_zero_model", "loss_still_falls"],
            "0.6931 without any training: lower lr",
        ),
        ((0.7, 0.695), {}, ["loss_above_zero_model"], "training: standardise the features, or raise n_epochs (now 2)"),
        ((0.3, 0.2, 0.25), {"standardise": True}, ["loss_rose"], "from 0.2 after epoch 2 to 0.25: lower lr (now 0.1)"),
        ((0.6, 0.5, 0.4), {}, ["loss_still_falls"], "fell by 20% in the last epoch: raise n_epochs (now 3)"),
        ((0.6, 0.5, 0.4), {"optim": "admm", "n_admm_epochs": 3}, ["loss_still_falls"], "raise n_admm_epochs (now 3)"),
        ((0.6, 0.5, 0.4), {"optim": "admm"}, [], ""),
        ((0.6, 0.5, 0.4), {"n_epochs": 9, "loss_threshold": 0.45}, [], ""),
        ((0.6, 0.5, 0.49), {}, [], ""),
        ((0.0100, 0.0060, 0.0040), {}, [], ""),
        ((0.0100, 0.0060, 0.0070), {}, [], ""),
        ((0.4,), {"n_epochs": 1}, [], ""),
        ((0.69, 0.685), {}, ["hardly_learnt"], "0.6931 for the same answer to every row: standardise the features, or"),
        (
            (0.69, 0.685),
            {"optim": "admm"},
            ["hardly_learnt"],
            "raise n_admm_epochs (now 10), unless the features say so",
        ),
        # The default job's loss, and the least one of sets that are as hard.
        ((0.66, 0.637), {}, [], ""),
        # A few rounds into them.
        ((0.68, 0.6633), {}, [], ""),
        ((0.995, 0.99), {"model": "svm"}, ["hardly_learnt"], "1 for the same answer to every row"),
    ],
)
def test_warnings_of_the_loss(losses, event, expected, says):
    """A loss that is too high, that rose, or that has not arrived; not its noise, nor a run that stopped by itself."""
    found = advise(job(**{"n_epochs": len(losses), **event}), reports(*losses), [50, 50])

    assert expected == codes(found)
    assert says in "\n".join(warning.message for warning in found)


@pytest.mark.parametrize(
    ("figures", "class_rows", "expected"),
    [
        ({"predicted": 1, "accuracy": 0.6}, [60, 40], ["constant_prediction"]),
        ({"accuracy": 0.6}, [60, 40], ["accuracy_of_majority"]),
        ({"accuracy": 0.61}, [60, 40], ["hardly_learnt"]),
        ({"predicted": 1, "accuracy": 1.0}, [0, 100], ["one_class"]),
        ({"accuracy": 0.34, "predicted": 3}, [33, 33, 33], []),
    ],
)
def test_warnings_of_the_predictions(figures, class_rows, expected):
    """A model that answers always the same, or no better than that."""
    assert expected == codes(advise(job(), reports(0.67, 0.66, **figures), class_rows))


def test_few_rows_of_one_class_are_no_fault():
    """A loss clearly below that of a constant answer has learnt, even if it predicts the large class for every row."""
    for figures in ({"predicted": 1, "accuracy": 0.98}, {"accuracy": 0.98}):
        assert [] == advise(job(), reports(0.0875, 0.085, **figures), [980, 20])
        (warning,) = advise(job(), reports(0.0985, 0.098, **figures), [980, 20])
        assert warning.message.endswith(
            "98.0% of the rows are of one: class_weights=balanced lets all classes count alike"
        )


@pytest.mark.parametrize(
    ("model", "class_rows", "expected"),
    [
        ("lr", [50, 50], 0.6931),
        ("mlp", [98, 2], 0.0980),
        ("sparse_lr", [98, 0, 2], 0.0980),
        ("svm", [50, 50], 1.0),
        ("sparse_svm", [98, 2], 0.04),
        ("svm", [40, 30, 30], 2.0),
    ],
)
def test_the_constant_models_loss_is_that_of_the_classes_shares(model, class_rows, expected):
    """What a model costs that answers the same for every row."""
    assert expected == pytest.approx(constant_loss(job(model=model), class_rows), abs=1e-4)


def test_scaling_is_proposed_where_it_is_possible():
    """Rows that are sparse or standardised already get other advice."""
    messages = {
        name: advise(job(**event), reports(3.0, 3.0), [50, 50])[0].message
        for name, event in {"dense": {}, "done": {"standardise": True}, "sparse": {"model": "sparse_lr"}}.items()
    }

    assert messages["dense"].endswith("standardise the features, or lower lr (now 0.1)")
    assert messages["done"].endswith("lower lr (now 0.1)")
    assert messages["sparse"].endswith("lower lr (now 0.1)")


def warnings_of(x, y, world_size=2, **event):
    """The codes that a whole training ends with, the same on every rank."""
    outcomes = train_together(dealt(x, y, world_size, 0.1), **event)
    found = [outcome.warnings for outcome in outcomes]
    assert all(warnings == found[0] for warnings in found)
    return codes(found[0])


@pytest.mark.parametrize(
    ("load", "event"),
    [
        (load_breast_cancer, {"n_epochs": 30, "batch_size": 32}),
        (load_digits, {"n_epochs": 20, "batch_size": 50, "lr": 0.5}),
        (load_wine, {"n_epochs": 30, "batch_size": 8}),
        (load_breast_cancer, {"n_epochs": 20, "batch_size": 32, "model": "svm", "lr": 0.01}),
        (load_breast_cancer, {"n_epochs": 20, "batch_size": 32, "optim": "model_avg"}),
        (load_wine, {"n_epochs": 10, "batch_size": 8, "optim": "admm", "lambda_": 0.01}),
    ],
)
def test_good_runs_end_without_a_warning(load, event):
    """README's example and its like."""
    assert [] == warnings_of(*shipped(load), **event)


def test_the_default_job_ends_without_a_warning():
    """A tenth of the rows of `make e2e-emulator`, in as many rounds."""
    (block,) = synthetic_blocks(10_000, 28, 0)

    assert [] == warnings_of(block.x, block.y.astype(np.int64), 4, n_epochs=2, batch_size=100)


def test_runs_that_learnt_nothing_say_so():
    """Steps that are far too large or too small, on rows that are not scaled."""
    x, y = shipped(load_breast_cancer)
    random = np.random.default_rng(0)
    rows = scipy.sparse.random_array((500, 200), density=0.2, format="csr", dtype=np.float32, rng=random)
    rows.data[:] = 20 * random.normal(size=len(rows.data))
    classes = random.integers(0, 5, 500)

    assert "loss_rose" in warnings_of(x, y, lr=50.0, n_epochs=3, batch_size=32)
    assert "loss_above_zero_model" in warnings_of(rows, classes, model="sparse_lr", lr=2.0)
    assert "loss_still_falls" in warnings_of(x, y, lr=0.05, n_epochs=2)
    # The larger class is predicted from the first small steps on.
    assert ["constant_prediction"] == warnings_of(x - 3, y, lr=1e-6)


def test_a_class_that_a_rank_lacks_counts():
    """The most frequent class is that of all ranks together."""
    x = np.random.default_rng(0).normal(size=(90, 3)).astype(np.float32)
    y = np.repeat([0, 1, 2], 30)

    assert "one_class" not in warnings_of(x, y, 3, n_epochs=3)
    assert ["one_class"] == warnings_of(x, np.zeros(90, np.int64), 3, n_epochs=3)


def test_weighted_classes_may_cost_accuracy():
    """With balanced classes nobody is told that the accuracy is below that of the most frequent class."""
    found = advise(job(class_weights="balanced"), reports(0.69, 0.67, accuracy=0.7), [980, 20])

    assert [] == codes(found)


def test_the_least_loss_of_a_constant_follows_the_weights():
    """Balanced classes are two halves, whatever their rows; a weight of 2 for all doubles the loss."""
    assert ["hardly_learnt"] == codes(advise(job(class_weights="balanced"), reports(0.69, 0.69), [980, 20]))
    assert ["loss_above_zero_model"] == codes(advise(job(class_weights="1,1"), reports(1.3, 1.3), [50, 50]))
    assert [] == codes(advise(job(class_weights="2,2"), reports(1.3, 1.3), [50, 50]))


@pytest.mark.parametrize(
    ("losses", "change"),
    [
        (
            [0.69, *[0.66] * 19],
            "training has converged; add features, or train a model that is not linear, such as mlp",
        ),
        ([0.69 - 0.001 * epoch for epoch in range(20)], "raise n_epochs (now 20)"),
    ],
)
def test_more_epochs_are_not_proposed_to_a_training_that_has_converged(losses, change):
    """With a rate that fell to 0 and a loss that no longer moves, only other features or models help."""
    accelerated = job(n_epochs=20, lr_schedule="cosine", optimiser="nesterov", momentum=0.95, standardise=True)

    (warning,) = advise(accelerated, reports(*losses, accuracy=0.6, predicted=1), [60, 40])

    assert "constant_prediction" == warning.code
    assert change in warning.message

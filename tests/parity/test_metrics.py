"""Metrics against scikit-learn: any scores, any split of the rows over ranks."""

import warnings
from dataclasses import dataclass

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn import metrics as sklearn_metrics

from tests.support.ranks import exchange_of, on_all_ranks
from tests.support.training_alone import dealt, train_together
from training.algorithm import measuring
from training.data.shard import Shard
from training.errors import InputError
from training.exchange.channel.memory import MemoryChannel
from training.job import Job
from training.metrics import auc as auc_module
from training.metrics.auc import auc_of_histograms, histograms
from training.model.base import Evaluation

JOB = {"data_bucket": "bucket", "host": "h", "n_features": 1, "n_workers": 1}


@dataclass(frozen=True)
class Given:
    """A model whose scores are its rows."""

    n_classes: int

    def evaluate(self, _parameters, x, y):
        """The scores that are given, and a loss of 1 per row."""
        return Evaluation(float(len(y)), len(y), x)

    def predict(self, _parameters, x):
        """The scores that are given."""
        return x


def measured(x, y, n_classes, cuts=(), **job):
    """What ranks with these parts of the rows measure; all measure the same."""
    shards = [
        Shard(part, of_part, part[:0], of_part[:0])
        for part, of_part in zip(np.split(x, cuts), np.split(y, cuts), strict=True)
    ]
    channel, config = MemoryChannel(), Job(**{**JOB, "n_workers": len(shards), **job})

    def rank_main(rank):
        exchange = exchange_of(channel, rank, len(shards), "reduce")
        exchange.start()
        shard = shards[rank]
        return measuring.measure(config, Given(n_classes), None, shard, shard.x, shard.y, exchange)

    found = on_all_ranks(len(shards), rank_main)
    assert all(one == found[0] for one in found)
    return found[0]


def scored(random, rows, n_classes, *, ties):
    """Probabilities and classes; few different probabilities where ties are wanted."""
    x = random.dirichlet(np.ones(n_classes), rows)
    x = np.round(x, 1) + 0.01 if ties else x
    y = random.integers(0, n_classes, rows)
    return (x / x.sum(axis=1, keepdims=True)).astype(np.float32), y


cases = st.tuples(st.integers(0, 2**32 - 1), st.integers(1, 60), st.sampled_from([2, 3, 5]), st.booleans())


@given(cases, st.lists(st.integers(0, 60), max_size=3).map(sorted))
@settings(max_examples=60, deadline=None)
def test_metrics_of_classes_are_scikit_learns(case, cuts):
    """Accuracy, precision, recall, F1, log loss, AUC and the confusion matrix, of any rows on any ranks."""
    seed, rows, n_classes, ties = case
    x, y = scored(np.random.default_rng(seed), rows, n_classes, ties=ties)
    found = measured(x, y, n_classes, [min(cut, rows) for cut in cuts])
    labels, predicted = list(range(n_classes)), x.argmax(axis=1)
    average = {"average": "binary"} if n_classes == 2 else {"average": "macro"}

    assert rows == found["rows"]
    assert found["accuracy"] == pytest.approx(sklearn_metrics.accuracy_score(y, predicted))
    precision, recall, f1, _ = sklearn_metrics.precision_recall_fscore_support(y, predicted, zero_division=0, **average)
    assert (found["precision"], found["recall"], found["f1"]) == pytest.approx((precision, recall, f1))
    wide = x.astype(np.float64)
    with warnings.catch_warnings():  # float32 probabilities do not add up to 1 in float64
        warnings.simplefilter("ignore")
        expected = sklearn_metrics.log_loss(y, wide / wide.sum(axis=1, keepdims=True), labels=labels)
    assert found["log_loss"] == pytest.approx(expected, rel=1e-4)
    assert found["confusion"] == sklearn_metrics.confusion_matrix(y, predicted, labels=labels).tolist()
    assert found["auc_error"] == (None if found["auc"] is None else 0.0)
    if n_classes == 2 and 0 < y.sum() < rows:
        assert found["auc"] == pytest.approx(sklearn_metrics.roc_auc_score(y, x[:, 1]))
    elif len(np.unique(y)) == n_classes > 2:
        areas = [sklearn_metrics.roc_auc_score(y == label, x[:, label]) for label in labels]
        assert found["auc"] == pytest.approx(np.mean(areas))
    elif len(np.unique(y)) == 1:
        assert found["auc"] is None


@given(st.integers(0, 2**32 - 1), st.integers(1, 60), st.lists(st.integers(0, 60), max_size=3).map(sorted))
@settings(max_examples=30, deadline=None)
def test_metrics_of_targets_are_scikit_learns(seed, rows, cuts):
    """RMSE and R^2, of any rows on any ranks; R^2 of a single row is not defined."""
    random = np.random.default_rng(seed)
    x = random.normal(100, 20, (rows, 1)).astype(np.float32)
    y = (x[:, 0] + random.normal(size=rows)).astype(np.float32)

    found = measured(x, y, 1, [min(cut, rows) for cut in cuts], model="linear")

    assert found["rmse"] == pytest.approx(np.sqrt(sklearn_metrics.mean_squared_error(y, x[:, 0])), rel=1e-5)
    if rows > 1:
        assert found["r2"] == pytest.approx(sklearn_metrics.r2_score(y, x[:, 0]), rel=1e-4)


def test_r2_of_equal_targets_is_null():
    """There is no variance to explain."""
    found = measured(
        np.arange(9, dtype=np.float32)[:, np.newaxis], np.full(9, 152.1, np.float32), 1, [4], model="linear"
    )

    assert found["r2"] is None


@pytest.mark.parametrize(("n_classes", "rows"), [(2, 60_000), (3, 30_000)])
def test_the_auc_of_many_rows_is_within_its_error(n_classes, rows, monkeypatch):
    """Merged histograms on three ranks, one of them without rows, against all scores at once."""
    random = np.random.default_rng(5)
    x, y = scored(random, rows, n_classes, ties=False)
    x[np.arange(rows), y] += np.float32(0.1)
    exact = measured(x[:1000], y[:1000], n_classes)

    found = measured(x, y, n_classes, [rows // 3, rows // 3])
    monkeypatch.setattr(auc_module, "EXACT_NUMBERS", 10**7)
    monkeypatch.setattr(measuring, "EXACT_NUMBERS", 10**7)
    everything = measured(x, y, n_classes)

    assert exact["auc_error"] == everything["auc_error"] == 0
    assert 0 < found["auc_error"] < 1e-3
    assert abs(found["auc"] - everything["auc"]) <= found["auc_error"]


def test_equal_scores_have_an_auc_of_a_half():
    """One bin holds all rows: the bound says that nothing is known."""
    y = np.array([0, 1, 1])
    found = auc_of_histograms(histograms(np.zeros((3, 1)), y, [1], np.zeros(1), np.zeros(1)))

    assert (0.5, 0.5) == found


@pytest.mark.parametrize(
    ("model", "metric"),
    [
        ("lr", "auc"),
        ("lr", "f1"),
        ("lr", "log_loss"),
        ("svm", "precision"),
        ("svm", "recall"),
        ("linear", "r2"),
        ("linear", "rmse"),
    ],
)
def test_training_stops_by_any_metric(model, metric):
    """The best epoch is the one whose metric is best, and it is that metric which the end reports."""
    random = np.random.default_rng(0)
    x = random.normal(size=(300, 4)).astype(np.float32)
    y = (x @ np.array([1, -1, 0.5, 0]) + random.normal(size=300) > 0).astype(np.int64)
    y = y.astype(np.float32) if model == "linear" else y

    outcomes = train_together(
        dealt(x, y, 2, 0.3), model=model, lr=0.5, n_epochs=12, batch_size=20, patience=3, stop_metric=metric
    )

    values = [epoch.validation.metrics[metric] for epoch in outcomes[0].epochs]
    best = min(values) if metric in ("log_loss", "rmse") else max(values)
    assert outcomes[0].report.validation.metrics[metric] == best
    assert outcomes[0].state.measured["validation"][metric] == pytest.approx(best)
    assert outcomes[0].state.measured == outcomes[1].state.measured


def test_a_metric_that_is_not_defined_ends_training_with_the_reason():
    """An AUC of validation rows of one class: the error names the metric and what to change."""
    x, y = np.zeros((20, 1), np.float32), np.resize([0, 1], 20)
    y[14:] = 1

    with pytest.raises(InputError, match=r"stop_metric=auc is not defined for the validation rows: .* of one class\n"):
        train_together(dealt(x, y, 1, 0.3), patience=2, stop_metric="auc")


def test_labels_of_validation_rows_alone_are_told():
    """No training row has class 2: training works, and a warning says so."""
    x, y = np.random.default_rng(0).normal(size=(40, 2)).astype(np.float32), np.resize([0, 1], 40)
    y[-2:] = 2

    outcomes = train_together(dealt(x, y, 2, 0.2), n_epochs=1)

    assert "untrained_label" in [warning.code for warning in outcomes[0].warnings]
    assert "class 2" in outcomes[0].warnings[0].message


def test_a_rank_may_lack_classes_in_all_its_rows():
    """Rows sorted by class: each rank has validation rows of its own classes, and all measure the same."""
    x, y = np.random.default_rng(0).normal(size=(60, 2)).astype(np.float32), np.repeat([0, 1, 2], 20)
    x[:, 0] += y
    shards = [Shard(x[part][:15], y[part][:15], x[part][15:], y[part][15:]) for part in np.split(np.arange(60), 3)]

    outcomes = train_together(shards, n_epochs=5)

    found = outcomes[0].state.measured["validation"]
    assert [5, 5, 5] == [sum(row) for row in found["confusion"]]
    assert found == outcomes[2].state.measured["validation"]
    assert 0.5 < found["auc"] <= 1

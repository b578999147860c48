"""Defaults that follow from the data: the loss falls below the zero model's, and comes near scikit-learn's optimum."""

import math

import numpy as np
import pytest
import scipy.sparse
from sklearn.datasets import load_breast_cancer, load_digits, load_wine
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import StandardScaler

from harness.datasets.moments import RowSample
from harness.datasets.partitions import Manifest
from harness.datasets.synthetic import synthetic_blocks
from harness.datasets.synthetic_sparse import sparse_blocks
from harness.runs.defaults import defaults_for
from harness.runs.scale import uneven_features
from tests.support.training_alone import dealt, train_together
from training.data.manifest import LabelCount
from training.job import Job, decode_job

EVENT = {"data_bucket": "bucket", "host": "h", "n_features": 1}
VALIDATION = 0.1


def shipped(load, *, scaled=True):
    """A real set in a fixed random order."""
    x, y = load(return_X_y=True)
    order = np.random.default_rng(0).permutation(len(y))
    return (StandardScaler().fit_transform(x) if scaled else x)[order].astype(np.float32), y[order].astype(np.int64)


def dense(rows):
    """The default data set, of so many rows."""
    (block,) = synthetic_blocks(rows, 28, 0)
    return block.x, block.y.astype(np.int64)


def documents(rows, features, density):
    """Sparse rows of unit length."""
    (block,) = sparse_blocks(rows, features, density, 0)
    return block.x, block.y.astype(np.int64)


def sparse(rows, features, density, classes, scale=1.0):
    """Sparse rows with values of some size, which a linear model explains in part."""
    random = np.random.default_rng(0)
    x = scipy.sparse.random_array((rows, features), density=density, format="csr", dtype=np.float32, rng=random)
    x.data[:] = scale * random.normal(size=len(x.data))
    margins = x @ random.normal(size=(features, classes))
    return x, (margins + 0.5 * margins.std() * random.normal(size=margins.shape)).argmax(axis=1)


def manifest_of(x, y, *, synthetic=False):
    """What the partitioner says of these rows."""
    sample = RowSample()
    for rows in np.array_split(np.arange(len(y)), 3):
        sample.take(x[rows])
    is_dense = isinstance(x, np.ndarray)
    return Manifest(
        source="rows",
        synthetic=synthetic,
        data_type="dense_libsvm" if is_dense else "sparse_libsvm",
        rows=len(y),
        features=x.shape[1],
        non_zeros=0,
        n_partitions=1,
        rows_per_partition=[len(y)],
        format="npz",
        labels=[LabelCount(label, int(np.count_nonzero(y == label))) for label in np.unique(y).tolist()],
        seed=0,
        skew=None,
        sha256="",
        moments=sample.moments(),
        standardised_moments=sample.standardised_moments() if is_dense else None,
    )


def defaults_of(x, y, world_size=1, **event):
    """The defaults that `harness run` chooses."""
    event = {"n_workers": world_size, **event}
    if not isinstance(x, np.ndarray):
        event = {"model": "sparse_lr", **event}
    return defaults_for(event, decode_job(EVENT | event, Job), manifest_of(x, y), 1 + int(y.max()))


def trained(x, y, world_size=1, **event):
    """Trains with the defaults; returns the loss and the least loss on the same training rows."""
    model = event.pop("model", "lr" if isinstance(x, np.ndarray) else "sparse_lr")
    chosen = defaults_of(x, y, world_size, model=model, **event)
    shards = dealt(x, y, world_size, VALIDATION)
    (outcome, *_) = train_together(
        shards, model=model, **{key.replace("lambda", "lambda_"): value for key, value in event.items()}, **chosen
    )
    return outcome


def least_loss(x, y, world_size=1, penalty=1e-6):
    """scikit-learn's minimum on the training rows, penalty included."""
    shards = dealt(x, y, world_size, VALIDATION)
    stack = np.concatenate if isinstance(x, np.ndarray) else scipy.sparse.vstack
    x, y = stack([shard.x for shard in shards]), np.concatenate([shard.y for shard in shards])
    model = LogisticRegression(C=1 / (penalty * len(y)), tol=1e-6, max_iter=5_000).fit(x.astype(np.float64), y)
    probabilities = model.predict_proba(x)[np.arange(len(y)), y]
    return -np.log(np.maximum(probabilities, 1e-300)).mean() + penalty / 2 * np.square(model.coef_).sum()


def share_left(loss, least, y):
    """How much of the way from the zero model's loss to the least one is left."""
    zero = math.log(1 + y.max())
    return (loss - least) / (zero - least)


SETS = {
    # the set, how much of the way may be left, and whether classes can be separated: then the least loss is zero
    "breast_cancer": (lambda: shipped(load_breast_cancer), 0.12, True),
    "digits": (lambda: shipped(load_digits), 0.1, True),
    "wine": (lambda: shipped(load_wine), 0.1, True),
    "100 rows": (lambda: dense(100), 0.1, False),
    "1,000 rows": (lambda: dense(1000), 0.02, False),
    "10,000 rows": (lambda: dense(10_000), 0.02, False),
    "documents": (lambda: documents(600, 500, 0.02), 0.45, True),
    "few values, 5 classes": (lambda: sparse(2000, 300, 0.02, 5), 0.4, False),
    "many values, 5 classes": (lambda: sparse(1000, 300, 0.2, 5), 0.3, True),
    "large values, 3 classes": (lambda: sparse(1000, 500, 0.05, 3, 10.0), 0.1, True),
    "100 sparse rows": (lambda: sparse(100, 300, 0.1, 2), 0.4, True),
    "digits as counted": (lambda: shipped(load_digits, scaled=False), 0.2, True),
    # Badly scaled: a safe step is slow, but the model has learnt something.
    "breast_cancer as measured": (lambda: shipped(load_breast_cancer, scaled=False), 0.75, True),
    "wine as measured": (lambda: shipped(load_wine, scaled=False), 0.9, True),
}


@pytest.mark.parametrize("name", SETS)
def test_logistic_regression_comes_near_the_optimum(name):
    """With defaults alone most of the way to scikit-learn's optimum is done, and the loss falls to the end."""
    load, most_left, separable = SETS[name]
    x, y = load()

    losses = [epoch.loss for epoch in trained(x, y).epochs]

    assert share_left(losses[-1], 0 if separable else least_loss(x, y), y) < most_left
    assert losses[-1] < losses[0]


@pytest.mark.parametrize(
    "name", ["breast_cancer", "digits", "100 rows", "documents", "many values, 5 classes", "wine as measured"]
)
def test_a_support_vector_machine_ends_below_the_zero_model(name):
    """The hinge loss has no curvature; the same rule keeps its steps small enough."""
    x, y = SETS[name][0]()
    model = "svm" if isinstance(x, np.ndarray) else "sparse_svm"
    zero = 1 if y.max() == 1 else 1 + y.max()

    assert trained(x, y, model=model).epochs[-1].loss < (0.97 if "measured" in name else 0.6) * zero


@pytest.mark.parametrize("name", ["breast_cancer", "wine", "1,000 rows", "documents", "few values, 5 classes"])
def test_admm_ends_near_the_optimum(name):
    """ADMM's default rounds leave less than 5 % of the way to scikit-learn's optimum."""
    penalty = 0.001
    x, y = SETS[name][0]()

    outcome = trained(x, y, 4, optim="admm", **{"lambda": penalty})

    assert share_left(outcome.epochs[-1].loss, least_loss(x, y, 4, penalty), y) < 0.05


@pytest.mark.parametrize("world_size", [1, 4])
def test_admm_does_not_stop_while_the_loss_falls(world_size):
    """Small steps on rows that are not scaled move the parameters by less than Boyd's tolerances, and are progress."""
    outcome = trained(*SETS["breast_cancer as measured"][0](), world_size, optim="admm")

    assert 10 == outcome.rounds
    assert outcome.epochs[-1].loss < 0.4


@pytest.mark.parametrize(
    ("name", "event", "warned"),
    [
        ("wine as measured", {}, True),
        ("wine as measured", {"optim": "admm"}, True),
        ("wine as measured", {"model": "svm"}, True),
        ("breast_cancer as measured", {}, True),
        ("breast_cancer", {}, False),
        ("digits as counted", {}, False),
        ("1,000 rows", {}, False),
        ("documents", {}, False),
    ],
)
def test_features_of_uneven_scale_are_named(name, event, warned):
    """Where steps are small for the features' scale alone and much is left to learn, the summary names the remedy."""
    x, y = SETS[name][0]()
    model = "lr" if isinstance(x, np.ndarray) else "sparse_lr"
    job = decode_job(EVENT | {"n_workers": 2, "model": model, **event}, Job)

    warning = uneven_features(job, manifest_of(x, y), trained(x, y, 2, **event).epochs[-1].loss)

    assert warned == (warning is not None)
    assert warning is None or ("uneven_features" == warning["code"] and "--standardise" in warning["message"])


def test_one_column_that_hides_the_others_is_named():
    """A single column that is far larger keeps all others from being learnt, and the workers see that nothing was."""
    x, y = shipped(load_wine)
    x = np.column_stack((x, 1e6 * np.random.default_rng(0).normal(size=len(y)))).astype(np.float32)
    outcome = trained(x, y, 2)
    job = decode_job(EVENT | {"n_workers": 2}, Job)

    assert uneven_features(job, manifest_of(x, y), outcome.epochs[-1].loss) is not None
    assert outcome.warnings
    assert all("standardise the features, or raise n_epochs" in warning.message for warning in outcome.warnings)


def test_standardised_runs_and_unknown_data_have_no_warning_of_scale():
    """There is nothing to propose, or nothing to tell it from."""
    x, y = shipped(load_wine, scaled=False)
    event = EVENT | {"n_workers": 2}

    assert uneven_features(decode_job(event | {"standardise": True}, Job), manifest_of(x, y), 1.09) is None
    assert uneven_features(decode_job(event | {"model": "kmeans"}, Job), manifest_of(x, y), 1.09) is None
    assert uneven_features(decode_job(event, Job), None, 1.09) is None


def test_model_averaging_learns_with_defaults():
    """Steps of one worker alone are as stable."""
    x, y = shipped(load_digits)

    assert share_left(trained(x, y, 4, optim="model_avg").epochs[-1].loss, 0, y) < 0.1


@pytest.mark.parametrize("optimiser", ["nesterov", "adam"])
@pytest.mark.parametrize("name", ["breast_cancer", "digits", "10,000 rows", "documents", "wine as measured"])
def test_every_optimiser_learns_with_defaults(name, optimiser):
    """As well as plain descent; Adam's rate does not follow from the data, and is not chosen."""
    x, y = SETS[name][0]()
    own = {"lr": 0.02, "optimiser": "adam"} if optimiser == "adam" else {"momentum": 0.9, "optimiser": "nesterov"}

    plain, other = trained(x, y, 2).epochs[-1].loss, trained(x, y, 2, **own).epochs[-1].loss

    assert other < 1.01 * plain
    assert (optimiser == "nesterov") == ("lr" in defaults_of(x, y, 2, optimiser=optimiser))


def test_class_weights_that_weigh_more_get_smaller_steps():
    """The curvature grows with the mean weight of a row; balanced weights leave it as it is."""
    x, y = shipped(load_breast_cancer)
    rate = defaults_of(x, y)["lr"]

    assert rate == defaults_of(x, y, class_weights="balanced")["lr"]
    assert rate > defaults_of(x, y, class_weights="10,10")["lr"]


def test_the_default_job_keeps_its_keys():
    """100,000 rows of 28 features on four workers: batches of 1,000, a rate of 0.1, two epochs."""
    blocks = list(synthetic_blocks(100_000, 28, 0))
    x, y = (np.concatenate([getattr(block, name) for block in blocks]) for name in ("x", "y"))

    assert {"lr": 0.1, "batch_size": 1000, "n_epochs": 2} == defaults_of(x, y, 4)


def test_what_the_user_sets_is_not_touched():
    """Only keys that are not in the event are chosen; a batch that is set decides the rate."""
    x, y = sparse(1000, 500, 0.05, 3, 10.0)
    chosen = defaults_of(x, y)

    assert {"lr", "batch_size", "n_epochs"} == set(chosen)
    for key, value in chosen.items():
        assert {name: chosen[name] for name in chosen if name != key} == defaults_of(x, y, **{key: value})
    assert defaults_of(x, y, batch_size=1)["lr"] < chosen["lr"]
    assert {} == defaults_of(x, y, lr=1.0, batch_size=7, n_epochs=3)
    # Rows of this size get a smaller rate with its momentum; who sets the rate gets no momentum with it.
    raw, classes = shipped(load_breast_cancer, scaled=False)
    assert {"lr", "momentum"} < set(defaults_of(raw, classes, model="mlp"))
    chosen = defaults_of(raw, classes, model="mlp", lr=0.001)
    assert {"batch_size", "n_epochs"} == set(chosen)
    assert 0 == decode_job(EVENT | chosen | {"n_workers": 1, "model": "mlp", "lr": 0.001}, Job).momentum


@pytest.mark.parametrize("world_size", [1, 2, 3, 6])
def test_the_number_of_workers_changes_the_batch_alone(world_size):
    """The global batch stays about the same, and so does the rest."""
    x, y = dense(10_000)
    chosen = defaults_of(x, y, world_size)

    assert (0.1, 20) == (chosen["lr"], chosen["n_epochs"])
    assert chosen["batch_size"] * world_size == pytest.approx(900, abs=world_size)


def test_standardised_rows_get_the_rate_of_standardised_rows():
    """With `standardise` the features' own sizes do not count."""
    x, y = shipped(load_breast_cancer, scaled=False)

    assert 0.1 == defaults_of(x, y, standardise=True)["lr"]
    assert defaults_of(x, y)["lr"] < 1e-4


def test_neural_networks_get_enough_rounds_and_keep_their_rate():
    """A small set is passed over more often; rows that are not scaled get smaller steps, with their momentum."""
    x, y = dense(200)
    raw, classes = shipped(load_breast_cancer, scaled=False)

    assert {"batch_size": 9, "n_epochs": 25} == defaults_of(x, y, 2, model="mlp")
    assert {"batch_size": 32, "n_epochs": 5} == defaults_of(*dense(20_000), model="mlp")
    chosen = defaults_of(raw, classes, model="mlp")
    assert chosen["lr"] < 1e-5
    assert 0.9 == chosen["momentum"]


def test_k_means_and_unknown_data_get_none():
    """k-means stops by itself; of partitions that others made nothing is known."""
    x, y = dense(100)
    job = decode_job(EVENT | {"n_workers": 2}, Job)

    assert {} == defaults_of(x, y, model="kmeans")
    assert {} == defaults_for({}, job, None)


def test_a_few_rows_train_alike_on_any_number_of_workers():
    """Six rows are one batch for 1, 2, 4 and 6 workers, so their models agree."""
    y = np.array([0, 1, 2, 2, 1, 0])
    x = np.random.default_rng(0).normal(size=(6, 3)).astype(np.float32) + y[:, np.newaxis]

    losses = [trained(x, y, workers, n_epochs=20).epochs[-1].loss for workers in (1, 2, 4, 6)]

    assert losses == pytest.approx([losses[0]] * 4, rel=1e-5)

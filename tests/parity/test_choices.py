"""A run without flags: the method that it chooses reaches scikit-learn's loss, and a user's key is never changed."""

from pathlib import Path

import numpy as np
import pytest
import scipy.sparse
from sklearn.datasets import load_breast_cancer, load_digits, load_iris, load_wine
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import StandardScaler

from harness.datasets.specs import FileSpec, parse_data_spec
from harness.datasets.tables.spec import TableSpec
from harness.runs.choices import choose, choose_model, fill_missing, format_chosen
from tests.parity.test_defaults import EVENT, dense, documents, manifest_of, shipped, sparse
from tests.support.training_alone import dealt, train_together
from training.data.shard import Shard
from training.job import Job, decode_job

VALIDATION = 0.1
FACTS = ("model", "n_classes")
METHOD = {"optimiser": "nesterov", "momentum": 0.95, "lr_schedule": "cosine"}


def chosen_for(x, y, world_size=1, *, synthetic=False, **event):
    """What a run on these rows chooses."""
    model = "lr" if isinstance(x, np.ndarray) else "sparse_lr"
    job = decode_job(EVENT | {"n_workers": world_size, "model": model} | event, Job)
    manifest = manifest_of(x, y, synthetic=synthetic)
    return choose(event, job, manifest, 1 + int(y.max()))


def method_for(x, y, world_size=1, **more):
    """The same, without the model and the number of classes."""
    return {key: value for key, value in chosen_for(x, y, world_size, **more).items() if key not in FACTS}


def raw(load):
    """A real set as it was measured."""
    return lambda: shipped(load, scaled=False)


SETS = {
    "breast_cancer": raw(load_breast_cancer),
    "digits": raw(load_digits),
    "wine": raw(load_wine),
    "iris": raw(load_iris),
    "1,000 rows": lambda: dense(1000),
    "documents": lambda: documents(600, 500, 0.02),
    "few values, 5 classes": lambda: sparse(2000, 300, 0.02, 5),
    "100 sparse rows": lambda: sparse(100, 300, 0.1, 2),
}


@pytest.mark.parametrize(
    ("name", "world_size"), [*((name, 1) for name in SETS), ("digits", 3), ("iris", 4), ("documents", 3)]
)
def test_the_chosen_method_reaches_scikit_learns_loss(name, world_size):
    """Within 2 % of the least loss, with the same penalty on the same rows, on any number of workers."""
    x, y = SETS[name]()
    chosen = method_for(x, y, world_size)
    shards = dealt(x, y, world_size, VALIDATION)
    stack = np.concatenate if isinstance(x, np.ndarray) else scipy.sparse.vstack
    x, y = stack([shard.x for shard in shards]), np.concatenate([shard.y for shard in shards])
    if chosen.pop("standardise", False):
        scaler = StandardScaler().fit(x)
        shards = [
            Shard(*(part(value) for part, value in zip(_scaled(scaler), vars_of(shard), strict=True)))
            for shard in shards
        ]
        x = scaler.transform(x)
    penalty = chosen.pop("lambda")

    (outcome, *_) = train_together(
        shards, model="lr" if isinstance(x, np.ndarray) else "sparse_lr", lambda_=penalty, **chosen
    )

    best = LogisticRegression(C=1 / (penalty * len(y)), tol=1e-8, max_iter=20_000).fit(x.astype(np.float64), y)
    least = -np.log(best.predict_proba(x)[np.arange(len(y)), y]).mean() + penalty / 2 * np.square(best.coef_).sum()
    assert 0.999 * least < outcome.epochs[-1].loss < 1.02 * least


def _scaled(scaler):
    scale, same = (lambda x: scaler.transform(x).astype(np.float32) if len(x) else x), (lambda y: y)
    return scale, same, scale, same


def vars_of(shard):
    """A shard's arrays, in order."""
    return shard.x, shard.y, shard.valid_x, shard.valid_y


def test_real_rows_get_the_method_and_synthetic_rows_the_plain_one():
    """The default job keeps its keys, and so its model."""
    x, y = dense(10_000)

    assert METHOD.items() <= chosen_for(x, y, 4).items()
    assert {"lr": 0.1, "batch_size": 225, "n_epochs": 20} == method_for(x, y, 4, synthetic=True)


def test_features_are_standardised_unless_they_are_already():
    """By their moments; sparse rows stay sparse, k-means measures the user's distances."""
    x, y = shipped(load_breast_cancer, scaled=False)

    assert chosen_for(x, y)["standardise"]
    assert chosen_for(x, y, model="mlp")["standardise"]
    assert "standardise" not in chosen_for(*shipped(load_breast_cancer))
    assert "standardise" not in chosen_for(*documents(600, 500, 0.02))
    assert {} == method_for(x, y, model="kmeans")


@pytest.mark.parametrize(
    "event",
    [{"lr": 0.5}, {"optim": "admm"}, {"optimiser": "adam"}, {"lambda": 0.1}, {"momentum": 0.5}, {"sync_mode": "async"}],
)
def test_a_method_of_the_users_own_is_not_mixed_with_ours(event):
    """Who says how to train gets the defaults of that method alone, and standardised features."""
    chosen = chosen_for(*shipped(load_breast_cancer, scaled=False), 2, **event)

    assert not {"optimiser", "momentum", "lr_schedule", "lambda"} & chosen.keys()
    assert chosen["standardise"]


def test_each_key_that_the_user_sets_is_kept():
    """Also a key that says only how long, or that features stay as they are."""
    x, y = shipped(load_breast_cancer, scaled=False)

    assert "n_epochs" not in chosen_for(x, y, n_epochs=3)
    assert METHOD.items() <= chosen_for(x, y, n_epochs=3, batch_size=7).items()
    assert "standardise" not in chosen_for(x, y, standardise=False)


def test_the_model_follows_from_the_beginning_of_the_data(tmp_path):
    """Targets, images and rows that are mostly zero have models of their own; a user's model stays."""
    files = {
        "classes.txt": "1 1:0.5 2:1\n0 1:2 2:3\n",
        "targets.txt": "".join(f"{row / 7} 1:0.5 2:{row}\n" for row in range(50)),
        "wide.txt": "1 3:1 47000:2\n0 5:1\n",
        "zero_based.txt": "1 0:1 46999:2\n0 5:1\n",
        "table.csv": "a,b\n1,2\n",
    }
    for name, text in files.items():
        (tmp_path / name).write_text(text)
    specs = {name: FileSpec(tmp_path / name) for name in files}

    found = {name: choose_model({}, spec).get("model") for name, spec in specs.items()}

    assert {
        "classes.txt": None,
        "targets.txt": "linear",
        "wide.txt": "sparse_lr",
        "zero_based.txt": "sparse_lr",
        "table.csv": None,
    } == found
    assert "sparse_linear" == choose_model({"loss": "huber"}, specs["wide.txt"])["model"]
    assert "linear" == choose_model({"stop_metric": "r2"}, specs["targets.txt"])["model"]
    assert "mlp" == choose_model({}, parse_data_spec("synthetic-images:rows=10,classes=2"))["model"]
    assert "linear" == choose_model({}, parse_data_spec("sklearn:diabetes"))["model"]
    assert {} == choose_model({"model": "svm"}, specs["targets.txt"])


def test_nothing_is_chosen_for_unknown_data():
    """Of partitions that others made nothing is known."""
    assert {} == choose({}, decode_job(EVENT | {"n_workers": 2}, Job), None)


def test_the_line_for_people_names_keys_in_the_jobs_order():
    """One line, in the words of the flags."""
    line = format_chosen(chosen_for(*shipped(load_breast_cancer, scaled=False), 2))

    assert (
        "chosen: n_classes=2, model=lr, lr=0.2, batch_size=26, n_epochs=100, lambda=0.002, optimiser=nesterov, "
        "momentum=0.95, lr_schedule=cosine, standardise=yes"
    ) == line


def test_empty_cells_get_the_mean_and_nan_among_numbers_stays_refused():
    """A run of a table with empty cells needs no flag; NaN in NumPy's arrays is more often an error."""
    found = {
        form: fill_missing(TableSpec(f"x.{form}", (Path(f"x.{form}"),), form)).options.missing
        for form in ("csv", "parquet", "npz", "npy")
    }

    assert {"csv": "mean", "parquet": "mean", "npz": "refuse", "npy": "refuse"} == found

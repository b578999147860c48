"""The training matrix: every legal cell is decoded, every other one refused."""

import itertools

import msgspec
import pytest

from training.errors import InputError
from training.job import Job, decode_job
from training.matrix import SYNC_MODES, Cell, cells, check_used
from training.model.catalogue import MODELS

EVENT = {"data_bucket": "bucket", "n_features": 3, "n_workers": 2, "host": "h"}
LEGAL = list(cells())
EVERY = [
    Cell(model, data_type, optim, sync_mode)
    for model, data_type, optim, sync_mode in itertools.product(
        MODELS, ("dense_libsvm", "sparse_libsvm", "cifar10"), SYNC_MODES, SYNC_MODES["grad_avg"]
    )
]


def event_of(cell):
    """The event of a cell."""
    return EVENT | {
        "model": cell.model,
        "dataset_type": cell.data_type,
        "optim": cell.optim,
        "sync_mode": cell.sync_mode,
    }


def test_an_illegal_cell_is_refused_by_what_it_needs():
    """Every combination outside the table is refused, and the error says which field needs what."""
    for cell in EVERY:
        if cell in LEGAL:
            assert cell.data_type == decode_job(event_of(cell), Job).data_type
            continue
        with pytest.raises(InputError, match=r"^\w+=\w+ needs \w+=[\w ]+; got \w+=\w+$"):
            decode_job(event_of(cell), Job)


@pytest.mark.parametrize(
    ("event", "message"),
    [
        ({"optim": "em"}, "optim=em needs model=kmeans or sparse_kmeans; got model=lr"),
        ({"model": "resnet", "dataset_type": "dense_libsvm"}, "model=resnet needs dataset_type=cifar10"),
        ({"sync_mode": "async", "optim": "admm"}, "sync_mode=async needs optim=grad_avg or model_avg; got optim=admm"),
        (
            {"penalty": "l1", "model": "kmeans"},
            "penalty=l1 needs optim=grad_avg or model_avg or admm; got optim=em",
        ),
        ({"significance": 0.1, "optim": "model_avg"}, "significance=0.1 needs optim=grad_avg"),
        ({"optimiser": "adam", "optim": "admm"}, "optimiser=adam needs optim=grad_avg or model_avg; got optim=admm"),
        ({"optimiser": "adam", "model": "kmeans"}, "optimiser=adam needs optim=grad_avg or model_avg; got optim=em"),
        ({"lr_schedule": "cosine", "optim": "admm"}, "lr_schedule=cosine needs optim=grad_avg or model_avg"),
        ({"warmup": 0.1, "model": "kmeans"}, "warmup=0.1 needs optim=grad_avg or model_avg; got optim=em"),
        ({"clip_norm": 1.0, "optim": "admm"}, "clip_norm=1.0 needs optim=grad_avg or model_avg; got optim=admm"),
        ({"weight_decay": 0.1, "optim": "admm"}, "weight_decay=0.1 needs optim=grad_avg or model_avg; got optim=admm"),
        ({"momentum": 0.9, "optimiser": "adam"}, "momentum=0.9 needs optimiser=sgd or nesterov; got optimiser=adam"),
        ({"momentum": 0.0, "optimiser": "nesterov"}, "optimiser=nesterov needs momentum=a number above 0"),
        ({"beta1": 0.8}, "beta1=0.8 needs optimiser=adam or adamw; got optimiser=sgd"),
        ({"beta2": 0.9, "optimiser": "nesterov"}, "beta2=0.9 needs optimiser=adam or adamw; got optimiser=nesterov"),
        ({"epsilon": 1e-6}, "epsilon=1e-06 needs optimiser=adam or adamw; got optimiser=sgd"),
        ({"significance": 0.1, "optimiser": "adam"}, "significance=0.1 needs optimiser=sgd or nesterov"),
        ({"lambda": 0.1, "optimiser": "adamw"}, "lambda=0.1 needs optimiser=sgd or nesterov or adam; got"),
        ({"lambda": 0.1, "weight_decay": 0.1}, "weight_decay=0.1 needs lambda=0, or penalty=l1; got lambda=0.1"),
        ({"patience": 3, "optim": "admm"}, "patience=3 needs optim=grad_avg or model_avg; got optim=admm"),
        ({"patience": 3, "model": "kmeans"}, "patience=3 needs optim=grad_avg or model_avg; got optim=em"),
        ({"class_weights": "balanced", "model": "kmeans"}, "class_weights=balanced needs optim=grad_avg or model_avg"),
        (
            {"init_from": "s3://bucket/model.npz", "model": "kmeans"},
            "init_from=s3://bucket/model.npz needs optim=grad_avg or model_avg or admm; got optim=em",
        ),
        ({"class_weights": "1,2", "n_classes": 3}, "class_weights=1,2 needs n_classes=2; got n_classes=3"),
        ({"class_weights": "1,0"}, "class_weights=1,0 has 0; allowed: numbers above 0, up to 1e+06"),
        ({"class_weights": "1,1e9"}, "class_weights=1,1e9 has 1e+09; allowed: numbers above 0, up to 1e+06"),
        ({"stop_metric": "accuracy"}, "stop_metric=accuracy needs patience=a number above 0; got patience=0"),
        ({"min_improvement": 0.1}, "min_improvement=0.1 needs patience=a number above 0; got patience=0"),
        ({"lr_step_epochs": 3}, "lr_step_epochs=3 needs lr_schedule=step; got lr_schedule=constant"),
        ({"lr_decay": 0.5, "lr_schedule": "cosine"}, "lr_decay=0.5 needs lr_schedule=step; got lr_schedule=cosine"),
        ({"lr_min": 0.01, "lr_schedule": "step"}, "lr_min=0.01 needs lr_schedule=cosine; got lr_schedule=step"),
        ({"lr_min": 0.1, "lr_schedule": "cosine"}, "lr_min=0.1 needs lr=a number above 0.1; got lr=0.1"),
        (
            {"lr_step_epochs": 2, "lr_schedule": "step"},
            "lr_step_epochs=2 needs n_epochs=3 or more; got n_epochs=2",
        ),
        ({"loss": "squared"}, "loss=squared needs model=linear or sparse_linear or mlp; got model=lr"),
        ({"loss": "hinge", "model": "mlp"}, "loss=hinge needs model=svm or sparse_svm; got model=mlp"),
        ({"model": "linear", "huber_delta": 2.0}, "huber_delta=2.0 needs loss=huber; got loss=squared"),
        (
            {"model": "linear", "class_weights": "balanced"},
            "class_weights=balanced needs loss=cross_entropy or hinge; got loss=squared",
        ),
        (
            {"model": "mlp", "loss": "huber", "n_classes": 3},
            "n_classes=3 needs loss=cross_entropy or hinge or inertia; got loss=huber",
        ),
        (
            {"model": "linear", "patience": 1, "stop_metric": "auc"},
            "stop_metric=auc needs loss=cross_entropy or hinge; got loss=squared",
        ),
        ({"patience": 1, "stop_metric": "r2"}, "stop_metric=r2 needs loss=squared or huber or poisson; got loss=cross"),
        (
            {"model": "svm", "patience": 1, "stop_metric": "log_loss"},
            "stop_metric=log_loss needs loss=cross_entropy; got loss=hinge",
        ),
        (
            {"model": "kmeans", "test_bucket": "bucket"},
            "test_bucket=bucket needs optim=grad_avg or model_avg or admm; got optim=em",
        ),
        (
            {"standardise": True, "model": "sparse_lr"},
            "needs model=lr or svm or linear or kmeans or mlp; got model=sparse_lr",
        ),
        (
            {"standardise": True, "model": "sparse_lr", "dataset_type": "sparse_libsvm"},
            "standardise=true needs dataset_type=dense_libsvm; got dataset_type=sparse_libsvm",
        ),
    ],
)
def test_options_that_do_not_fit_are_refused(event, message):
    """An option that its optimiser would ignore is a mistake, not a silence."""
    with pytest.raises(InputError) as caught:
        decode_job(EVENT | event, Job)

    assert message in str(caught.value)


def test_a_job_survives_its_way_through_json():
    """What the coordinator sends to a worker decodes to the same job, `lambda` included."""
    job = decode_job(EVENT | {"lambda": 0.5, "optim": "admm", "penalty": "l1"}, Job)

    assert job == decode_job(msgspec.json.decode(msgspec.json.encode(job)), Job)


@pytest.mark.parametrize(
    ("event", "message"),
    [
        ({"n_clusters": 5}, r"n_clusters=5 needs optim=em; got optim=grad_avg"),
        ({"kmeans_init": "first_rows"}, r"kmeans_init=first_rows needs optim=em; got optim=grad_avg"),
        ({"rho": 0.5, "optim": "model_avg"}, r"rho=0.5 needs optim=admm; got optim=model_avg"),
        ({"max_staleness": 3, "sync_mode": "reduce"}, r"max_staleness=3 needs sync_mode=async; got sync_mode=reduce"),
    ],
)
def test_a_key_that_is_typed_in_vain_is_refused(event, message):
    """An event may have it, as those of the original do; who types a flag expects something of it."""
    job = decode_job(EVENT | event, Job)

    with pytest.raises(InputError, match=message):
        check_used(event, job)
    check_used({"n_clusters"}, decode_job(EVENT | {"model": "kmeans"}, Job))

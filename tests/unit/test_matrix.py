"""The training matrix: every legal cell is decoded, every other one refused."""

import itertools

import msgspec
import pytest

from training.errors import InputError
from training.job import Job, decode_job
from training.matrix import SYNC_MODES, Cell, cells
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
        ({"penalty": "l1"}, "penalty=l1 needs optim=admm; got optim=grad_avg"),
        ({"significance": 0.1, "optim": "model_avg"}, "significance=0.1 needs optim=grad_avg"),
        ({"standardise": True, "model": "sparse_lr"}, "needs model=lr or svm or kmeans or mlp; got model=sparse_lr"),
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

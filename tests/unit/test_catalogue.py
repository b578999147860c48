"""The catalogue of models: each row names things that exist, and what reads it follows."""

import ast
import importlib.util
from pathlib import Path
from typing import get_args

import msgspec
import numpy as np
import pytest

from training.algorithm.registry import ALGORITHMS
from training.errors import InputError
from training.job import WorkerJob
from training.job_fields import Model, Optimisation
from training.matrix import SYNC_MODES
from training.model.catalogue import MODELS, PYTORCH_WORKER, WORKER, make_model, row_of, task_of, training_function

WITH_MAKER = [name for name, row in MODELS.items() if row.maker is not None]


@pytest.mark.parametrize("name", WITH_MAKER)
def test_every_maker_exists_and_takes_what_its_row_says(name):
    """A row's maker is a function of `training.model` with features, classes and the row's options as parameters."""
    row = MODELS[name]
    module, _, function = row.maker.partition(".")
    source = Path(importlib.util.find_spec(f"training.model.{module}").origin).read_text()

    found = {node.name: node.args for node in ast.parse(source).body if isinstance(node, ast.FunctionDef)}

    assert function in found
    parameters = [argument.arg for argument in found[function].args]
    assert ["n_features", "n_classes", *row.options] == parameters[: 2 + len(row.options)]
    assert len(parameters) - len(found[function].defaults) <= 2 + len(row.options)


@pytest.mark.parametrize("name", [name for name in WITH_MAKER if not MODELS[name].needs_pytorch])
def test_a_model_is_made_from_its_row(name):
    """`make_model` imports the maker and passes on what it takes, whatever else the job has."""
    model = make_model(name, n_features=5, n_classes=3, hidden_units=64)

    assert model.n_classes == (1 if task_of(MODELS[name].loss) == "regression" else 3)
    assert np.float32 == model.initial(0).dtype


def test_a_clustering_is_no_gradient_model():
    """K-means has no gradient: the error names the optimiser that trains it."""
    with pytest.raises(InputError, match="model=kmeans has no gradient; it is trained by optim=em"):
        make_model("kmeans", n_features=5, n_classes=3)


def test_the_jobs_choices_are_the_rows():
    """A job may ask for every model of the catalogue and for no other, and every optimiser has its algorithm."""
    assert all(model == msgspec.convert(model, Model) for model in (*MODELS, "my_model:Net", "a.b:c"))
    for wrong in ("nonsense", "my_model.py:Net", "my_model:", ":Net", "a..b:c"):
        with pytest.raises(msgspec.ValidationError):
            msgspec.convert(wrong, Model)
    assert {optim for row in MODELS.values() for optim in row.optimisers} == set(get_args(Optimisation))
    assert set(get_args(Optimisation)) == set(ALGORITHMS) == set(SYNC_MODES)
    assert all(importlib.util.find_spec(f"training.algorithm.{module}") for module in ALGORITHMS.values())


def test_defaults_and_options_are_keys_of_the_job():
    """Whatever a row sets or passes on is a field of the job."""
    keys = {key for row in MODELS.values() for key in (*row.defaults, *row.options)}

    assert keys <= set(WorkerJob.__struct_fields__)


@pytest.mark.parametrize(
    ("environment", "plain", "neural"),
    [
        ({}, WORKER.name, WORKER.name),
        ({"WORKER_FUNCTION_NAME": "mine"}, "mine", "mine"),
        ({"NEURAL_WORKER_FUNCTION_NAME": PYTORCH_WORKER.name}, WORKER.name, PYTORCH_WORKER.name),
        ({"WORKER_FUNCTION_NAME": "mine", "NEURAL_WORKER_FUNCTION_NAME": "other"}, "mine", "other"),
    ],
)
def test_the_function_that_trains_a_model_is_the_coordinators_setting(environment, plain, neural):
    """Neural networks may have a function of their own; without one they share the other models' function."""
    assert plain == training_function("lr", environment)
    assert neural == training_function("mlp", environment)


def test_own_models_have_a_row_in_common_and_a_function_of_their_own():
    """`module:Name` is an own model, which needs the job's `worker_function`; any other name is refused."""
    assert row_of("my_model:Net").own
    assert not row_of("mlp").own
    assert "theirs" == training_function("my_model:Net", {"WORKER_FUNCTION_NAME": "mine"}, "theirs")
    with pytest.raises(InputError, match="model=my_model:Net needs worker_function="):
        training_function("my_model:Net", {"WORKER_FUNCTION_NAME": "mine"})
    with pytest.raises(InputError, match="model=theirs is none of lr, "):
        row_of("theirs")


def test_a_job_names_the_function_that_trains():
    """A catalogue's model is trained by another function too, if the job names it."""
    assert "theirs" == training_function("lr", {"WORKER_FUNCTION_NAME": "mine"}, "theirs")

"""The worker function of a user's own model: the worker's table in harness.toml, with the model's file and packages.

    linear_ec_2_my_model_net        trains my_model:Net; from a table [models.NAME], linear_ec_2_NAME
    linear_ec_2_nn_my_model_net     the same for a model that uses PyTorch

Every model has a function of its own, so that an image, a role and a log belong to one model.
"""

import hashlib
import re
from collections.abc import Mapping
from typing import Any, NamedTuple

import msgspec

from harness.errors import HarnessError
from harness.runs.declared import COORDINATOR, declared
from harness.runs.own_model import OwnModel, is_own, own_model, own_models
from harness.runtimes.requirements import requirements_of
from harness.settings import FunctionSettings, ModelSettings, Settings
from training.model.catalogue import PYTORCH_WORKER, WORKER, WorkerImage

# Lambda's limit: https://docs.aws.amazon.com/lambda/latest/api/API_CreateFunction.html
_LONGEST_NAME = 64
_DIGITS = 8


class ModelFunction(NamedTuple):
    """A function that trains a user's own model.

    Attributes:
        name: Its name in the Lambda API, and that of its image; in lower case, as repositories of images require.
        worker: The worker whose table it has.
        base: The worker whose image and packages it extends: without PyTorch for a model that brings its own.
        model: The model.
        settings: Its table, as harness.toml would have it.
    """

    name: str
    worker: str
    base: str
    model: OwnModel
    settings: FunctionSettings


def function_of(model: OwnModel, settings: Settings) -> ModelFunction:
    """Return the function that trains a model.

    Raises:
        HarnessError: The worker's table is missing.
    """
    worker = _worker(PYTORCH_WORKER if model.needs_pytorch else WORKER, settings)
    base = _worker(WORKER, settings) if model.has_own_pytorch else worker
    table, extended = declared(settings, worker), declared(settings, base)
    requirements = extended.requirements
    if model.requirements:
        requirements = (*(str(each.path) for each in requirements_of(extended)), *model.requirements)
    name = _name(worker, model.label)
    changes = {"memory_mb": model.memory_mb, "timeout_s": model.timeout_s}
    own = msgspec.structs.replace(
        table,
        include=(*table.include, model.path),
        requirements=requirements,
        image=name if extended.image else "",
        **{key: value for key, value in changes.items() if value is not None},
    )
    return ModelFunction(name, worker, base, model, own)


def functions_of_models(settings: Settings) -> list[ModelFunction]:
    """Return the functions of the tables [models.NAME].

    Raises:
        HarnessError: A model is not valid; the message names its file or its table.
    """
    return [function_of(model, settings) for model in own_models(settings)]


def with_function(settings: Settings, function: ModelFunction) -> Settings:
    """Return the settings with a model and its function; one that is there stays, with what a run has changed in it."""
    model = function.model
    table = ModelSettings(model.file, model.name, model.requirements, model.memory_mb, model.timeout_s)
    functions = {**settings.functions, function.name: settings.functions.get(function.name, function.settings)}
    return msgspec.structs.replace(settings, functions=functions, models={model.label: table, **settings.models})


def with_models(settings: Settings) -> Settings:
    """Return the settings with the functions of the tables [models.NAME] beside those of [functions.NAME].

    Raises:
        HarnessError: As in `functions_of_models`.
    """
    for function in functions_of_models(settings):
        settings = with_function(settings, function)
    return settings


def trainer_of(name: str, settings: Settings) -> ModelFunction | None:
    """Return the function of a user's own model by its name; None for any other function.

    Raises:
        HarnessError: The model is not valid.
    """
    for label in settings.models:
        # Other models need not be valid.
        if name in {_name(_worker(image, settings), label) for image in (WORKER, PYTORCH_WORKER)}:
            function = function_of(own_model(label, settings), settings)
            if function.name == name:
                return function
    return None


def with_own_model(event: Mapping[str, Any], settings: Settings) -> tuple[dict[str, Any], ModelFunction | None]:
    """Return a job's keys as functions understand them, and the function of the model if it is a user's own.

    Args:
        event: The keys that the user set; `model` is of the catalogue, or as `--model` takes it.
        settings: The project's settings.

    Raises:
        HarnessError: There is no such model, or the job names another function for it.
    """
    model, named = event.get("model"), event.get("worker_function")
    if not is_own(model) or named in settings.functions:
        return dict(event), None
    function = function_of(own_model(str(model), settings), settings)
    if named not in (None, function.name):
        raise HarnessError(
            f"worker_function is {named}, which harness.toml does not declare",
            f"the function of the model {model} is {function.name}",
            f"leave worker_function out, or add a table [functions.{named}]",
        )
    return {**event, "model": function.model.job_name, "worker_function": function.name}, function


def _worker(image: WorkerImage, settings: Settings) -> str:
    environment = declared(settings, COORDINATOR).environment
    named = (environment[variable] for variable in image.variables if variable in environment)
    return next(named, WORKER.name)


def _name(worker: str, label: str) -> str:
    """Return a name for Lambda that neither worker has."""
    text = re.sub(r"[^a-z0-9]+", "_", label.lower()).strip("_")
    name = f"{worker}_{text}".lower()
    # The other worker's name, for example, for a model `nn`.
    if len(name) <= _LONGEST_NAME and name not in (WORKER.name, PYTORCH_WORKER.name):
        return name
    digest = hashlib.sha256(label.encode()).hexdigest()[:_DIGITS]
    return f"{name[: _LONGEST_NAME - _DIGITS - 1]}_{digest}"

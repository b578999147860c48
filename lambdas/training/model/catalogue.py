"""The catalogue of models: one row per model, the only place that lists them.

The job's choices, the training matrix, README's table and the function that trains a model are read from it.
To add a model, write its module and its tests, and add its row.
Users' own models have one row in common, `OWN`: a job names them as `module:Name`, and their package holds the module.

The coordinator reads this module and has neither NumPy nor PyTorch, and importing PyTorch takes two seconds.
A row therefore names its maker, and `make_model` imports the maker's module when a job needs it.
"""

import importlib
import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from training.errors import InputError
from training.model.loss_kinds import REGRESSION, LossKind

if TYPE_CHECKING:  # NumPy is needed to run a model, not to list it
    from training.model.base import Model

DatasetType = Literal["dense_libsvm", "sparse_libsvm", "cifar10"]
TaskKind = Literal["classification", "regression", "clustering"]


class WorkerImage(NamedTuple):
    """A worker's image.

    Attributes:
        name: Name of the image, and of the function that runs it.
        variables: Environment variables of the coordinator that name the function; the first that is set counts.
    """

    name: str
    variables: tuple[str, ...]


WORKER = WorkerImage("linear_ec_2", ("WORKER_FUNCTION_NAME",))
# PyTorch makes an image five times as large, so neural networks may have a function of their own.
PYTORCH_WORKER = WorkerImage("linear_ec_2_nn", ("NEURAL_WORKER_FUNCTION_NAME", *WORKER.variables))
# A model of one's own has a function of its own, which the job names: `worker_function`.
OWN_WORKER = WorkerImage("", ())


class ModelRow(NamedTuple):
    """One model.

    Attributes:
        title: A short description for people.
        data_types: The `dataset_type`s it takes, its default first.
        optimisers: The `optim`s that train it, its default first.
        loss: The loss that training minimises, unless the job names another.
        defaults: Job values for keys that the event leaves out, where the job's own default would not suit.
        maker: `module.function` below `training.model`, called with the number of features and of classes;
            None for a clustering, which has no gradient.
        options: Keys of the job that the maker takes as well.
        image: The image of the workers that train it.
        losses: The losses that a job may name; only the model's own where there are none.
    """

    title: str
    data_types: tuple[DatasetType, ...]
    optimisers: tuple[str, ...]
    loss: LossKind
    maker: str | None
    defaults: Mapping[str, Any] = {}
    options: tuple[str, ...] = ()
    image: WorkerImage = WORKER
    losses: tuple[LossKind, ...] = ()

    @property
    def is_clustering(self) -> bool:
        """Whether the model has clusters in place of classes, and no gradient."""
        return self.maker is None

    @property
    def needs_pytorch(self) -> bool:
        """Whether PyTorch has to be installed to train the model or to predict with it; unknown for own models."""
        return self.image is PYTORCH_WORKER

    @property
    def own(self) -> bool:
        """Whether the model is a user's own, a class or function in the function's package."""
        return self.image is OWN_WORKER


DENSE: DatasetType = "dense_libsvm"
SPARSE: DatasetType = "sparse_libsvm"
IMAGES: DatasetType = "cifar10"
_CONVEX = ("grad_avg", "model_avg", "admm")
_NEURAL = ("grad_avg", "model_avg")
_UNTIL_SETTLED = {"n_epochs": 100}
_SMALL_STEPS = {"lr": 0.02, "momentum": 0.9, "batch_size": 32, "n_epochs": 5}

MODELS: Mapping[str, ModelRow] = {
    "lr": ModelRow(
        "logistic regression, softmax for more than two classes",
        (DENSE,),
        _CONVEX,
        "cross_entropy",
        "linear.logistic_regression",
    ),
    "svm": ModelRow(
        "linear SVM, hinge loss, one against the rest",
        (DENSE,),
        _CONVEX,
        "hinge",
        "linear.support_vector_machine",
    ),
    "sparse_lr": ModelRow(
        "logistic regression on sparse rows",
        (SPARSE,),
        _CONVEX,
        "cross_entropy",
        "linear.logistic_regression",
    ),
    "sparse_svm": ModelRow(
        "linear SVM on sparse rows",
        (SPARSE,),
        _CONVEX,
        "hinge",
        "linear.support_vector_machine",
    ),
    "linear": ModelRow(
        "linear regression: squared, Huber or Poisson loss",
        (DENSE,),
        _CONVEX,
        "squared",
        "regression.linear_regression",
        options=("loss", "huber_delta"),
        losses=REGRESSION,
    ),
    "sparse_linear": ModelRow(
        "linear regression on sparse rows",
        (SPARSE,),
        _CONVEX,
        "squared",
        "regression.linear_regression",
        options=("loss", "huber_delta"),
        losses=REGRESSION,
    ),
    "kmeans": ModelRow("k-means", (DENSE,), ("em",), "inertia", None, _UNTIL_SETTLED),
    "sparse_kmeans": ModelRow("k-means on sparse rows", (SPARSE,), ("em",), "inertia", None, _UNTIL_SETTLED),
    "mlp": ModelRow(
        "one hidden layer",
        (DENSE, IMAGES),
        _NEURAL,
        "cross_entropy",
        "neural.mlp",
        {**_SMALL_STEPS, "lr": 0.005},
        options=("hidden_units", "loss", "huber_delta"),
        image=PYTORCH_WORKER,
        losses=("cross_entropy", *REGRESSION),
    ),
    "mobilenet": ModelRow(
        "depthwise separable convolutions",
        (IMAGES,),
        _NEURAL,
        "cross_entropy",
        "neural.mobilenet",
        _SMALL_STEPS,
        image=PYTORCH_WORKER,
    ),
    "resnet": ModelRow(
        "residual convolutions",
        (IMAGES,),
        _NEURAL,
        "cross_entropy",
        "neural.resnet",
        _SMALL_STEPS,
        image=PYTORCH_WORKER,
    ),
}

# Every model of a user's own: its module says the rest.
OWN = ModelRow(
    "a model of your own",
    (DENSE, SPARSE, IMAGES),
    _CONVEX,
    "cross_entropy",
    "own.make_own",
    _SMALL_STEPS,
    options=("hidden_units",),
    image=OWN_WORKER,
    losses=("cross_entropy", "hinge", *REGRESSION),
)
_NAME = r"[A-Za-z_][A-Za-z0-9_]*"
# `module:Name`, the module as in an import statement; `my_model.py:Net` is a path for the command line.
OWN_PATTERN = rf"(?!\S*\.py:){_NAME}(\.{_NAME})*:{_NAME}"


def row_of(model: str) -> ModelRow:
    """Return the row of a model.

    Args:
        model: Its name in the catalogue, or `module:Name` for a model of the user's own.

    Raises:
        InputError: There is no such model.
    """
    row = MODELS.get(model)
    if row is not None:
        return row
    if re.fullmatch(OWN_PATTERN, model):
        return OWN
    raise InputError(f"model={model} is none of {', '.join(MODELS)}, and no module:Name of your own")


def loss_of(model: str, loss: LossKind | None) -> LossKind:
    """Return the loss that a job minimises: the one that it names, else the model's."""
    return loss or row_of(model).loss


def task_of(loss: LossKind) -> TaskKind:
    """Return what a loss learns: classes, targets (numbers), or clusters."""
    if loss in REGRESSION:
        return "regression"
    return "clustering" if loss == "inertia" else "classification"


def training_function(model: str, environment: Mapping[str, str], named: str | None = None) -> str:
    """Return the name of the function that trains a model.

    Args:
        model: The model's name.
        environment: The coordinator's environment variables.
        named: The function that the job names; None for the catalogue's.

    Raises:
        InputError: The model is a user's own, and the job does not name its function.
    """
    if named is not None:
        return named
    row = row_of(model)
    if row.own:
        raise InputError(f"model={model} needs worker_function=the function with its package; got none")
    variables = (environment[variable] for variable in row.image.variables if variable in environment)
    return next(variables, WORKER.name)


def make_model(name: str, *, n_features: int, n_classes: int, **options: Any) -> "Model":  # noqa: ANN401 - values of JSON
    """Return a model that is trained by its gradient.

    Args:
        name: The model's name.
        n_features: Columns of the data.
        n_classes: Number of classes; 1 for a regression.
        options: Further keys of the job; the maker gets those that its row names, and a user's own model all.

    Raises:
        InputError: The model has no gradient, needs PyTorch where there is none, or cannot take such rows.
    """
    row = row_of(name)
    if row.maker is None:
        raise InputError(f"model={name} has no gradient; it is trained by optim={' or '.join(row.optimisers)}")
    if row.own:
        from training.model.own import make_own  # noqa: PLC0415 - NumPy is needed to run a model, not to list it

        return make_own(name, {"n_features": n_features, "n_classes": n_classes, **options})
    module, _, function = row.maker.partition(".")
    try:
        maker = getattr(importlib.import_module(f"training.model.{module}"), function)
    except ModuleNotFoundError as error:
        if error.name != "torch":
            raise
        raise InputError(f"model={name} needs PyTorch, which {row.image.name} has and this function lacks") from error
    model: Model = maker(n_features, n_classes, **{key: options[key] for key in row.options if key in options})
    return model

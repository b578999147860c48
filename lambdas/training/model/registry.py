"""From a model's name to the model; what a model needs is imported only when it is asked for."""

from training.errors import InputError
from training.model.base import Model
from training.model.linear import logistic_regression, support_vector_machine

_NEURAL = {"mlp", "mobilenet", "resnet"}


def gradient_model(name: str, *, n_features: int, n_classes: int, hidden_units: int) -> Model:
    """The model of a name, for all that are trained by gradients (k-means is not).

    Args:
        name: As in the job.
        n_features: Columns of the data.
        n_classes: Classes.
        hidden_units: Width of the hidden layer of mlp.
    """
    if name in _NEURAL:
        # PyTorch takes longer to import than everything else together.
        try:
            from training.model.neural import neural_model  # noqa: PLC0415
        except ModuleNotFoundError as error:
            if error.name != "torch":
                raise
            raise InputError(f"model={name} needs PyTorch, which linear_ec_2_nn has and this function lacks") from error
        return neural_model(name, n_features=n_features, n_classes=n_classes, hidden_units=hidden_units)
    make = {"lr": logistic_regression, "svm": support_vector_machine}[name.removeprefix("sparse_")]
    return make(n_features, n_classes)

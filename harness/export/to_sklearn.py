"""Export to scikit-learn: an estimator with our weights, stored by skops, which `skops.io.load` reads without pickle.

    lr, sparse_lr           LogisticRegression
    svm, sparse_svm         LinearSVC
    linear, sparse_linear   LinearRegression, HuberRegressor or PoissonRegressor, by their loss
    kmeans, sparse_kmeans   KMeans
    mlp                     MLPClassifier or MLPRegressor

Standardised rows and images have a StandardScaler before it, in a Pipeline.
An estimator is built by setting the attributes that its `fit` sets; scikit-learn's pages list them.

https://scikit-learn.org/stable/api/sklearn.linear_model.html
https://skops.readthedocs.io/en/stable/persistence.html
"""

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from harness.errors import HarnessError
from harness.export.linear_form import IMAGE_MEAN, IMAGE_SCALE, affine_of, centroids_of, is_linear, layers_of_mlp
from training.data.scaling import Scaling
from training.model.catalogue import row_of
from training.run.model_file import TrainedModel

if TYPE_CHECKING:
    from pathlib import Path


def write(trained: TrainedModel, path: "Path") -> None:
    """Store a model as an estimator.

    Raises:
        HarnessError: scikit-learn has no such estimator.
        OSError: The file cannot be written.
    """
    from skops import io  # noqa: PLC0415 - importing skops and scikit-learn takes two seconds

    io.dump(estimator_of(trained), path)


def estimator_of(trained: TrainedModel) -> Any:  # noqa: ANN401 - scikit-learn has no types
    """Return the estimator that predicts as a model does.

    Raises:
        HarnessError: scikit-learn has no such estimator.
    """
    if row_of(trained.model).is_clustering:
        estimator = _kmeans(trained)
    elif is_linear(trained):
        estimator = _linear(trained)
    elif trained.model == "mlp":
        estimator = _mlp(trained)
    else:
        remedy = "export it --to torch or --to onnx"
        if row_of(trained.model).own:
            remedy += ', if it is a PyTorch module; else `numpy.load("model.npz")["parameters"]` has its parameters'
        raise HarnessError(f"scikit-learn has no estimator for model {trained.model}", remedy=remedy)
    estimator.n_features_in_ = trained.n_features
    scaling = trained.scaling
    if trained.data_type == "cifar10":
        width = trained.n_features
        scaling = Scaling(np.full(width, IMAGE_MEAN), np.full(width, IMAGE_SCALE))
    return estimator if scaling is None else _scaled(estimator, scaling)


def labels_of(trained: TrainedModel) -> NDArray[Any]:
    """Return the user's label of each class, as an array of integers, of numbers or of text."""
    return np.array(trained.answers)


def _linear(trained: TrainedModel) -> Any:  # noqa: ANN401
    from sklearn import linear_model, svm  # noqa: PLC0415

    loss = trained.loss
    weights, biases = affine_of(trained)
    if loss in {"cross_entropy", "hinge"}:
        estimator = linear_model.LogisticRegression() if loss == "cross_entropy" else svm.LinearSVC(loss="hinge")
        estimator.classes_ = labels_of(trained)
        estimator.coef_, estimator.intercept_ = _float64(weights.T), _float64(biases)
        estimator.n_iter_ = np.zeros(1, np.int32) if loss == "cross_entropy" else 0
        return estimator
    regressors = {
        "squared": linear_model.LinearRegression,
        "huber": linear_model.HuberRegressor,
        "poisson": linear_model.PoissonRegressor,
    }
    estimator = regressors[loss]()
    estimator.coef_, estimator.intercept_ = _float64(weights[:, 0]), float(biases[0])
    if loss == "poisson":
        estimator._base_loss = estimator._get_loss()  # noqa: SLF001 - `predict` takes the link from there
    return estimator


def _kmeans(trained: TrainedModel) -> Any:  # noqa: ANN401
    from sklearn.cluster import KMeans  # noqa: PLC0415

    centroids = centroids_of(trained)
    estimator = KMeans(n_clusters=len(centroids), n_init=1)
    # float64, as scikit-learn takes the rows by default and refuses centroids of another type.
    estimator.cluster_centers_, estimator._n_threads = _float64(centroids), 1  # noqa: SLF001 - `predict` reads it
    return estimator


def _mlp(trained: TrainedModel) -> Any:  # noqa: ANN401
    from sklearn.neural_network import MLPClassifier, MLPRegressor  # noqa: PLC0415
    from sklearn.preprocessing import LabelBinarizer  # noqa: PLC0415

    hidden, last = layers_of_mlp(trained)
    if trained.loss == "cross_entropy":
        estimator = MLPClassifier(hidden_layer_sizes=(trained.hidden_units,))
        estimator.classes_ = labels_of(trained)
        estimator._label_binarizer = LabelBinarizer().fit(estimator.classes_)  # noqa: SLF001 - `predict` needs it
        if trained.n_classes == 2:
            # Their classifier has one logistic output for two classes, and ours a softmax of two.
            last = last._replace(
                weights=last.weights[:, 1:] - last.weights[:, :1], biases=last.biases[1:] - last.biases[:1]
            )
        estimator.out_activation_ = "logistic" if trained.n_classes == 2 else "softmax"
    else:
        if trained.loss == "poisson":
            raise HarnessError(
                "scikit-learn's MLPRegressor has no exponential output, which loss poisson needs",
                remedy="export it --to torch, or --to onnx",
            )
        estimator = MLPRegressor(hidden_layer_sizes=(trained.hidden_units,))
        estimator.out_activation_ = "identity"
    estimator.coefs_ = [_float64(layer.weights) for layer in (hidden, last)]
    estimator.intercepts_ = [_float64(layer.biases) for layer in (hidden, last)]
    estimator.n_layers_, estimator.n_outputs_ = 3, len(last.biases)
    return estimator


def _scaled(estimator: Any, scaling: Scaling) -> Any:  # noqa: ANN401
    from sklearn.pipeline import make_pipeline  # noqa: PLC0415
    from sklearn.preprocessing import StandardScaler  # noqa: PLC0415

    scaler = StandardScaler()
    scaler.mean_, scaler.scale_, scaler.var_ = scaling.mean, scaling.scale, scaling.scale**2
    scaler.n_features_in_, scaler.n_samples_seen_ = len(scaling.mean), 1
    return make_pipeline(scaler, estimator)


def _float64(array: NDArray[np.float32]) -> NDArray[np.float64]:
    return np.ascontiguousarray(array, np.float64)

"""Export to ONNX: from rows to labels and scores, with the scaling, the softmax and the user's labels inside.

    input                                              outputs
    rows     float32 (rows, features)                  label    int64, float32 or text (rows,)
             uint8 (rows, 3072) for images             scores   float32 (rows, labels)
                                                       value    float32 (rows,), of a regression in their place

The metadata hold the model's name, the labels and the names of the features as JSON.
"""

import json
from pathlib import Path
from typing import TYPE_CHECKING, cast

import numpy as np
import onnx
from onnx import TensorProto

from harness.errors import HarnessError
from harness.export.linear_form import centroids_of, is_linear, scores_of
from harness.export.onnx_graph import GraphBuilder, label_table
from training.model.catalogue import row_of
from training.run.model_file import TrainedModel

if TYPE_CHECKING:
    from training.model.neural import NeuralNetwork

Output = tuple[str, int, list[str | int]]

# A file of protocol buffers has at most 2 GiB.
_MOST_BYTES = (2 << 30) - (1 << 20)


def write(trained: TrainedModel, path: Path) -> None:
    """Store a model as ONNX.

    Raises:
        HarnessError: The model is too large for one file.
        OSError: The file cannot be written.
    """
    if trained.parameters.nbytes > _MOST_BYTES:
        raise HarnessError(
            f"the model has {trained.parameters.nbytes >> 20} MB, and a file of ONNX takes 2,047 MB",
            remedy="export it --to torch, or --to sklearn",
        )
    path.write_bytes(onnx_model(trained).SerializeToString())


def onnx_model(trained: TrainedModel) -> onnx.ModelProto:
    """Return the model as a checked graph.

    Raises:
        HarnessError: The model is a user's own, and cannot be exported.
    """
    if row_of(trained.model).own:
        from harness.export.own_module import onnx_of_module  # noqa: PLC0415 - PyTorch takes two seconds

        return onnx_of_module(trained, _metadata(trained))
    graph, images = GraphBuilder(), trained.data_type == "cifar10"
    rows = "rows"
    if images:
        rows = _affine_images(graph)
    elif trained.scaling is not None:
        # In double precision, as in training: float32 has 7 digits, and a timestamp needs more.
        rows = graph.add("Cast", rows, to=TensorProto.DOUBLE)
        rows = graph.add("Sub", rows, graph.constant(trained.scaling.mean))
        rows = graph.add("Div", rows, graph.constant(trained.scaling.scale))
        rows = graph.add("Cast", rows, to=TensorProto.FLOAT)
    if row_of(trained.model).is_clustering:
        outputs = [_label(graph, trained, _nearest(graph, trained, rows))]
    else:
        scores = _linear(graph, trained, rows) if is_linear(trained) else _network(graph, trained, rows)
        outputs = _outputs(graph, trained, scores)
    model = graph.model(
        TensorProto.UINT8 if images else TensorProto.FLOAT, trained.n_features, outputs, _metadata(trained)
    )
    onnx.checker.check_model(model)
    return model


def _metadata(trained: TrainedModel) -> dict[str, str]:
    metadata = {"model": trained.model}
    if not trained.is_regression:
        metadata["labels"] = json.dumps(trained.answers, ensure_ascii=False)
    if trained.schema is not None and trained.schema.features:
        metadata["features"] = json.dumps(trained.schema.features, ensure_ascii=False)
    return metadata


def _affine_images(graph: GraphBuilder) -> str:
    rows = graph.add("Cast", "rows", to=TensorProto.FLOAT)
    rows = graph.add("Div", rows, graph.constant(np.array(255, np.float32)))
    rows = graph.add("Sub", rows, graph.constant(np.array(0.5, np.float32)))
    return graph.add("Div", rows, graph.constant(np.array(0.25, np.float32)))


def _linear(graph: GraphBuilder, trained: TrainedModel, rows: str) -> str:
    """Return the scores before any softmax: one per class, or the one of a regression."""
    weights, biases = scores_of(trained)
    return graph.add("Gemm", rows, graph.constant(weights), graph.constant(biases))


def _outputs(graph: GraphBuilder, trained: TrainedModel, scores: str) -> list[Output]:
    if trained.is_regression:
        flat = graph.constant(np.array([-1], np.int64))
        if trained.loss == "poisson":
            scores = graph.add("Exp", scores)
        return [(graph.add("Reshape", scores, flat, output="value"), TensorProto.FLOAT, ["rows"])]
    operator = "Softmax" if trained.has_probabilities else "Identity"
    attributes = {"axis": 1} if trained.has_probabilities else {}
    scores = graph.add(operator, scores, output="scores", **attributes)
    number = graph.add("ArgMax", scores, axis=1, keepdims=0)
    return [_label(graph, trained, number), ("scores", TensorProto.FLOAT, ["rows", trained.n_classes])]


def _label(graph: GraphBuilder, trained: TrainedModel, number: str) -> Output:
    """Map the number of a class to the user's label."""
    labels, kind = label_table(trained.answers)
    table = graph.constant(labels)
    return (graph.add("Gather", table, number, output="label"), kind, ["rows"])


def _nearest(graph: GraphBuilder, trained: TrainedModel, rows: str) -> str:
    """Return the number of the nearest centroid: the least of ||c||^2 - 2 x.c, in double precision."""
    centroids = centroids_of(trained).astype(np.float64)
    rows = graph.add("Cast", rows, to=TensorProto.DOUBLE)
    products = graph.add("MatMul", rows, graph.constant(-2 * centroids.T))
    distances = graph.add("Add", products, graph.constant(np.square(centroids).sum(axis=1)))
    return graph.add("ArgMin", distances, axis=1, keepdims=0)


def _network(graph: GraphBuilder, trained: TrainedModel, rows: str) -> str:
    """Return the scores of a neural network before the softmax."""
    from harness.export.onnx_network import network_scores  # noqa: PLC0415 - PyTorch takes two seconds

    return network_scores(graph, cast("NeuralNetwork", trained.made()), trained.parameters, rows)

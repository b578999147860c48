"""The layers of our neural networks as operators of ONNX."""

import math
from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from harness.export.onnx_graph import GraphBuilder
from training.model.base import IMAGE_SHAPE, Parameters
from training.model.neural import (
    GROUPS,
    ChannelMeans,
    Convolution,
    Dense,
    Images,
    NeuralNetwork,
    Residual,
    Separable,
)

Arrays = Iterator[NDArray[np.float32]]

# The epsilon of PyTorch's group normalisation.
_EPSILON = 1e-5


def network_scores(graph: GraphBuilder, model: NeuralNetwork, parameters: Parameters, rows: str) -> str:
    """Add a network's layers to a graph, and return the name of its scores before the softmax."""
    ends = np.cumsum([math.prod(part.shape) for part in model.parts()])[:-1]
    pieces = np.split(parameters, ends)
    arrays = iter([piece.reshape(part.shape) for piece, part in zip(pieces, model.parts(), strict=True)])
    for layer in model.layers:
        rows = _layer(graph, layer, rows, arrays)
    return rows


def _layer(graph: GraphBuilder, layer: Any, x: str, arrays: Arrays) -> str:  # noqa: ANN401 - any layer
    if isinstance(layer, Dense):
        x = graph.add("Gemm", x, graph.constant(next(arrays)), graph.constant(next(arrays)), transB=1)
        return graph.add("Relu", x) if layer.relu else x
    if isinstance(layer, Images):
        return graph.add("Reshape", x, graph.constant(np.array([-1, *IMAGE_SHAPE], np.int64)))
    if isinstance(layer, ChannelMeans):
        return graph.add("ReduceMean", x, graph.constant(np.array([2, 3], np.int64)), keepdims=0)
    if isinstance(layer, Convolution):
        return _convolution(graph, layer, x, arrays)
    branch = x
    for convolution in layer._convolutions:  # noqa: SLF001 - what the layer is made of
        branch = _convolution(graph, convolution, branch, arrays)
    return branch if isinstance(layer, Separable) else _with_shortcut(graph, layer, x, branch)


def _convolution(graph: GraphBuilder, layer: Convolution, x: str, arrays: Arrays) -> str:
    x = graph.add(
        "Conv",
        x,
        graph.constant(next(arrays)),
        strides=[layer.stride] * 2,
        pads=[layer.size // 2] * 4,
        group=layer.groups,
    )
    scale, shift = graph.constant(next(arrays)), graph.constant(next(arrays))
    x = graph.add("GroupNormalization", x, scale, shift, num_groups=GROUPS, epsilon=_EPSILON)
    return graph.add("Relu", x) if layer.relu else x


def _with_shortcut(graph: GraphBuilder, layer: Residual, x: str, branch: str) -> str:
    def numbers(*values: int) -> str:
        return graph.constant(np.array(values, np.int64))

    end = np.iinfo(np.int64).max
    shortcut = graph.add(
        "Slice", x, numbers(0, 0), numbers(end, end), numbers(2, 3), numbers(layer.stride, layer.stride)
    )
    shortcut = graph.add("Pad", shortcut, numbers(0, 0, 0, 0, 0, layer.outputs - layer.inputs, 0, 0))
    return graph.add("Relu", graph.add("Add", branch, shortcut))

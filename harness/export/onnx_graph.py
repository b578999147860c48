"""A graph of ONNX under construction: operators in order, and constants.

https://onnx.ai/onnx/operators/
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from onnx import ModelProto, NodeProto, TensorProto, helper, numpy_helper

# GroupNormalization with a scale for each channel is of operator set 21; IR 10 belongs to it.
_OPSET, _IR_VERSION = 21, 10


def label_table(labels: Sequence[Any]) -> tuple[NDArray[Any], int]:
    """Return labels as an array with its type in ONNX: text if any of them is text, whole numbers or fractions."""
    if any(isinstance(label, str) for label in labels):
        return np.array([str(label) for label in labels], np.object_), TensorProto.STRING
    if all(isinstance(label, int) for label in labels):
        return np.array(labels, np.int64), TensorProto.INT64
    return np.array(labels, np.float32), TensorProto.FLOAT


class GraphBuilder:
    """Operators that are added in the order in which they run; every value has a name."""

    def __init__(self) -> None:
        self._nodes: list[NodeProto] = []
        self._constants: list[TensorProto] = []

    def constant(self, array: NDArray[Any]) -> str:
        """Add a constant and return its name."""
        name = f"constant_{len(self._constants)}"
        self._constants.append(numpy_helper.from_array(np.ascontiguousarray(array), name))
        return name

    def add(self, operator: str, *inputs: str, output: str | None = None, **attributes: Any) -> str:  # noqa: ANN401
        """Add an operator with one output, and return the output's name."""
        name = output or f"value_{len(self._nodes)}"
        self._nodes.append(helper.make_node(operator, list(inputs), [name], **attributes))
        return name

    def model(
        self,
        row_type: int,
        n_features: int,
        outputs: Sequence[tuple[str, int, list[str | int]]],
        metadata: dict[str, str],
    ) -> ModelProto:
        """Return the graph as a model, checked by ONNX.

        Args:
            row_type: The type of the input `rows`, (rows, features).
            n_features: Its columns.
            outputs: Name, type and shape of each output.
            metadata: Texts to store beside the graph.
        """
        graph = helper.make_graph(
            self._nodes,
            "model",
            [helper.make_tensor_value_info("rows", row_type, ["rows", n_features])],
            [helper.make_tensor_value_info(*output) for output in outputs],
            self._constants,
        )
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", _OPSET)], ir_version=_IR_VERSION)
        model.producer_name = "local-lambda-harness"
        helper.set_model_props(model, metadata)
        return model

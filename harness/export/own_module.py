"""Export of models of users' own: the state dict of their torch.nn.Module, or its graph in ONNX.

The module's source is the user's, and stays where it is. What predictions need beside it is written as JSON: what the
constructor was called with, the scaling of the rows, and the labels.

https://docs.pytorch.org/docs/stable/onnx_export.html
"""

import json
import logging
import warnings
from pathlib import Path
from typing import Any

import onnx
import torch
from onnx import helper, numpy_helper
from torch import Tensor, nn

from harness.errors import HarnessError
from harness.export.beside import check_beside
from harness.export.onnx_graph import label_table
from training.model.base import IMAGE_SHAPE
from training.model.torch_module import TorchModel
from training.run.model_file import TrainedModel


def write_state(trained: TrainedModel, path: Path) -> list[Path]:
    """Store the state dict of the user's module, and beside it a JSON file with what predictions need further.

    Raises:
        HarnessError: The model is no module of PyTorch's, or the JSON would replace another file.
        OSError: A file cannot be written.
    """
    module = _torch_model(trained).filled(trained.parameters)
    beside = path.with_suffix(".json")
    if beside == path:
        raise HarnessError("the weights and the file beside them would be one", str(path), "name a .pt file")
    check_beside(beside, '"constructor": {')
    # Copies: the arrays are views of one flat vector.
    torch.save({name: array.detach().clone() for name, array in module.state_dict().items()}, path)
    scaling = trained.scaling
    facts = {
        "model": trained.model,
        "constructor": json.loads(trained.facts),
        "labels": None if trained.is_regression else trained.answers,
        "mean": None if scaling is None else scaling.mean.tolist(),
        "scale": None if scaling is None else scaling.scale.tolist(),
    }
    beside.write_text(json.dumps(facts, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    return [path, beside]


def onnx_of_module(trained: TrainedModel, metadata: dict[str, str]) -> onnx.ModelProto:
    """Return the user's module as a checked graph, from rows to labels and scores.

    Raises:
        HarnessError: The model is no module of PyTorch's, or PyTorch cannot export it.
    """
    network = _Scored(trained).eval()
    images = trained.data_type == "cifar10"
    example = torch.zeros((3, trained.n_features), dtype=torch.uint8 if images else torch.float32)
    # It warns about every operator of torchvision, where that is missing.
    logging.getLogger("torch.onnx").setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            program: Any = torch.onnx.export(
                network,
                (example,),
                input_names=["rows"],
                output_names=["value" if trained.is_regression else "scores"],
                dynamic_shapes=({0: torch.export.Dim("rows")},),
                dynamo=True,
                verbose=False,
            )
    except Exception as error:
        first = next(iter(str(error).strip().splitlines()), type(error).__name__)
        raise HarnessError(
            f"PyTorch cannot export model {trained.model} to ONNX", first, "export it --to torch"
        ) from error
    model: onnx.ModelProto = program.model_proto
    if not trained.is_regression:
        _add_labels(model, trained)
    helper.set_model_props(model, metadata)
    onnx.checker.check_model(model)
    return model


class _Scored(nn.Module):  # type: ignore[misc] # PyTorch's types are not checked
    """From rows as the data has them to scores, or to predicted numbers (rows,)."""

    def __init__(self, trained: TrainedModel) -> None:
        super().__init__()
        self._model, self._trained = _torch_model(trained), trained
        self.module = self._model.filled(trained.parameters)
        self.dtype = next(iter(self.module.parameters())).dtype
        if trained.scaling is not None:
            self.register_buffer("mean", torch.tensor(trained.scaling.mean))
            self.register_buffer("scale", torch.tensor(trained.scaling.scale))

    def forward(self, rows: Tensor) -> Tensor:
        """Return the scores (rows, labels)."""
        if self._trained.data_type == "cifar10":
            rows = ((rows.float() / 255 - 0.5) / 0.25).view(-1, *IMAGE_SHAPE)
        elif self._trained.scaling is not None:
            rows = ((rows.double() - self.mean) / self.scale).float()
        scores = self._model.scored(self.module(rows.to(self.dtype))).float()
        return scores[:, 0] if self._trained.is_regression else scores


def _torch_model(trained: TrainedModel) -> TorchModel:
    model = trained.made()
    if not isinstance(model, TorchModel):
        raise HarnessError(
            f"model {trained.model} is an object in NumPy, which no other library knows",
            remedy='its parameters are in model.npz: `numpy.load(path)["parameters"]`',
        )
    return model


def _add_labels(model: onnx.ModelProto, trained: TrainedModel) -> None:
    """Append the label of the largest score to a graph."""
    table, kind = label_table(trained.answers)
    model.graph.initializer.append(numpy_helper.from_array(table, "labels"))
    model.graph.node.extend(
        [
            helper.make_node("ArgMax", ["scores"], ["class_number"], axis=1, keepdims=0),
            helper.make_node("Gather", ["labels", "class_number"], ["label"]),
        ]
    )
    scores = model.graph.output.pop()
    model.graph.output.extend([helper.make_tensor_value_info("label", kind, ["rows"]), scores])

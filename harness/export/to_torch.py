"""Export to PyTorch: a state dict that `torch.load(weights_only=True)` reads, and the source of its module beside it.

https://docs.pytorch.org/docs/stable/notes/serialization.html
"""

import importlib.util
import math
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from harness.errors import HarnessError
from harness.export.beside import check_beside
from harness.export.linear_form import is_linear, scores_of
from harness.export.network_source import EXPORTED, source_of
from training.model.catalogue import row_of
from training.run.model_file import TrainedModel


def write(trained: TrainedModel, path: Path, title: str) -> list[Path]:
    """Store a model as a state dict, with the source of its module in a file of the same name that ends in `.py`.

    Args:
        trained: The model.
        path: The file for the state dict.
        title: What the model is, for the source.

    Returns:
        The files.

    Raises:
        HarnessError: The model is no module of PyTorch's, or the source would replace another file.
        OSError: A file cannot be written.
    """
    import torch  # noqa: PLC0415 - it takes two seconds

    if row_of(trained.model).own:
        from harness.export.own_module import write_state  # noqa: PLC0415 - as above

        return write_state(trained, path)
    if trained.is_clustering:
        raise HarnessError(
            f"model {trained.model} is no PyTorch module: its centroids have no gradient",
            remedy="export it --to sklearn, or --to onnx",
        )
    source = path.with_suffix(".py")
    if source == path:
        raise HarnessError("the weights and their module's source would be one file", str(path), "name a .pt file")
    check_beside(source, EXPORTED)
    source.write_text(source_of(trained, title, path.name), encoding="utf-8")
    torch.save(_filled(trained, source).state_dict(), path)
    return [path, source]


def _filled(trained: TrainedModel, source: Path) -> Any:  # noqa: ANN401 - PyTorch's types are not checked
    """Return the module that the source defines, with the trained weights."""
    import torch  # noqa: PLC0415

    spec = importlib.util.spec_from_file_location("exported", source)
    if spec is None or spec.loader is None:
        raise HarnessError("the module's source cannot be imported", str(source))
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    network = module.Network()
    flat, first = _flat(trained), 0
    with torch.no_grad():
        for parameter in network.parameters():
            size = math.prod(parameter.shape)
            parameter.copy_(torch.tensor(flat[first : first + size]).view(parameter.shape))
            first += size
        if trained.scaling is not None:
            network.mean.copy_(torch.tensor(trained.scaling.mean))
            network.scale.copy_(torch.tensor(trained.scaling.scale))
    return network


def _flat(trained: TrainedModel) -> NDArray[np.float32]:
    """Return the parameters in the module's order; that of a network is ours."""
    if not is_linear(trained):
        return trained.parameters
    weights, biases = scores_of(trained)
    return np.concatenate([weights.T.ravel(), biases])

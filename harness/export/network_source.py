"""The source of a PyTorch module that computes what a built-in model computes, for a user without our code.

A layer is written as a call of PyTorch's, or of a block below; only the blocks in use are written.
The module's parameters have the order of our flat vector.
"""

import re
from dataclasses import dataclass
from pathlib import Path

from harness.export.linear_form import is_linear
from training.run.model_file import TrainedModel

# In the docstring of every module that an export writes.
EXPORTED = "exported from a trained model."
# Text of the module: its beginning, the blocks, and the network.
_TEMPLATES = Path(__file__).with_name("templates")
_BLOCKS = {
    "Convolution": "convolution",
    "Separable": "separable",
    "Residual": "residual",
    "ChannelMeans": "channel_means",
}
_NEEDS = {"Separable": ("Convolution",), "Residual": ("Convolution",)}

_SCALED = """
        # The training rows' mean and standard deviation.
        self.register_buffer("mean", torch.zeros({features}, dtype=torch.float64))
        self.register_buffer("scale", torch.ones({features}, dtype=torch.float64))"""
_PLAIN = "        return self.layers(rows)"
_SCALE_ROWS = "        return self.layers(((rows.double() - self.mean) / self.scale).float())"
_IMAGE_ROWS = """\
        if rows.dtype == torch.uint8:
            rows = (rows.float() / 255 - 0.5) / 0.25
        return self.layers(rows)"""

_PREDICT = '''
    @torch.inference_mode()
    def predict(self, rows):
        """Return the label of each row."""
        return [LABELS[number] for number in self(rows).argmax(dim=1).tolist()]
'''
_PROBABILITIES = '''
    @torch.inference_mode()
    def predict_proba(self, rows):
        """Return the probability of each label, (rows, labels)."""
        return self(rows).softmax(dim=1)
'''
_REGRESSION = '''
    @torch.inference_mode()
    def predict(self, rows):
        """Return the predicted number of each row."""
        return self(rows)[:, 0]{link}
'''


@dataclass(frozen=True, slots=True)
class _Layers:
    """The layers as source.

    Attributes:
        calls: Arguments of `nn.Sequential`, one a line.
        blocks: The blocks that they need.
    """

    calls: list[str]
    blocks: set[str]


def source_of(trained: TrainedModel, title: str, weights: str) -> str:
    """Return the source of the module.

    Args:
        trained: A linear model or one of our networks.
        title: What the model is, for the docstring.
        weights: The name of the file with its weights.
    """
    found = _layers_of(trained)
    # A file's name may hold quotes.
    header = _text("header").format(title=re.sub(r"[^\w ,.:-]", "_", title), **_described(trained))
    labels = "" if trained.is_regression else f"\nLABELS = {trained.answers!r}\n"
    blocks = "".join(_text(file) for name, file in _BLOCKS.items() if name in found.blocks)
    forward = _SCALE_ROWS if trained.scaling else _IMAGE_ROWS if trained.data_type == "cifar10" else _PLAIN
    if trained.is_regression:
        methods = _REGRESSION.format(link=".exp()" if trained.loss == "poisson" else "")
    else:
        methods = _PREDICT + (_PROBABILITIES if trained.has_probabilities else "")
    network = _text("network").format(
        buffers=_SCALED.format(features=trained.n_features) if trained.scaling else "",
        layers="\n".join(f"            {call}," for call in found.calls),
        forward=forward,
        methods=methods,
        weights=weights,
    )
    return header + labels + blocks + network


def _described(trained: TrainedModel) -> dict[str, str]:
    images = trained.data_type == "cifar10"
    if trained.is_regression:
        predicts, more = "the predicted numbers", ""
    else:
        predicts, more = "the label of each row", ""
    if trained.has_probabilities:
        more = "    model.predict_proba(rows)    the probability of each label\n"
    kind = "uint8 (rows, 3072): the red, green and blue of 32 x 32 pixels each" if images else ""
    scores = "one number per row" if trained.is_regression else "one score per label"
    if trained.has_probabilities:
        scores += ", before the softmax"
    elif trained.loss == "poisson":
        scores += ", the logarithm of the prediction"
    return {
        "predicts": predicts,
        "more": more,
        "rows": kind or f"float32 (rows, {trained.n_features})",
        "scores": scores,
    }


def _layers_of(trained: TrainedModel) -> _Layers:
    if is_linear(trained):
        outputs = 1 if trained.is_regression else trained.n_classes
        return _Layers([f"nn.Linear({trained.n_features}, {outputs})"], set())
    calls: list[str] = []
    blocks: set[str] = set()
    for layer in trained.made().layers:  # type: ignore[attr-defined] # only networks get here
        kind = type(layer).__name__
        if kind == "Dense":
            calls += [f"nn.Linear({layer.inputs}, {layer.outputs})"] + ["nn.ReLU()"] * layer.relu
        elif kind == "Images":
            calls.append("nn.Unflatten(1, (3, 32, 32))")
        else:
            # A layer's text is a call of the block of the same name.
            calls.append("ChannelMeans()" if kind == "ChannelMeans" else repr(layer))
            blocks |= {kind, *_NEEDS.get(kind, ())}
    return _Layers(calls, blocks)


def _text(name: str) -> str:
    return (_TEMPLATES / f"{name}.txt").read_text(encoding="utf-8")

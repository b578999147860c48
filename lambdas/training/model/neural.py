"""Neural networks in PyTorch: `mlp`, `mobilenet` and `resnet`, over one flat float32 vector like every other model.

A network is a sequence of layers.
A layer lists its arrays (`parts`) and is a pure function of its input and these arrays. The arrays are views of the
flat vector, layer by layer, so autograd returns the gradient as one flat vector too.
A network has no state between two calls, so several threads may share it.

Images are rows of 3072 bytes in CIFAR's order (1024 red, 1024 green, 1024 blue, each 32 x 32 by rows).
Bytes are normalised inside, (x / 255 - 0.5) / 0.25; float32 rows are taken as they are.

Convolutions are followed by group normalisation (Wu & He 2018, Group Normalization), not by batch normalisation.
It normalises each row by itself. A gradient therefore stays a sum over rows, n workers compute what one worker computes
on all their rows, and there is no running mean to exchange besides the parameters.

The layers for ten classes; each convolution includes its normalisation, a scale and a shift per channel.

    mlp on images, 64 hidden units       output         parameters
      dense, relu                        64                196,672
      dense                              10                    650
      total                                                197,322

    mobilenet                            output         parameters
      conv 3x3, relu                     16 x 32 x 32          464
      separable                          32 x 32 x 32          752
      separable, stride 2                64 x 16 x 16        2,528
      separable                          64 x 16 x 16        4,928
      separable, stride 2                128 x 8 x 8         9,152
      separable                          128 x 8 x 8        18,048
      separable, stride 2                256 x 4 x 4        34,688
      separable                          256 x 4 x 4        68,864
      mean of each channel               256
      dense                              10                  2,570
      total                                                141,994

    resnet (ResNet-8)                    output         parameters
      conv 3x3, relu                     16 x 32 x 32          464
      residual                           16 x 32 x 32        4,672
      residual, stride 2                 32 x 16 x 16       13,952
      residual, stride 2                 64 x 8 x 8         55,552
      mean of each channel               64
      dense                              10                    650
      total                                                 75,290

mobilenet: Howard et al. 2017, MobileNets, table 1, at width 0.5 up to its seventh separable layer, for images of
32 x 32: the first convolution keeps the size.
`separable` is a depthwise 3x3 convolution and a pointwise one, each normalised and rectified.

resnet: He et al. 2016, Deep Residual Learning for Image Recognition, section 4.2, depth 6n + 2 with n = 1.
`residual` is two 3x3 convolutions in parallel with a shortcut without parameters (their option A).

Initial weights have the variance of He et al. 2015, Delving Deep into Rectifiers, 2 / inputs, and are uniformly
distributed: the last bits of torch's normal numbers depend on the processor, and all ranks must start with the same.

The same inputs give the same bits on the same kind of processor with the same number of threads.
Importing torch takes two seconds and 190 MB, so this module is imported only when a job needs it.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Literal, NamedTuple, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

import training.model.torch_settings  # noqa: F401 - threads and determinism
from training.errors import InputError
from training.model.base import IMAGE_SHAPE, Evaluation, LossAndGradient, Parameters, Rows, Targets
from training.model.loss_kinds import LossKind
from training.model.torch_losses import predicted, summed_loss

IMAGE_FEATURES = math.prod(IMAGE_SHAPE)
# Wu & He found little difference between group sizes; 8 divides the number of channels of every layer here.
GROUPS = 8


class Part(NamedTuple):
    """One array of the flat parameters.

    Attributes:
        kind: A `weight` is penalised, a `scale` starts at 1, a `shift` at 0.
        shape: For a weight: outputs, inputs of one output, and the kernel's height and width.
    """

    kind: Literal["weight", "scale", "shift"]
    shape: tuple[int, ...]


class Layer(Protocol):
    """One step of a network."""

    def parts(self) -> list[Part]:
        """Return the layer's arrays, in the order in which it reads them."""

    def __call__(self, x: Tensor, arrays: Iterator[Tensor]) -> Tensor:
        """Return the output for input `x` (rows, ...), reading the layer's arrays from `arrays`."""


@dataclass(frozen=True, slots=True)
class Dense:
    """x W' + b, from (rows, inputs) to (rows, outputs)."""

    inputs: int
    outputs: int
    relu: bool = False

    def parts(self) -> list[Part]:
        """Return weight and bias."""
        return [Part("weight", (self.outputs, self.inputs)), Part("shift", (self.outputs,))]

    def __call__(self, x: Tensor, arrays: Iterator[Tensor]) -> Tensor:
        """Return the outputs of the rows."""
        x = functional.linear(x, next(arrays), next(arrays))
        return functional.relu(x) if self.relu else x


@dataclass(frozen=True, slots=True)
class Convolution:
    """A square kernel over (rows, inputs, height, width), then group normalisation; `groups=inputs` is depthwise."""

    inputs: int
    outputs: int
    size: int
    stride: int = 1
    groups: int = 1
    relu: bool = True

    def parts(self) -> list[Part]:
        """Return the kernel and the normalisation's scale and shift; normalisation would cancel a bias."""
        kernel = (self.outputs, self.inputs // self.groups, self.size, self.size)
        return [Part("weight", kernel), Part("scale", (self.outputs,)), Part("shift", (self.outputs,))]

    def __call__(self, x: Tensor, arrays: Iterator[Tensor]) -> Tensor:
        """Return the channels of the rows; padding keeps their size, which only the stride reduces."""
        x = functional.conv2d(x, next(arrays), stride=self.stride, padding=self.size // 2, groups=self.groups)
        x = functional.group_norm(x, GROUPS, next(arrays), next(arrays))
        return functional.relu(x) if self.relu else x


@dataclass(frozen=True, slots=True)
class Separable:
    """A convolution in two: 3x3 within each channel, then 1x1 across channels."""

    inputs: int
    outputs: int
    stride: int = 1

    @property
    def _convolutions(self) -> tuple[Convolution, Convolution]:
        return (
            Convolution(self.inputs, self.inputs, 3, self.stride, groups=self.inputs),
            Convolution(self.inputs, self.outputs, 1),
        )

    def parts(self) -> list[Part]:
        """Return the arrays of both convolutions."""
        return [part for convolution in self._convolutions for part in convolution.parts()]

    def __call__(self, x: Tensor, arrays: Iterator[Tensor]) -> Tensor:
        """Return the channels of the rows."""
        for convolution in self._convolutions:
            x = convolution(x, arrays)
        return x


@dataclass(frozen=True, slots=True)
class Residual:
    """Two convolutions in parallel with a shortcut, which skips pixels and pads channels where the image shrinks."""

    inputs: int
    outputs: int
    stride: int = 1

    @property
    def _convolutions(self) -> tuple[Convolution, Convolution]:
        return (
            Convolution(self.inputs, self.outputs, 3, self.stride),
            Convolution(self.outputs, self.outputs, 3, relu=False),
        )

    def parts(self) -> list[Part]:
        """Return the arrays of both convolutions."""
        return [part for convolution in self._convolutions for part in convolution.parts()]

    def __call__(self, x: Tensor, arrays: Iterator[Tensor]) -> Tensor:
        """Return the channels of the rows."""
        branch = x
        for convolution in self._convolutions:
            branch = convolution(branch, arrays)
        shortcut = x[:, :, :: self.stride, :: self.stride]
        new_channels = self.outputs - self.inputs
        return functional.relu(branch + functional.pad(shortcut, (0, 0, 0, 0, 0, new_channels)))


class Images:
    """Rows of 3072 numbers become (rows, 3, 32, 32)."""

    def parts(self) -> list[Part]:
        """Return no arrays."""
        return []

    def __call__(self, x: Tensor, arrays: Iterator[Tensor]) -> Tensor:  # noqa: ARG002 - has none
        """Return the rows as images."""
        return x.view(-1, *IMAGE_SHAPE)


class ChannelMeans:
    """(rows, channels, height, width) become (rows, channels)."""

    def parts(self) -> list[Part]:
        """Return no arrays."""
        return []

    def __call__(self, x: Tensor, arrays: Iterator[Tensor]) -> Tensor:  # noqa: ARG002 - has none
        """Return the mean over each channel's pixels."""
        return x.mean(dim=(2, 3))


@dataclass(frozen=True, slots=True)
class NeuralNetwork:
    """Layers and a summed loss: cross-entropy of a softmax, or one of a regression; see `training.model.base.Model`.

    Attributes:
        layers: From rows to one score per class.
        n_classes: Number of classes; 1 for a regression.
        rows_at_once: Rows that pass the layers together. Sums are accumulated piece by piece, so the memory needed does
            not grow with the batch.
        weights: The weight of each class; None where all count alike.
        loss: The loss; see `training.model.regression` for those of a regression, whose layers have one output.
        huber_delta: Where the Huber loss turns linear.
    """

    layers: tuple[Layer, ...]
    n_classes: int
    rows_at_once: int
    weights: tuple[float, ...] | None = None
    loss: LossKind = "cross_entropy"
    huber_delta: float = 1.0

    def parts(self) -> list[Part]:
        """Return the arrays of the flat vector, in order."""
        return [part for layer in self.layers for part in layer.parts()]

    def initial(self, seed: int) -> Parameters:
        """Return random weights from a separate generator, scales of 1, and biases and shifts of 0."""
        generator = torch.Generator().manual_seed(seed)
        starts = [_start(part, generator).flatten() for part in self.parts()]
        parameters: Parameters = torch.cat(starts).numpy()
        return parameters

    def penalised(self) -> Parameters:
        """Return 1 for weights, and 0 for biases and for the scales and shifts of normalisations."""
        marks = [np.full(math.prod(shape), kind == "weight", np.float32) for kind, shape in self.parts()]
        return np.concatenate(marks)

    def loss_and_gradient(self, parameters: Parameters, x: Rows, y: Targets) -> LossAndGradient:
        """Return the summed loss of rows `x` with classes or targets `y` (rows,), and its gradient."""
        flat = _tensor(parameters).requires_grad_()
        flat.grad = torch.zeros_like(flat)  # `backward` adds to it
        total = 0.0
        for rows in self._pieces(len(y)):
            loss = self._loss(self._scores(flat, x[rows]), _tensor(y[rows]))
            torch.autograd.backward(loss)
            total += loss.item()
        return LossAndGradient(total, flat.grad.numpy(), len(y))

    def evaluate(self, parameters: Parameters, x: Rows, y: Targets) -> Evaluation:
        """Return the summed loss and the scores of rows; see `Model`."""
        flat, loss, found = _tensor(parameters), 0.0, np.empty((len(y), self.n_classes), np.float32)
        for rows in self._pieces(len(y)):
            with torch.inference_mode():
                scores = self._scores(flat, x[rows])
                loss += self._loss(scores, _tensor(y[rows])).item()
                found[rows] = predicted(self.loss, scores).numpy()
        return Evaluation(loss, len(y), found)

    def predict(self, parameters: Parameters, x: Rows) -> NDArray[np.float32]:
        """Return the probability of each class (rows, classes), or the predictions of a regression (rows, 1)."""
        flat = _tensor(parameters)
        found = np.empty((len(x), self.n_classes), np.float32)
        for rows in self._pieces(len(x)):
            with torch.inference_mode():
                found[rows] = predicted(self.loss, self._scores(flat, x[rows])).numpy()
        return found

    def weighted(self, weights: Sequence[float]) -> "NeuralNetwork":
        """Return the network with the loss of each row weighted; see `Weighable`."""
        return replace(self, weights=tuple(weights))

    def _loss(self, outputs: Tensor, targets: Tensor) -> Tensor:
        weight = None if self.weights is None else torch.tensor(self.weights, dtype=outputs.dtype)
        return summed_loss(self.loss, outputs, targets, huber_delta=self.huber_delta, weight=weight)

    def _scores(self, flat: Tensor, x: Rows) -> Tensor:
        parts = self.parts()
        # The gradient of one split is one concatenation; that of slices would add one full-length vector per array.
        pieces = torch.split(flat, [math.prod(part.shape) for part in parts])
        arrays = iter([piece.view(part.shape) for piece, part in zip(pieces, parts, strict=True)])
        outputs = _normalised(x)
        for layer in self.layers:
            outputs = layer(outputs, arrays)
        return outputs

    def _pieces(self, rows: int) -> Iterator[slice]:
        return (slice(start, start + self.rows_at_once) for start in range(0, rows, self.rows_at_once))


def mlp(
    n_features: int, n_classes: int, hidden_units: int, loss: LossKind = "cross_entropy", huber_delta: float = 1.0
) -> NeuralNetwork:
    """Return a network of one hidden layer."""
    layers = (Dense(n_features, hidden_units, relu=True), Dense(hidden_units, n_classes))
    return NeuralNetwork(layers, n_classes, rows_at_once=1024, loss=loss, huber_delta=huber_delta)


def mobilenet(n_features: int, n_classes: int) -> NeuralNetwork:
    """Return depthwise separable convolutions; the module's docstring has the table.

    Raises:
        InputError: The rows are no images.
    """
    _check_images("mobilenet", n_features)
    layers = (
        Images(),
        Convolution(3, 16, 3),
        Separable(16, 32),
        Separable(32, 64, stride=2),
        Separable(64, 64),
        Separable(64, 128, stride=2),
        Separable(128, 128),
        Separable(128, 256, stride=2),
        Separable(256, 256),
        ChannelMeans(),
        Dense(256, n_classes),
    )
    return NeuralNetwork(layers, n_classes, rows_at_once=32)


def resnet(n_features: int, n_classes: int, blocks: int = 1) -> NeuralNetwork:
    """Return residual convolutions in three stages of `blocks` blocks each.

    One block gives ResNet-8 (the module's table), three give ResNet-20.

    Raises:
        InputError: The rows are no images.
    """
    _check_images("resnet", n_features)
    layers: tuple[Layer, ...] = (
        Images(),
        Convolution(3, 16, 3),
        *[Residual(16, 16)] * blocks,
        Residual(16, 32, stride=2),
        *[Residual(32, 32)] * (blocks - 1),
        Residual(32, 64, stride=2),
        *[Residual(64, 64)] * (blocks - 1),
        ChannelMeans(),
        Dense(64, n_classes),
    )
    return NeuralNetwork(layers, n_classes, rows_at_once=32)


def _check_images(name: str, n_features: int) -> None:
    if n_features != IMAGE_FEATURES:
        raise InputError(
            f"model={name} needs n_features={IMAGE_FEATURES} (3 colours of 32 x 32 pixels); got {n_features}"
        )


def _start(part: Part, generator: torch.Generator) -> Tensor:
    if part.kind == "weight":
        width = 2 * math.sqrt(6 / math.prod(part.shape[1:]))
        return (torch.rand(part.shape, generator=generator) - 0.5) * width
    return torch.full(part.shape, float(part.kind == "scale"))


def _normalised(x: Rows) -> Tensor:
    rows = _tensor(x)
    return rows.float().div_(255).sub_(0.5).div_(0.25) if rows.dtype == torch.uint8 else rows


def _tensor(array: NDArray[np.generic]) -> Tensor:
    # Copy on purpose: torch aligns its own memory, and the grouping of sums, hence their last bits, may depend on that.
    return torch.tensor(array)

"""Losses of PyTorch models, summed over rows, and the predictions that belong to them.

`training.model.linear` and `training.model.regression` have their formulas. Only models in PyTorch import this module.
"""

from torch import Tensor
from torch.nn import functional

from training.model.loss_kinds import LossKind


def summed_loss(
    loss: LossKind, outputs: Tensor, targets: Tensor, *, huber_delta: float = 1.0, weight: Tensor | None = None
) -> Tensor:
    """Return the loss of some rows.

    Args:
        loss: Its name.
        outputs: What the model's last layer gives: (rows, classes), or (rows, 1) for a regression.
        targets: Classes (rows,), int64, or targets (rows,), float32.
        huber_delta: Where the Huber loss turns linear.
        weight: The weight of each class; None where all count alike.
    """
    if loss == "squared":
        return 0.5 * functional.mse_loss(outputs[:, 0], targets, reduction="sum")
    if loss == "huber":
        return functional.huber_loss(outputs[:, 0], targets, reduction="sum", delta=huber_delta)
    if loss == "poisson":
        return (outputs[:, 0].exp() - targets * outputs[:, 0]).sum()
    return functional.cross_entropy(outputs, targets, weight, reduction="sum")


def predicted(loss: LossKind, outputs: Tensor) -> Tensor:
    """Return the probability of each class, or the predictions of a regression (rows, 1)."""
    if loss == "cross_entropy":
        return outputs.softmax(dim=1)
    return outputs.exp() if loss == "poisson" else outputs

"""The significance filter: a coordinate of an update is sent once its accumulated step is significant.

A step is significant if it exceeds `threshold / sqrt(round)` of the parameter it changes.
Until then the coordinate accumulates in a residual, and is then sent in full; nothing is lost.
Sarroca and Sanchez-Artigas 2022, MLLess: Achieving Cost Efficiency in Serverless Machine Learning Training.
"""

import math

import msgspec
import numpy as np

from training.exchange.exchange import Exchange
from training.model.base import Parameters


class Held(msgspec.Struct):
    """A rank's private state between two rounds.

    Attributes:
        residual: The updates held back.
        sent: Coordinates sent so far.
        offered: Coordinates offered so far.
    """

    residual: Parameters
    sent: int = 0
    offered: int = 0


class SignificanceFilter:
    """Holds back the insignificant coordinates of updates.

    Args:
        threshold: Share of a parameter; 0 sends everything.
        size: Number of parameters.
        exchange: Restores the residual of a rank that rejoins.
    """

    def __init__(self, threshold: float, size: int, exchange: Exchange) -> None:
        self._threshold = threshold
        self.held: Held | None = None
        if threshold > 0:
            held = exchange.resume_private(Held, lambda: Held(np.zeros(size, np.float32)))
            self.held = Held(held.residual.copy(), held.sent, held.offered)

    def select(self, gradient: Parameters, parameters: Parameters, step: float, round_number: int) -> Parameters:
        """Return the coordinates of a gradient to send now, and zero elsewhere.

        Args:
            gradient: This rank's summed gradient of the round.
            parameters: The parameters that it changes.
            step: Factor from a gradient to a change of the parameters.
            round_number: From 1; the threshold falls with it.
        """
        if self.held is None:
            return gradient
        residual = self.held.residual
        residual += gradient
        bound = np.float32(self._threshold / math.sqrt(round_number)) * np.abs(parameters)
        matters = np.abs(np.float32(step) * residual) > bound
        selected = np.where(matters, residual, np.float32(0))
        residual -= selected
        self.held.sent += int(np.count_nonzero(matters))
        self.held.offered += gradient.size
        return selected

    def details(self) -> dict[str, float]:
        """Return the share of coordinates that were sent; nothing if the filter is off."""
        return {"sent_share": self.held.sent / self.held.offered} if self.held and self.held.offered else {}

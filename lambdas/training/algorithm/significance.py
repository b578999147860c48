"""The significance filter: a coordinate of an update is sent once what has gathered there matters.

A coordinate matters when its gathered step exceeds `threshold / sqrt(round)` of the parameter it changes.
What is held back stays as a residual and is sent, whole, as soon as it does; nothing is lost.
Sarroca and Sanchez-Artigas 2022, MLLess: Achieving Cost Efficiency in Serverless Machine Learning Training.
"""

import math

import msgspec
import numpy as np

from training.exchange.exchange import Exchange
from training.model.base import Parameters


class Held(msgspec.Struct):
    """What one rank alone has between two rounds.

    Attributes:
        residual: What was held back.
        sent: Coordinates sent so far.
        offered: Coordinates that could have been sent.
    """

    residual: Parameters
    sent: int = 0
    offered: int = 0


class SignificanceFilter:
    """Holds back what does not matter yet.

    Args:
        threshold: Share of a parameter; 0 sends everything.
        size: Number of parameters.
        exchange: Knows what this rank held back, if it comes back.
    """

    def __init__(self, threshold: float, size: int, exchange: Exchange) -> None:
        self._threshold = threshold
        self.held: Held | None = None
        if threshold > 0:
            held = exchange.resume_private(Held, lambda: Held(np.zeros(size, np.float32)))
            self.held = Held(held.residual.copy(), held.sent, held.offered)

    def select(self, gradient: Parameters, parameters: Parameters, step: float, round_number: int) -> Parameters:
        """What of a gradient is sent now, zero elsewhere.

        Args:
            gradient: This rank's summed gradient of the round.
            parameters: What it changes.
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
        """Share of all coordinates that was sent; nothing when the filter is off."""
        return {"sent_share": self.held.sent / self.held.offered} if self.held and self.held.offered else {}

"""The significance filter: a coordinate of an update is sent once what has gathered there matters.

A coordinate matters when its gathered step exceeds `threshold / sqrt(round)` of the parameter it changes.
What is held back stays as a residual and is sent, whole, as soon as it does; nothing is lost.
Sarroca and Sanchez-Artigas 2022, MLLess: Achieving Cost Efficiency in Serverless Machine Learning Training.
"""

import math

import numpy as np

from training.model.base import Parameters


class SignificanceFilter:
    """Holds back what does not matter yet.

    Args:
        threshold: Share of a parameter; 0 sends everything.
        size: Number of parameters.
    """

    def __init__(self, threshold: float, size: int) -> None:
        self._threshold = threshold
        self._residual = np.zeros(size, np.float32)
        self._sent = self._offered = 0

    def select(self, gradient: Parameters, parameters: Parameters, step: float, round_number: int) -> Parameters:
        """What of a gradient is sent now, zero elsewhere.

        Args:
            gradient: This rank's summed gradient of the round.
            parameters: What it changes.
            step: Factor from a gradient to a change of the parameters.
            round_number: From 1; the threshold falls with it.
        """
        if self._threshold == 0:
            return gradient
        self._residual += gradient
        bound = np.float32(self._threshold / math.sqrt(round_number)) * np.abs(parameters)
        matters = np.abs(np.float32(step) * self._residual) > bound
        selected = np.where(matters, self._residual, np.float32(0))
        self._residual -= selected
        self._sent += int(np.count_nonzero(matters))
        self._offered += gradient.size
        return selected

    def details(self) -> dict[str, float]:
        """Share of all coordinates that was sent; nothing when the filter is off."""
        return {"sent_share": self._sent / self._offered} if self._offered else {}

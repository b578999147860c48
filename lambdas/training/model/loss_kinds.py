"""The losses that training minimises, by name; the coordinator imports this module and has no NumPy."""

from typing import Literal

LossKind = Literal["cross_entropy", "hinge", "inertia", "squared", "huber", "poisson"]
REGRESSION: tuple[LossKind, ...] = ("squared", "huber", "poisson")

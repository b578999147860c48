"""Optimisers: how an averaged gradient changes the parameters.

With g the gradient, r the learning rate of the step, t its number, and m = `momentum`:

    sgd        v <- m v + g
               x <- x - r v

    nesterov   v <- m v + g
               x <- x - r (g + m v)                 x is the point ahead, where gradients are computed

    adam       a <- beta1 a + (1 - beta1) g
               b <- beta2 b + (1 - beta2) g^2
               x <- x - r a' / (sqrt(b') + epsilon)     a' = a / (1 - beta1^t), b' = b / (1 - beta2^t)

    adamw      as adam, after x <- x - r weight_decay x

An l1 penalty has no gradient at 0. Each step is therefore followed by the proximal step of the penalty, the soft
threshold S(x, c) = sign(x) max(|x| - c, 0), so that small weights become exactly 0. Momentum then comes from the
points themselves, d = x - (x before), since velocities would not know what the threshold took away:

    sgd        x <- S(x - r g + m d, r lambda)                                  inertial proximal descent
    nesterov   z <- S(x - r g, r lambda); x <- z + m (z - z before)             FISTA with a constant momentum
    adam       x <- S(x - r a' / (sqrt(b') + epsilon), r lambda / (sqrt(b') + epsilon))     in Adam's own metric

All of it is float32 and elementwise, with operations that IEEE 754 rounds exactly: the same bits on every rank.

Polyak 1964, Some methods of speeding up the convergence of iteration methods (sgd with momentum);
Sutskever et al. 2013, On the importance of initialization and momentum in deep learning (nesterov);
Kingma and Ba 2015, Adam: A Method for Stochastic Optimization, algorithm 1;
Loshchilov and Hutter 2019, Decoupled Weight Decay Regularization, algorithm 2;
Parikh and Boyd 2014, Proximal Algorithms, 4.2 and 6.5.2; Ochs et al. 2014, iPiano;
Beck and Teboulle 2009, FISTA; Duchi, Hazan and Singer 2011, Adaptive Subgradient Methods (the metric).
"""

import math
from typing import NamedTuple, Protocol

import numpy as np

from training.algorithm.schedules import power
from training.job import Job
from training.model.base import Parameters

# The arrays that an optimiser keeps between two steps, each of the parameters' size; the same on every rank.
Slots = list[Parameters]


class Moved(NamedTuple):
    """What a step leaves: new arrays, since the old ones may be in a snapshot.

    Attributes:
        parameters: The parameters.
        slots: The optimiser's arrays.
    """

    parameters: Parameters
    slots: Slots


class Optimiser(Protocol):
    """One of the rules above.

    Attributes:
        n_slots: Number of the arrays that it keeps; they start as zeros.
    """

    n_slots: int

    def step(self, parameters: Parameters, slots: Slots, gradient: Parameters, rate: float, number: int) -> Moved:
        """Return what one step leaves; `number` counts the steps since the arrays were zeros, from 1."""


class Sgd:
    """Gradient descent, with momentum or without.

    Args:
        momentum: Share of the previous step; 0 keeps no array.
        l1: Weight of the l1 penalty for each parameter; None for none.
    """

    def __init__(self, momentum: float, l1: Parameters | None) -> None:
        self._momentum, self._l1 = np.float32(momentum), l1
        self.n_slots = 1 if momentum else 0

    def step(self, parameters: Parameters, slots: Slots, gradient: Parameters, rate: float, number: int) -> Moved:  # noqa: ARG002 - the same at every step
        """Return what one step leaves; see `Optimiser`."""
        lr = np.float32(rate)
        if self._l1 is not None:
            moved = parameters - lr * gradient
            if slots:
                moved += self._momentum * slots[0]
            moved = soft_threshold(moved, lr * self._l1)
            return Moved(moved, [moved - parameters] if slots else [])
        if not slots:
            return Moved(parameters - lr * gradient, [])
        velocity = self._momentum * slots[0]
        velocity += gradient
        return Moved(parameters - lr * velocity, [velocity])


class Nesterov:
    """Gradient descent with Nesterov's momentum; the arguments are those of `Sgd`."""

    def __init__(self, momentum: float, l1: Parameters | None) -> None:
        self._momentum, self._l1 = np.float32(momentum), l1
        self.n_slots = 1

    def step(self, parameters: Parameters, slots: Slots, gradient: Parameters, rate: float, number: int) -> Moved:  # noqa: ARG002 - the same at every step
        """Return what one step leaves; see `Optimiser`."""
        lr, (velocity,) = np.float32(rate), slots
        if self._l1 is not None:
            before = parameters - self._momentum * velocity
            point = soft_threshold(parameters - lr * gradient, lr * self._l1)
            difference = point - before
            ahead: Parameters = point + self._momentum * difference
            return Moved(ahead, [difference])
        velocity = self._momentum * velocity
        velocity += gradient
        change = self._momentum * velocity
        change += gradient
        return Moved(parameters - lr * change, [velocity])


class Adam:
    """Adam; AdamW with a decay.

    Args:
        beta1: Decay of the mean of gradients.
        beta2: Decay of the mean of their squares.
        epsilon: Added to the root of that mean.
        decay: Decoupled weight decay of each parameter; None for none.
        l1: Weight of the l1 penalty for each parameter; None for none.
    """

    n_slots = 2

    def __init__(
        self, beta1: float, beta2: float, epsilon: float, decay: Parameters | None, l1: Parameters | None
    ) -> None:
        self._betas, self._epsilon = (beta1, beta2), np.float32(epsilon)
        self._decay, self._l1 = decay, l1

    def step(self, parameters: Parameters, slots: Slots, gradient: Parameters, rate: float, number: int) -> Moved:
        """Return what one step leaves; see `Optimiser`."""
        beta1, beta2 = self._betas
        mean = np.float32(beta1) * slots[0]
        mean += np.float32(1 - beta1) * gradient
        square = np.float32(beta2) * slots[1]
        square += np.float32(1 - beta2) * (gradient * gradient)
        size = np.sqrt(square)
        size /= np.float32(math.sqrt(1 - power(beta2, number)))
        size += self._epsilon
        change = mean / size
        change *= np.float32(rate / (1 - power(beta1, number)))
        if self._decay is not None:
            change += np.float32(rate) * self._decay * parameters
        moved = parameters - change
        if self._l1 is not None:
            moved = soft_threshold(moved, np.float32(rate) * self._l1 / size)
        return Moved(moved, [mean, square])


def soft_threshold(values: Parameters, by: Parameters) -> Parameters:
    """Return the values, each nearer to 0 by as much, and 0 if it would pass it."""
    shrunk: Parameters = np.copysign(np.maximum(np.abs(values) - by, np.float32(0)), values)
    return shrunk


def optimiser_of(job: Job, decay: Parameters | None, l1: Parameters | None) -> Optimiser:
    """Return the job's optimiser.

    Args:
        job: The job.
        decay: Decoupled weight decay of each parameter, for adamw; None for none.
        l1: Weight of the l1 penalty for each parameter; None for none.
    """
    if job.optimiser in ("adam", "adamw"):
        return Adam(job.beta1, job.beta2, job.epsilon, decay, l1)
    kind = Nesterov if job.optimiser == "nesterov" else Sgd
    return kind(job.momentum, l1)

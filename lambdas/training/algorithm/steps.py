"""Steps of gradient descent: what lies between an averaged gradient and new parameters.

    g <- mean of the rows' gradients + lambda x              l2 penalty, part of the objective
    g <- g min(1, clip_norm / ||g||)                         clipping by the norm of the whole gradient
    g <- g + weight_decay x                                  unless decoupled (adamw); not part of the objective
    x <- the optimiser's step with the schedule's rate       decoupled decay and l1's proximal step included

Biases have neither penalty nor decay. Numbers that are averaged rather than trained, such as the running means of a
user's own model, get the mean change of all rows and none of the above.
Pascanu, Mikolov and Bengio 2013, On the difficulty of training recurrent neural networks, algorithm 1 (clipping).
"""

import math

import numpy as np

from training.algorithm.epochs import Penalty
from training.algorithm.optimisers import Moved, Slots, optimiser_of
from training.algorithm.schedules import RateSchedule
from training.job import Job
from training.model.base import Model, Parameters, Sectioned


class Steps:
    """The steps of one job, the same on every rank.

    Args:
        job: The job.
        model: Its model.
        penalty: Its penalty.
        steps_per_epoch: Steps of one pass over the rows.
    """

    def __init__(self, job: Job, model: Model, penalty: Penalty, steps_per_epoch: int) -> None:
        schedule = RateSchedule(job, steps_per_epoch)
        self.rate = schedule.rate
        self._constant_rate = schedule.constant
        self._sections = model.sections if isinstance(model, Sectioned) else None
        trained = slice(self._sections.trained if self._sections else None)
        weights, penalised = penalty.weights[trained], job.lambda_ > 0
        self._l2 = weights if penalised and not penalty.l1 else None
        decay = np.float32(job.weight_decay) * model.penalised()[trained] if job.weight_decay > 0 else None
        decoupled = job.optimiser == "adamw"
        self._decay = None if decoupled else decay
        self._clip_norm = job.clip_norm
        self._optimiser = optimiser_of(job, decay if decoupled else None, weights if penalised and penalty.l1 else None)

    def start(self, parameters: Parameters) -> Slots:
        """Return the optimiser's arrays before the first step."""
        trained = parameters[: self._sections.trained] if self._sections else parameters
        return [np.zeros_like(trained) for _ in range(self._optimiser.n_slots)]

    def details(self, number: int) -> dict[str, float]:
        """Return the figures of an epoch that ends with this step: the learning rate, unless it never changes."""
        return {} if self._constant_rate else {"learning_rate": self.rate(number)}

    def take(self, parameters: Parameters, slots: Slots, gradient: Parameters, number: int, age: int) -> Moved:
        """Return what a step leaves.

        Args:
            parameters: The parameters before it.
            slots: The optimiser's arrays before it.
            gradient: The mean of the rows' gradients, without any penalty.
            number: The step's number in the training, from 1: the schedule goes by it.
            age: Its number since `start`, from 1.
        """
        if self._sections is None:
            return self._trained(parameters, slots, gradient, number, age)
        trained, exchanged = self._sections.trained, self._sections.exchanged
        moved, slots = self._trained(parameters[:trained], slots, gradient[:trained], number, age)
        averaged = parameters[trained:exchanged] + gradient[trained:]
        return Moved(np.concatenate([moved, averaged, parameters[exchanged:]]), slots)

    def _trained(self, parameters: Parameters, slots: Slots, gradient: Parameters, number: int, age: int) -> Moved:
        if self._l2 is not None:
            gradient = gradient + self._l2 * parameters
        if self._clip_norm > 0:
            gradient = clipped(gradient, self._clip_norm)
        if self._decay is not None:
            gradient = gradient + self._decay * parameters
        return self._optimiser.step(parameters, slots, gradient, self.rate(number), age)


def clipped(gradient: Parameters, norm: float) -> Parameters:
    """Return a gradient, scaled down to a norm if it is larger."""
    # A sum rather than a dot product, whose order of additions depends on the processor.
    found = math.sqrt(float(np.square(gradient, dtype=np.float64).sum()))
    return gradient if found <= norm else gradient * np.float32(norm / found)

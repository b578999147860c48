"""Learning-rate schedules: the rate of each step, from 1, out of all `n` steps of a training.

With r the job's `lr`, w = round(warmup n) steps of warm-up, and e the steps of an epoch:

    warm-up         r t / w                                             for step t <= w, whatever the schedule
    constant        r
    step            r lr_decay^k                                        k = floor((t - 1) / (lr_step_epochs e))
    cosine          lr_min + (r - lr_min) (1 + cos(pi s)) / 2           s = (t - 1 - w) / (n - w)
    inverse_sqrt    r sqrt(max(w, 1) / t)

Goyal et al. 2017, Accurate, Large Minibatch SGD (2.2: warm-up, 5.1: step); Loshchilov and Hutter 2017, SGDR (cosine,
without restarts); Vaswani et al. 2017, Attention Is All You Need, 5.3 (inverse_sqrt).

All ranks must get the same rate, bit for bit, on whatever processor they run. The C library's `cos` and `pow` have
variants by processor that differ in the last bit, so both are computed here by IEEE operations, which do not.
"""

import math

from training.job import Job

# Terms of the cosine's series: more do not change a float on [0, pi / 2].
_COSINE_TERMS = 12
# A schedule with steps that names no interval takes a step after each third of the training.
_STEPS_BY_DEFAULT = 3


class RateSchedule:
    """The learning rate of each step.

    Args:
        job: The job.
        steps_per_epoch: Steps of one pass over the rows.
    """

    def __init__(self, job: Job, steps_per_epoch: int) -> None:
        self._job = job
        self._steps = steps_per_epoch * job.n_epochs
        self._warm_up = round(job.warmup * self._steps)
        self._interval = steps_per_epoch * (job.lr_step_epochs or math.ceil(job.n_epochs / _STEPS_BY_DEFAULT))
        self.constant = job.lr_schedule == "constant" and self._warm_up == 0

    def rate(self, step: int) -> float:
        """Return the learning rate of a step, counted from 1."""
        job, rate = self._job, self._job.lr
        if self.constant:
            return rate
        if step <= self._warm_up:
            return rate * step / self._warm_up
        if job.lr_schedule == "step":
            return rate * power(job.lr_decay, (step - 1) // self._interval)
        if job.lr_schedule == "cosine":
            share = (step - 1 - self._warm_up) / (self._steps - self._warm_up)
            return job.lr_min + (rate - job.lr_min) * _half_cosine(share)
        if job.lr_schedule == "inverse_sqrt":
            return rate * math.sqrt(max(self._warm_up, 1) / step)
        return rate


def power(base: float, exponent: int) -> float:
    """Return a power with a whole exponent of at least 0, the same bits on every processor."""
    result = 1.0
    while exponent:
        if exponent & 1:
            result *= base
        base *= base
        exponent >>= 1
    return result


def _half_cosine(share: float) -> float:
    """Return (1 + cos(pi share)) / 2 = cos(pi share / 2)^2 for a share from 0 to 1; the same bits everywhere."""
    angle = math.pi * share / 2
    square = angle * angle
    cosine = 1.0
    for term in range(_COSINE_TERMS, 0, -1):
        cosine = 1 - cosine * square / ((2 * term - 1) * 2 * term)
    return cosine * cosine

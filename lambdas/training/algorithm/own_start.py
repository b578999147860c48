"""A user's own model at the start of a training: all ranks compare what it starts from.

Ranks that start from different parameters would average what does not belong together. They are compared in round 0 by
their checksums.
The last bits of random normal numbers differ among kinds of processors. Where the sums of all parameters and of their
squares agree, all ranks take those of rank 0; otherwise the parameters depend on the rank, and the run stops.
"""

import zlib

import msgspec
import numpy as np

from training.errors import InputError
from training.exchange.exchange import Exchange
from training.job import Job
from training.model.base import Model, Parameters, sections_of
from training.model.catalogue import make_model
from training.model.own import facts_of, is_convex

_TOLERANCE = 1e-5


def own_model(job: Job, n_classes: int, exchange: Exchange, initial: Parameters | None) -> tuple[Model, Parameters]:
    """Return the job's model and the parameters to start from, the same on every rank.

    Args:
        job: The job.
        n_classes: Classes of the data; 1 for a regression.
        exchange: This rank's exchange, in round 0.
        initial: The parameters of a warm start; None for the model's own.

    Raises:
        InputError: The model cannot be made, does not fit the job's algorithm, or starts from parameters that depend
            on the rank; all ranks raise the last.
    """
    model = make_model(job.model, **facts_of(msgspec.structs.asdict(job), n_classes))
    own = model.initial(job.seed)
    sections = sections_of(model, own)
    if job.optim == "admm":
        if not is_convex(model):
            raise InputError(f"optim=admm needs a model with `convex = True`; model={job.model} does not claim it")
        if sections.trained != own.size:
            raise InputError(f"optim=admm needs a model without buffers and frozen parameters; got model={job.model}")
    return model, _agreed(job, own, exchange) if initial is None else initial


def _agreed(job: Job, own: Parameters, exchange: Exchange) -> Parameters:
    """Return the parameters that all ranks start from: this rank's, or rank 0's if they differ in last bits alone."""
    marks = np.zeros((exchange.world_size, 4))
    marks[exchange.rank] = (
        zlib.crc32(own.tobytes()),
        own.size,
        own.sum(dtype=np.float64),
        np.square(own, dtype=np.float64).sum(),
    )
    marks = exchange.agree("own_start", marks.ravel(), 0).values.reshape(marks.shape)
    if (marks[:, 0] == marks[0, 0]).all():
        return own
    sizes, scale = marks[:, 1], np.sqrt(marks[0, 3] * marks[0, 1]) + 1e-30
    near = np.abs(marks[:, 2] - marks[0, 2]) <= _TOLERANCE * scale
    near &= np.abs(marks[:, 3] - marks[0, 3]) <= _TOLERANCE * marks[0, 3]
    if not (near & (sizes == sizes[0])).all():
        other = int(np.flatnonzero(marks[:, 0] != marks[0, 0])[0])
        raise InputError(
            f"model={job.model} starts from other parameters on rank {other} than on rank 0: they may depend on the "
            "seed alone; draw them from torch, numpy.random or random, which are seeded before the model is made"
        )
    part = own if exchange.rank == 0 else np.zeros_like(own)
    return np.asarray(exchange.agree("own_parameters", part, 0).values, np.float32)

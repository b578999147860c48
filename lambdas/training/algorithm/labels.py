"""The label of each class: from the manifest, or without one by agreement of all ranks in round 0.

One rank cannot decide alone: it may have no row of some class, and would number the others differently.
"""

import numpy as np

from training.data.dataset import distinct_labels, to_classes
from training.data.labels import MOST_LABELS, classes_of, too_many_labels
from training.data.shard import Shard
from training.exchange.exchange import Exchange
from training.job import WorkerJob


class Labelling:
    """Numbers the classes of a rank's rows once, and takes part in the agreement each time its session begins again.

    Args:
        job: The worker's job; a clustering ignores labels, and a regression has targets.
        shard: The rank's rows, not stored; `y` has labels unless the job names the label of each class.

    Attributes:
        labels: The label of each class, ascending; empty before the agreement, and without classes.

    Raises:
        InputError: The rows have too many labels to be classes.
    """

    def __init__(self, job: WorkerJob, shard: Shard) -> None:
        self.labels = [] if job.task != "classification" or job.labels is None else job.labels
        self._n_classes, self._source = job.n_classes, f"s3://{job.data_bucket}/{job.data_prefix}".rstrip("/")
        self._partition = f"s3://{job.data_bucket}/{job.file}"
        self._own: list[float] | None = None
        if job.task == "classification" and job.labels is None:
            self._own = distinct_labels(np.concatenate([shard.y, shard.valid_y]).astype(np.float32))
            if len(self._own) > MOST_LABELS:
                raise too_many_labels(self._partition)

    def numbered(self, shard: Shard, exchange: Exchange) -> Shard:
        """Return the shard with class numbers in place of labels.

        Raises:
            InputError: The labels of all ranks cannot be classes; all ranks raise it.
        """
        if self._own is None:
            return shard
        found = classes_of(_agree(self._own, exchange), self._n_classes, self._source)
        if self.labels:
            return shard
        self.labels = found
        return shard.with_targets(lambda y: to_classes(y.astype(np.float32), found, self._partition))


def _agree(own: list[float], exchange: Exchange) -> list[float]:
    """Return the labels of all ranks together, ascending; the same on every rank.

    This takes two all-reduces in round 0: the number of labels of each rank, then the labels in separate places.
    """
    counts = np.zeros(exchange.world_size)
    counts[exchange.rank] = len(own)
    all_counts = exchange.agree("label_counts", counts, 0).values.astype(np.int64)
    places = np.zeros((exchange.world_size, int(all_counts.max(initial=0))))
    places[exchange.rank, : len(own)] = own
    filled = exchange.agree("labels", places.ravel(), 0).values.reshape(places.shape)
    labels: list[float] = np.unique(
        np.concatenate([row[:n] for row, n in zip(filled, all_counts, strict=True)])
    ).tolist()
    return labels

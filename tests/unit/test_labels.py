"""Labels: which classes they are, and that all ranks take them for the same."""

import numpy as np
import pytest

from tests.support.ranks import exchange_of, on_all_ranks
from training.algorithm.labels import Labelling
from training.data.labels import classes_of, format_label, format_labels
from training.data.shard import Shard
from training.errors import InputError, JobError
from training.exchange.channel.memory import MemoryChannel
from training.job import WorkerJob, decode_job

EVENT = {"data_bucket": "bucket", "n_features": 1, "host": "h", "run_id": "r"}


@pytest.mark.parametrize(
    ("labels", "n_classes", "classes"),
    [
        ([0, 1], None, [0, 1]),
        ([-1, 1], None, [-1, 1]),
        ([1, 2], None, [1, 2]),
        ([2, 4], 2, [2, 4]),
        ([-1, 0, 1], None, [-1, 0, 1]),
        ([1, 2, 3], 3, [1, 2, 3]),
        ([1, 2, 3], 4, [0, 1, 2, 3]),
        ([0, 2], 3, [0, 1, 2]),
        ([1], 2, [0, 1]),
        ([-1], 2, [-1, 1]),
    ],
)
def test_the_labels_are_the_classes(labels, n_classes, classes):
    """Ascending; where a job has more classes than there are labels, they are numbered from 0."""
    assert classes == classes_of(labels, n_classes, "rows")


@pytest.mark.parametrize(
    ("labels", "n_classes", "error", "message"),
    [
        ([0, 1, 2], 2, JobError, "`n_classes` is 2; allowed: at least the number of labels.*; rows has 3: 0, 1, 2"),
        ([5, 6], 3, JobError, "`n_classes` is 3; allowed: the number of labels, or nothing; rows has 2: 5, 6"),
        ([5, 6], 3, JobError, "rows has 2: 5, 6\nto have classes without rows, number the classes from 0 to 2"),
        (
            [7],
            None,
            InputError,
            "all rows have the label 7; a classification needs two\n.*number the classes from 0 and",
        ),
        ([5], 2, InputError, "rows: all rows have the label 5, which is none of 2 classes\n.*the classes from 0 to 1"),
        ([0.5, 1], None, InputError, "rows: label 0.5 is not a whole number; labels are classes\n.*k-means"),
        ([1, 4e9], None, InputError, "rows: label 4000000000 is beyond 16777216"),
        (range(10_001), None, InputError, "rows: has more than 10000 different labels"),
    ],
)
def test_labels_that_are_no_classes_are_refused(labels, n_classes, error, message):
    """The error has the user's own labels."""
    with pytest.raises(error, match=message):
        classes_of(list(labels), n_classes, "rows")


def test_labels_are_shown_as_they_were_written():
    """Single precision has its own digits; many labels are cut short."""
    assert ["1", "-1", "0.37", "4000000000", "1e-10"] == [
        format_label(float(np.float32(label))) for label in (1, -1, 0.37, 4e9, 1e-10)
    ]
    assert "0, 1, 2, 3, 4, 5 and 4 more" == format_labels(range(10))


@pytest.mark.parametrize("n_workers", [1, 2, 3, 6])
def test_ranks_without_a_manifest_agree_on_the_labels(n_workers):
    """Each rank has few of the labels, some have none; all number the classes alike, and again when they begin anew."""
    y = np.array([-1, 0, 1, -1, 0, 1, 1], np.float32)
    channel = MemoryChannel()

    def rank_main(rank):
        rows = y[rank::n_workers]
        shard = Shard(np.zeros((len(rows), 1), np.float32), rows[:1], None, rows[1:])
        job = decode_job({**EVENT, "n_workers": n_workers, "worker_index": rank, "file": f"{rank}"}, WorkerJob)
        labelling = Labelling(job, shard)
        exchange = exchange_of(channel, rank, n_workers, "reduce")
        numbered = labelling.numbered(shard, exchange)
        again = labelling.numbered(numbered, exchange)
        return labelling.labels, [*again.y.tolist(), *again.valid_y.tolist()]

    for rank, (labels, classes) in enumerate(on_all_ranks(n_workers, rank_main)):
        assert [-1, 0, 1] == labels
        assert (y[rank::n_workers] + 1).tolist() == classes


def test_labels_that_ranks_agree_on_must_be_classes():
    """A label of one rank alone is refused on all of them, as the user wrote it."""
    channel = MemoryChannel()

    def rank_main(rank):
        y = np.array([0, [1, 2.5][rank]], np.float32)
        job = decode_job({**EVENT, "n_workers": 2, "worker_index": rank, "file": f"{rank}"}, WorkerJob)
        labelling = Labelling(job, Shard(None, y, None, y[:0]))
        with pytest.raises(InputError, match=r"s3://bucket: label 2\.5 is not a whole number"):
            labelling.numbered(Shard(None, y, None, y[:0]), exchange_of(channel, rank, 2, "reduce"))
        return True

    assert [True, True] == on_all_ranks(2, rank_main)

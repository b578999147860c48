"""Rows on disk: the shuffle is the one global order, whatever fits into memory, and dealing loses no row."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.sparse import csr_array

from harness.datasets import spill
from harness.datasets.row_file import to_block
from harness.datasets.shuffle import RowKeys, row_order, skewed_order
from harness.datasets.spill import DealtRows, RowSpill
from training.data.dataset import Dataset

KINDS = st.sampled_from(["dense", "sparse", "images"])


def rows_numbered(first, count, width=2, kind="dense"):
    """Rows whose label and features tell their number; every third of the sparse ones stores nothing."""
    y = np.arange(first, first + count, dtype=np.float32)
    x = np.repeat(y[:, np.newaxis], width, axis=1)
    if kind == "images":
        return Dataset((x % 256).astype(np.uint8), y)
    if kind == "sparse":
        x[:, 1:] *= (y[:, np.newaxis] + np.arange(1, width)) % 2
        x[y % 3 == 0] = 0
        return Dataset(csr_array(x), y)
    return Dataset(x, y)


def dense(x):
    """Rows of any kind as a dense matrix."""
    return x if isinstance(x, np.ndarray) else x.toarray()


def labels_of(blocks):
    """The labels of all blocks in order."""
    return np.concatenate([block.y for block in blocks]).astype(int).tolist()


@settings(deadline=None)  # the machine may be busy
@given(st.integers(0, 500), st.integers(0, 2**32 - 1))
def test_the_order_is_a_permutation(rows, seed):
    """Every row has one place in the global order."""
    assert list(range(rows)) == sorted(row_order(rows, seed).tolist())


def test_the_seed_determines_the_order():
    """The same seed gives the same order, another seed another one; the values hold for all time."""
    assert row_order(1000, 7).tolist() == row_order(1000, 7).tolist()
    assert row_order(1000, 7).tolist() != row_order(1000, 8).tolist()
    assert [6, 7, 2, 5, 4, 0, 3, 1] == row_order(8, 0).tolist()


def test_every_order_is_as_likely_as_any_other():
    """Over many seeds each of the 24 orders of 4 rows comes up about equally often."""
    counts = {}
    for seed in range(4800):
        order = tuple(row_order(4, seed).tolist())
        counts[order] = counts.get(order, 0) + 1

    expected = 200
    chi_square = sum((count - expected) ** 2 / expected for count in counts.values())
    assert 24 == len(counts)
    assert chi_square < 49.7  # 23 degrees of freedom: one in a thousand is above


@settings(deadline=None)  # the machine may be busy
@given(st.lists(st.integers(1, 60), min_size=1, max_size=12), st.integers(0, 100), KINDS)
def test_spilled_rows_come_back_in_the_global_order(counts, seed, kind):
    """However the rows came in, and however little fits into memory, the order is that of rows in memory."""
    with pytest.MonkeyPatch.context() as patch, RowSpill() as spilled:
        patch.setattr(spill, "RUN_BYTES", 1000)
        patch.setattr(spill, "GROUP_BYTES", 700)
        keys, first = RowKeys(seed), 0
        for count in counts:
            spilled.append(keys.draw(count), rows_numbered(first, count, kind=kind))
            first += count
        blocks = list(spilled.in_key_order())

    order = row_order(sum(counts), seed)
    assert sum(counts) == spilled.rows
    assert order.tolist() == labels_of(blocks)
    expected = dense(rows_numbered(0, sum(counts), kind=kind).x)[order]
    np.testing.assert_array_equal(expected, np.concatenate([dense(block.x) for block in blocks]))
    assert max(block.rows for block in blocks) <= 700 // 14  # an image of two bytes, its label and its key


@pytest.mark.parametrize("kind", ["dense", "sparse"])
def test_rows_with_few_columns_are_filled_with_zeros(kind):
    """Rows that were taken before a column showed come back with zeros in it."""
    with RowSpill() as spilled:
        keys = RowKeys(0)
        for number, width in enumerate([1, 1, 3]):
            spilled.append(keys.draw(5), rows_numbered(5 * number + 1, 5, width, kind))
        blocks = list(spilled.in_key_order())

    x = np.concatenate([dense(block.x) for block in blocks])
    expected = dense(rows_numbered(1, 15, 3, kind).x)
    expected[:10, 1:] = 0
    np.testing.assert_array_equal(expected[row_order(15, 0)], x)


def test_without_a_shuffle_rows_come_back_as_they_came(monkeypatch):
    """Rows with equal keys keep the order of the file."""
    monkeypatch.setattr(spill, "RUN_BYTES", 1000)
    with RowSpill() as spilled:
        for first in range(0, 300, 30):
            spilled.append(np.zeros(30, np.uint64), rows_numbered(first, 30))
        blocks = list(spilled.in_file_order())

    assert list(range(300)) == labels_of(blocks)
    assert len(blocks) > 1


@settings(deadline=None)  # the machine may be busy
@given(st.lists(st.integers(1, 40), min_size=1, max_size=6), st.integers(1, 7), st.integers(1, 3), KINDS)
def test_row_j_goes_to_partition_j_mod_n(counts, n_partitions, width, kind):
    """Partitions of any number hold the rows of the global order in turn, however they were handed over."""
    rows = sum(counts)
    with DealtRows(n_partitions) as dealt:
        first = 0
        for count in counts:
            dealt.deal(rows_numbered(first, count, width, kind))
            first += count
        for partition in range(n_partitions):
            numbers = list(range(partition, rows, n_partitions))
            blocks = [to_block(arrays, dealt.width) for arrays in dealt.blocks(partition, partition + 1)]

            assert len(numbers) == dealt.rows[partition]
            assert numbers == labels_of(blocks)
            expected = dense(rows_numbered(0, rows, width, kind).x)[numbers]
            np.testing.assert_array_equal(expected, np.concatenate([dense(block.x) for block in blocks]))
    assert np.count_nonzero(dense(rows_numbered(0, rows, width, kind).x)) == dealt.non_zeros


@settings(deadline=None)  # the machine may be busy
@given(st.lists(st.integers(0, 3), min_size=1, max_size=60), st.integers(1, 7), st.integers(0, 100))
def test_skewed_partitions_are_sorted_by_label(labels, n_partitions, seed):
    """Dealt in that order, no partition has a label below one of the partition before it; none loses a row."""
    y = np.array(labels, np.float32)
    order = row_order(len(y), seed)

    skewed = skewed_order(y, order, n_partitions)

    place = {row: at for at, row in enumerate(order.tolist())}
    parts = [skewed[partition::n_partitions] for partition in range(n_partitions)]
    assert list(range(len(y))) == sorted(skewed.tolist())
    assert sorted(labels) == [label for part in parts for label in sorted(y[part].tolist())]
    assert all(sorted(part.tolist(), key=place.get) == part.tolist() for part in parts)


@pytest.mark.parametrize("kind", ["dense", "sparse", "images"])
def test_the_digest_is_that_of_the_rows_in_order(kind):
    """The digest depends on rows and order, not on partitions or on how the rows were handed over."""

    def digest(n_partitions, *blocks):
        with DealtRows(n_partitions) as dealt:
            for block in blocks:
                dealt.deal(block)
            return dealt.sha256()

    def part(first, count):
        return rows_numbered(first, count, kind=kind)

    whole = digest(1, part(0, 10))
    assert whole == digest(3, part(0, 4), part(4, 6))
    assert whole != digest(1, part(5, 5), part(0, 5))

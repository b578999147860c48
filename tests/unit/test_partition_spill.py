"""Rows on disk: the shuffle is the one global order, whatever fits into memory, and dealing loses no row."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fixtures import spill
from fixtures.shuffle import RowKeys, row_order
from fixtures.spill import DealtRows, RowSpill
from training.dataset import Dataset


def rows_numbered(first, count, width=2):
    """Rows whose label and features tell their number."""
    y = np.arange(first, first + count, dtype=np.float32)
    return Dataset(np.repeat(y[:, np.newaxis], width, axis=1), y)


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
@given(st.lists(st.integers(1, 60), min_size=1, max_size=12), st.integers(0, 100))
def test_spilled_rows_come_back_in_the_global_order(counts, seed):
    """However the rows came in, and however little fits into memory, the order is that of rows in memory."""
    with pytest.MonkeyPatch.context() as patch, RowSpill() as spilled:
        patch.setattr(spill, "RUN_BYTES", 1000)
        patch.setattr(spill, "GROUP_BYTES", 700)
        keys, first = RowKeys(seed), 0
        for count in counts:
            spilled.append(keys.draw(count), rows_numbered(first, count))
            first += count
        blocks = list(spilled.in_key_order())

    assert row_order(sum(counts), seed).tolist() == labels_of(blocks)
    assert all((block.x == block.y[:, np.newaxis]).all() for block in blocks)
    assert max(block.rows for block in blocks) <= max(1, 700 // 20)


def test_rows_with_few_columns_are_filled_with_zeros():
    """Rows that were taken before a column showed come back with zeros in it."""
    with RowSpill() as spilled:
        keys = RowKeys(0)
        for number, width in enumerate([1, 1, 3]):
            spilled.append(keys.draw(5), rows_numbered(5 * number + 1, 5, width))
        blocks = list(spilled.in_key_order())

    x, y = np.concatenate([block.x for block in blocks]), np.concatenate([block.y for block in blocks])
    assert (15, 3) == x.shape
    np.testing.assert_array_equal(y, x[:, 0])
    np.testing.assert_array_equal(np.where(y > 10, y, 0), x[:, 2])


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
@given(st.lists(st.integers(1, 40), min_size=1, max_size=6), st.integers(1, 7), st.integers(1, 3))
def test_row_j_goes_to_partition_j_mod_n(counts, n_partitions, width):
    """Partitions of any number hold the rows of the global order in turn, however they were handed over."""
    rows = sum(counts)
    with pytest.MonkeyPatch.context() as patch, DealtRows(rows, width, n_partitions) as dealt:
        patch.setattr(spill, "CHUNK_BYTES", 50)
        first = 0
        for count in counts:
            dealt.deal(rows_numbered(first, count, width))
            first += count
        for partition in range(n_partitions):
            expected = list(range(partition, rows, n_partitions))
            features = [chunk.copy() for chunk in dealt.features(partition)]
            labels = [chunk.copy() for chunk in dealt.labels(partition)]

            assert len(expected) == dealt.rows[partition]
            assert [len(chunk) for chunk in features] == [len(chunk) for chunk in labels]
            assert expected == [int(value) for chunk in labels for value in chunk]
            assert [[value] * width for value in expected] == [row.tolist() for chunk in features for row in chunk]


def test_the_digest_is_that_of_the_rows_in_order():
    """The digest depends on rows and order, not on partitions or on how the rows were handed over."""

    def digest(n_partitions, *blocks):
        with DealtRows(10, 2, n_partitions) as dealt:
            for block in blocks:
                dealt.deal(block)
            return dealt.sha256()

    whole = digest(1, rows_numbered(0, 10))
    assert whole == digest(3, rows_numbered(0, 4), rows_numbered(4, 6))
    assert whole != digest(1, rows_numbered(5, 5), rows_numbered(0, 5))

"""Memory of large objects: it can be written, read as arrays, and given back in part."""

import numpy as np

from training.run.mapped_memory import give_back, mapped


def test_a_part_that_is_given_back_leaves_the_rest():
    """Whole pages inside of the part are zero afterwards; what lies around it keeps its numbers."""
    memory = mapped(1 << 20)
    numbers = np.frombuffer(memory, np.float32)
    numbers[:] = 1

    give_back(numbers[1000:200_000], memory)

    assert (numbers[:1000] == 1).all()
    assert (numbers[200_000:] == 1).all()
    assert not numbers[3000:198_000].any()


def test_copies_and_other_memory_keep_their_numbers():
    """Only numbers that lie in the memory are lost."""
    memory = mapped(1 << 20)
    copy, other = np.ones(1 << 16, np.float32), np.ones(1 << 16, np.float32)

    give_back(copy, memory)
    give_back(other, memoryview(other).cast("B"))

    assert copy.all()
    assert other.all()

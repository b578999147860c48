"""Memory for large objects that goes back to the system as soon as nobody holds it.

glibc raises the size from which blocks have mappings of their own, up to 32 MB, whenever such a block is freed. Later
blocks of that size stay with the process, and a warm environment grows from run to run: mallopt(3), M_MMAP_THRESHOLD.

It also gives threads arenas of their own, each of which keeps up to twice that size of freed memory for later threads.
"""

import ctypes
import mmap
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:  # the coordinator reads no partitions, and has no NumPy
    from numpy.typing import NDArray

# mallopt(3); the number is that of glibc's malloc.h.
_M_ARENA_MAX = -8


def share_one_arena() -> None:
    """Have all threads allocate from one arena, as with `MALLOC_ARENA_MAX=1`; musl has no others anyway.

    Call it before the first thread starts. Threads wait for each other little: most of their time is S3's, or outside
    of the allocator.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(_M_ARENA_MAX, 1)


def mapped(size: int) -> memoryview:
    """Return so many bytes, all zero; they cost memory once they are written."""
    return memoryview(mmap.mmap(-1, size, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS))


def give_back(array: "NDArray[Any]", memory: bytes | memoryview) -> None:
    """Give the pages of an array back that nobody reads any more.

    Args:
        array: A part of the memory; its numbers are lost.
        memory: What `mapped` returned; other memory is left as it is.
    """
    if not isinstance(memory, memoryview) or not isinstance(memory.obj, mmap.mmap):
        return
    import numpy as np  # noqa: PLC0415 - as above

    start = array.__array_interface__["data"][0] - np.frombuffer(memory, np.uint8).__array_interface__["data"][0]
    if not 0 <= start <= len(memory) - array.nbytes:  # a copy
        return
    first, end = -(-start // mmap.PAGESIZE) * mmap.PAGESIZE, (start + array.nbytes) // mmap.PAGESIZE * mmap.PAGESIZE
    if first < end:
        memory.obj.madvise(mmap.MADV_DONTNEED, first, end - first)

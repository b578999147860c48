"""CRC-32 as zlib, zip and gzip compute it, for frames, states and partitions.

zlib-ng computes it with the processor's carry-less multiplication, ten times as fast as zlib: of a large all-reduce
the checksum is then no longer the longest part.
"""

from zlib_ng.zlib_ng import crc32

__all__ = ["crc32"]

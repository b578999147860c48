"""NumPy's `.npz`, read from bytes in memory; uncompressed members are used in place.

local file header    30 bytes, then the member's name and the extra field; both lengths are in the header
the member           an `.npy`: magic, version, header (dtype, order, shape), then the array's bytes
...                  further members
central directory    size, checksum and offset of each member, read by `zipfile`

We wrote this reader because `numpy.load` copies every array and checks it with zlib's slower CRC-32 (decision 11).
"""

import io
import math
import struct
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import numpy.typing as npt

from training.checksum import crc32
from training.errors import InputError

MAGIC = b"PK\x03\x04"

_LOCAL_HEADER_BYTES = 30
_LENGTHS_OF_NAME_AND_EXTRA = struct.Struct("<HH")
_LENGTHS_AT = 26
_ENCRYPTED = 0x1
# What zipfile raises on invalid bytes; the last two are for encrypted members and unknown compression methods.
_DAMAGE = (zipfile.BadZipFile, zlib.error, struct.error, EOFError, ValueError, NotImplementedError, RuntimeError)
_LONGEST_NPY_HEADER = 1 << 16


class Npz:
    """The arrays of an `.npz`, each read on demand.

    Attributes:
        names: The names of the arrays, sorted.
    """

    def __init__(self, body: bytes | memoryview, source: str) -> None:
        """Read the directory.

        Args:
            body: The file's bytes; arrays may be read-only views of them.
            source: The name of the file in errors.

        Raises:
            InputError: The bytes are not such a file.
        """
        self._body, self._source = body, source
        with self._damage():
            self._archive = zipfile.ZipFile(_InPlace(body))
        self._members = {info.filename.removesuffix(".npy"): info for info in self._archive.infolist()}
        self.names = sorted(self._members)

    def array(self, name: str, types: tuple[str, ...], dimensions: int) -> npt.NDArray[Any]:
        """Read one array.

        Args:
            name: The array's name.
            types: Allowed types, such as `float32`; little-endian.
            dimensions: Required number of dimensions.

        Returns:
            The array, C-contiguous and aligned.

        Raises:
            InputError: The array is missing or damaged, or has another type or shape.
        """
        if name not in self._members:
            held = ", ".join(self.names) or "nothing"
            raise InputError(f"{self._source}: the npz holds no array {name!r}, but {held}")
        with self._damage():
            content = self._content(self._members[name])
            return _read_array(content, f"{self._source}: array {name!r}", types, dimensions)

    def _content(self, info: zipfile.ZipInfo) -> memoryview:
        if info.compress_type != zipfile.ZIP_STORED or info.flag_bits & _ENCRYPTED:
            return memoryview(self._archive.read(info))
        name, extra = _LENGTHS_OF_NAME_AND_EXTRA.unpack_from(self._body, info.header_offset + _LENGTHS_AT)
        start = info.header_offset + _LOCAL_HEADER_BYTES + name + extra
        content = memoryview(self._body)[start : start + info.file_size]
        if crc32(content) != info.CRC:
            raise zipfile.BadZipFile(f"wrong checksum of member {info.filename!r}")
        return content

    @contextmanager
    def _damage(self) -> Iterator[None]:
        try:
            yield
        except _DAMAGE as error:
            raise InputError(f"{self._source}: a damaged npz file ({error})") from error


class _InPlace(io.RawIOBase):
    """A file over bytes, without the copy that `io.BytesIO` makes of a memoryview."""

    def __init__(self, body: bytes | memoryview) -> None:
        self._body, self._at = memoryview(body), 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        start = {io.SEEK_SET: 0, io.SEEK_CUR: self._at, io.SEEK_END: len(self._body)}[whence]
        if start + offset < 0:
            raise ValueError(f"position {start + offset} is before the beginning")
        self._at = start + offset
        return self._at

    def tell(self) -> int:
        return self._at

    def readinto(self, buffer: Any) -> int:  # noqa: ANN401 - what the base class takes
        part = self._body[self._at : self._at + len(buffer)]
        buffer[: len(part)] = part
        self._at += len(part)
        return len(part)


def _read_array(content: memoryview, what: str, types: tuple[str, ...], dimensions: int) -> npt.NDArray[Any]:
    header = io.BytesIO(content[:_LONGEST_NPY_HEADER])
    try:
        version = np.lib.format.read_magic(header)
        read_header = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
        shape, fortran_order, dtype = read_header(header)
    except ValueError as error:
        raise InputError(f"{what} is not in NumPy's format ({error})") from error
    if dtype not in [np.dtype(name).newbyteorder("<") for name in types]:
        raise InputError(f"{what} is of type {dtype}; it must be {' or '.join(types)}")
    if len(shape) != dimensions:
        raise InputError(f"{what} has shape {shape}; the number of its dimensions must be {dimensions}")
    start, count = header.tell(), math.prod(shape)
    if len(content) - start != count * dtype.itemsize:
        raise InputError(f"{what} of shape {shape} holds {len(content) - start} bytes")
    flat = np.frombuffer(content, dtype, count, start)
    array = flat.reshape(shape, order="F" if fortran_order else "C")
    # Other writers may start an array at any byte, and arithmetic on an unaligned array copies it every time.
    return np.require(array, requirements=["C", "A"])

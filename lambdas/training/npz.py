"""NumPy's `.npz`, read from bytes in memory: members that are stored uncompressed are used in place.

local file header    30 bytes, then the member's name and the extra field; both lengths are in the header
the member           an `.npy`: magic, version, header (dtype, order, shape), then the array's bytes
...                  further members
central directory    where `zipfile` finds size, checksum and the local header's place
"""

import io
import math
import struct
import zipfile
import zlib

import numpy as np
import numpy.typing as npt

from training.errors import InputError

FloatArray = npt.NDArray[np.float32]

MAGIC = b"PK\x03\x04"

_LOCAL_HEADER_BYTES = 30
_LENGTHS_OF_NAME_AND_EXTRA = struct.Struct("<HH")
_LENGTHS_AT = 26
_ENCRYPTED = 0x1
# What zipfile raises on bytes that are not right; the last two stand for members that are encrypted or packed in
# a way it does not know.
_DAMAGE = (zipfile.BadZipFile, zlib.error, struct.error, EOFError, ValueError, NotImplementedError, RuntimeError)
_LONGEST_NPY_HEADER = 1 << 16


def read_float32(body: bytes, *, source: str, dimensions: dict[str, int]) -> dict[str, FloatArray]:
    """Reads float32 arrays out of an `.npz`.

    Args:
        body: The file's bytes; the arrays may be read-only views of them.
        source: What errors call the file.
        dimensions: For each array's name the number of its dimensions.

    Returns:
        The arrays by name, C-contiguous.

    Raises:
        InputError: The bytes are no such file, an array is missing, or it has another type or shape.
    """
    try:
        with zipfile.ZipFile(io.BytesIO(body)) as archive:
            members = {info.filename.removesuffix(".npy"): info for info in archive.infolist()}
            missing = [name for name in dimensions if name not in members]
            if missing:
                held = ", ".join(sorted(members)) or "nothing"
                raise InputError(f"{source}: the npz holds no array {missing[0]!r}, but {held}")
            return {
                name: _read_array(_member(body, archive, members[name]), f"{source}: array {name!r}", count)
                for name, count in dimensions.items()
            }
    except _DAMAGE as error:
        raise InputError(f"{source}: a damaged npz file ({error})") from error


def _member(body: bytes, archive: zipfile.ZipFile, info: zipfile.ZipInfo) -> memoryview:
    if info.compress_type != zipfile.ZIP_STORED or info.flag_bits & _ENCRYPTED:
        return memoryview(archive.read(info))
    name, extra = _LENGTHS_OF_NAME_AND_EXTRA.unpack_from(body, info.header_offset + _LENGTHS_AT)
    start = info.header_offset + _LOCAL_HEADER_BYTES + name + extra
    member = memoryview(body)[start : start + info.file_size]
    if zlib.crc32(member) != info.CRC:
        raise zipfile.BadZipFile(f"wrong checksum of member {info.filename!r}")
    return member


def _read_array(member: memoryview, what: str, dimensions: int) -> FloatArray:
    header = io.BytesIO(member[:_LONGEST_NPY_HEADER])
    try:
        version = np.lib.format.read_magic(header)
        read_header = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
        shape, fortran_order, dtype = read_header(header)
    except ValueError as error:
        raise InputError(f"{what} is not in NumPy's format ({error})") from error
    if dtype != np.dtype("<f4"):
        raise InputError(f"{what} is of type {dtype}; it must be float32")
    if len(shape) != dimensions:
        raise InputError(f"{what} has shape {shape}; the number of its dimensions must be {dimensions}")
    start, count = header.tell(), math.prod(shape)
    if len(member) - start != count * dtype.itemsize:
        raise InputError(f"{what} of shape {shape} holds {len(member) - start} bytes")
    flat = np.frombuffer(member, dtype, count, start)
    array = flat.reshape(shape, order="F" if fortran_order else "C")
    # Files of other writers may start an array at any byte; arithmetic on such an array copies it every time.
    return np.require(array, requirements=["C", "A"])

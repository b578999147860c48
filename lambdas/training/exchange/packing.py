"""States as bytes: snapshots for a rank that comes back, and checkpoints in S3.

    byte  0        4         8        16
          +--------+---------+--------+---- ...
          | magic  | crc     | length | MessagePack of a msgspec Struct
          | 4s     | I       | Q      | an array is [dtype, shape, bytes]
          +--------+---------+--------+---- ...

Little-endian; `crc` is CRC-32 over the body, `length` counts its bytes.
Never pickle: input is checked against the Struct's types before it is used.
"""

import struct
from typing import Any, TypeVar

import msgspec
import numpy as np

from training.checksum import crc32
from training.errors import DamagedFrame

MAGIC = b"LECS"

_HEADER = struct.Struct("<4sIQ")
HEADER_BYTES = _HEADER.size
_DTYPES = ("<f4", "<f8", "<i8")

AnyStruct = TypeVar("AnyStruct")


def pack_state(state: object) -> bytes:
    """Return the bytes of a Struct that may hold NumPy arrays."""
    body = msgspec.msgpack.encode(state, enc_hook=_encode_array)
    return _HEADER.pack(MAGIC, crc32(body), len(body)) + body


def unpack_state(kind: type[AnyStruct], buffer: bytes, source: str) -> AnyStruct:
    """Return the Struct that `pack_state` packed; arrays are read-only views of the buffer's copy.

    Args:
        kind: The Struct.
        buffer: Its bytes.
        source: Its name in errors.

    Raises:
        DamagedFrame: The bytes are truncated, changed, or of another Struct; the field is named.
    """
    if len(buffer) < HEADER_BYTES:
        raise DamagedFrame(f"{source}: length is {len(buffer)} bytes, a header alone has {HEADER_BYTES}")
    magic, crc, length = _HEADER.unpack_from(buffer)
    body = memoryview(buffer)[HEADER_BYTES:]
    for field, found, expected in (
        ("magic", magic, MAGIC),
        ("length", len(body), length),
        ("checksum", crc32(body), crc),
    ):
        if found != expected:
            raise DamagedFrame(f"{source}: {field} is {found!r}, expected {expected!r}")
    try:
        return msgspec.msgpack.decode(body, type=kind, dec_hook=_decode_array)
    except (msgspec.MsgspecError, ValueError, TypeError) as error:
        raise DamagedFrame(f"{source} is no {kind.__name__}: {error}") from error


def state_length(buffer: bytes) -> int:
    """Return the length of a packed state according to its first bytes; 0 when they do not begin one."""
    if len(buffer) < HEADER_BYTES or buffer[:4] != MAGIC:
        return 0
    return HEADER_BYTES + int(_HEADER.unpack_from(buffer)[2])


def _encode_array(value: object) -> object:
    if isinstance(value, np.ndarray):
        return value.dtype.str, value.shape, value.tobytes()
    raise NotImplementedError(f"a state holds arrays and plain values, not {type(value).__name__}")


def _decode_array(kind: Any, value: Any) -> Any:  # noqa: ANN401 - msgspec's hook
    if getattr(kind, "__origin__", kind) is not np.ndarray:
        raise NotImplementedError(str(kind))
    dtype, shape, content = value
    if dtype not in _DTYPES:
        raise ValueError(f"array of type {dtype}; allowed: {', '.join(_DTYPES)}")
    return np.frombuffer(content, dtype).reshape(shape)

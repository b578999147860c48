"""The frame: one rank's part of one step, as it is stored in the channel.

    byte  0        4   5   6   7   8        16     20        24      28     32        40       44      48
          +--------+---+---+---+---+--------+------+---------+-------+------+---------+--------+-------+---- ...
          | magic  | v | e | f | x | run    | rank | attempt | round | step | samples | length | crc   | payload
          | 4s     | B | B | B | b | Q      | I    | I       | I     | I    | Q       | I      | I     |
          +--------+---+---+---+---+--------+------+---------+-------+------+---------+--------+-------+---- ...

Little-endian throughout.
`v` is the protocol's version, `e` the payload's encoding, `f` flags, `x` the exponent of a float16 payload.
`run` is a digest of the run id: a stray frame of another run is refused.
`samples` counts the rows behind the payload, `length` its bytes.
`crc` is CRC-32 over the 44 bytes before it and the payload.

Encodings of a payload:

    float32, float64   the values
    float16            the values divided by 2^x, so that the largest fits; decoded to float32
    sparse             size (I), then the indices (I) and the float32 values of all elements that are not zero
"""

import hashlib
import struct
from enum import IntEnum, IntFlag, unique
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from training.checksum import crc32
from training.errors import DamagedFrame, FrameError

Array = NDArray[Any]

MAGIC = b"LEC2"
VERSION = 1


@unique
class Encoding(IntEnum):
    """How a payload's values are encoded."""

    FLOAT32 = 1
    FLOAT64 = 2
    FLOAT16 = 3
    SPARSE = 4


@unique
class Flag(IntFlag):
    """What one rank asks of all, in the same round."""

    CHECKPOINT = 1
    STOP = 2


_UNKNOWN_FLAGS = 0xFF & ~int(Flag.CHECKPOINT | Flag.STOP)

_DTYPES: dict[int, np.dtype[Any]] = {
    Encoding.FLOAT32: np.dtype("<f4"),
    Encoding.FLOAT64: np.dtype("<f8"),
    Encoding.FLOAT16: np.dtype("<f4"),
    Encoding.SPARSE: np.dtype("<f4"),
}

_PLAIN = {np.dtype("<f4"): Encoding.FLOAT32, np.dtype("<f8"): Encoding.FLOAT64}
# Numbers rather than members: a member's comparison takes longer than a whole payload's.
_AS_THEY_ARE = {int(Encoding.FLOAT32), int(Encoding.FLOAT64)}

_HEADER = struct.Struct("<4sBBBbQIIIIQI")
_CRC = struct.Struct("<I")
_SIZE = struct.Struct("<I")
HEADER_BYTES = _HEADER.size + _CRC.size
# The largest count that a header can hold.
MOST_COUNT = 2**32 - 1
# The largest power of two that float16 holds is 2^15.
_FLOAT16_TOP_EXPONENT = 15


class Frame(NamedTuple):
    """One rank's part of one step.

    Attributes:
        run_id: The run it belongs to.
        rank: The rank that sent it.
        attempt: Which try of that rank sent it, from 1.
        round: The round.
        step: The step within the round.
        samples: Rows behind the payload.
        payload: The values; float32 or float64, one dimension.
        flags: Bits that reach all ranks in the same round.
    """

    run_id: str
    rank: int
    attempt: int
    round: int
    step: int
    samples: int
    payload: Array
    flags: int = 0


@lru_cache(maxsize=8)
def run_digest(run_id: str) -> int:
    """Return the 64 bits that stand for the run id in a frame's header."""
    return int.from_bytes(hashlib.blake2b(run_id.encode(), digest_size=8).digest(), "little")


def pack(frame: Frame, encoding: Encoding | None = None) -> tuple[bytes, memoryview]:
    """Return the frame's bytes: its header, and its payload, which is the frame's own array if it is not encoded.

    Args:
        frame: The frame.
        encoding: How to encode a float32 payload; by default as it is. `SPARSE` is used only if it is shorter.

    Raises:
        FrameError: The payload's dtype has no encoding.
    """
    if encoding is None or frame.payload.dtype == np.float64:
        encoding = _PLAIN.get(frame.payload.dtype)
    if encoding is None:
        raise FrameError(f"payload dtype is {frame.payload.dtype}; a frame carries float32 or float64")
    encoding, exponent, body = _encode(frame.payload, encoding)
    header = _HEADER.pack(
        MAGIC,
        VERSION,
        encoding,
        frame.flags,
        exponent,
        run_digest(frame.run_id),
        frame.rank,
        frame.attempt,
        frame.round,
        frame.step,
        frame.samples,
        len(body),
    )
    return header + _CRC.pack(crc32(body, crc32(header))), body


def payload_length(buffer: bytes | memoryview) -> int:
    """Return the payload's length in bytes according to the header, whose magic is checked.

    Raises:
        DamagedFrame: These are not the first bytes of a frame.
    """
    return int(_read_header(buffer)[-1])


def unpack(
    header: bytes | memoryview,
    body: bytes | memoryview,
    *,
    run_id: str,
    rank: int,
    round_number: int,
    step: int,
    dtype: np.dtype[Any],
) -> Frame:
    """Return a frame; refuse any but the expected one.

    Args:
        header: Its first `HEADER_BYTES` bytes.
        body: The others; the payload is a view of them if it is not encoded.
        run_id: The run that it must belong to.
        rank: The rank that must have sent it.
        round_number: The round that it must be of.
        step: The step within the round.
        dtype: What its values must be.

    Raises:
        DamagedFrame: Wrong magic, length or checksum: the value is not the one that was stored.
        FrameError: Wrong version, run, rank, round, step or dtype, or unknown flags; the field is named.
    """
    fields = _read_header(header)
    _, version, code, flags, exponent, run, sender, attempt, its_round, its_step, samples, length = fields
    if len(body) != length:
        raise DamagedFrame(f"{_place(run_id, rank, round_number, step)}: length is {len(body)}, expected {length}")
    (crc,) = _CRC.unpack_from(header, _HEADER.size)
    actual = crc32(body, crc32(header[: _HEADER.size]))
    if actual != crc:
        place = _place(run_id, rank, round_number, step)
        raise DamagedFrame(f"{place}: checksum is {actual:#010x}, the header says {crc:#010x}")
    its_dtype = _DTYPES.get(code)
    found = (version, run, sender, its_round, its_step, its_dtype)
    expected = (VERSION, run_digest(run_id), rank, round_number, step, dtype)
    if found != expected:
        named = ((*found[:-1], its_dtype or f"of unknown encoding {code}"), expected)
        raise FrameError(f"{_place(run_id, rank, round_number, step)}: {_first_difference(*named)}")
    if flags & _UNKNOWN_FLAGS:
        place = _place(run_id, rank, round_number, step)
        raise FrameError(f"{place}, attempt {attempt}: flags are {flags:#04x}, known are 1 and 2")
    try:
        payload = np.frombuffer(body, its_dtype) if code in _AS_THEY_ARE else _decode(body, code, exponent)
    except (ValueError, IndexError, struct.error) as error:
        place = _place(run_id, rank, round_number, step)
        raise FrameError(f"{place}: the payload does not decode ({error})") from error
    return Frame(run_id, sender, attempt, its_round, its_step, samples, payload, flags)


def _place(run_id: str, rank: int, round_number: int, step: int) -> str:
    return f"frame of run {run_id}, rank {rank}, round {round_number}, step {step}"


def _first_difference(found: tuple[Any, ...], expected: tuple[Any, ...]) -> str:
    names = ("protocol version", "run", "rank", "round", "step", "dtype")
    name, its, wanted = next(field for field in zip(names, found, expected, strict=True) if field[1] != field[2])
    return f"{name} is {its}, expected {wanted}"


def _encode(values: Array, encoding: Encoding) -> tuple[Encoding, int, memoryview]:
    """Return the encoding used, the exponent, and the bytes."""
    if encoding == Encoding.FLOAT16:
        largest = float(np.abs(values).max(initial=0.0))
        # NaN and infinity keep their meaning, whatever the exponent.
        exponent = int(np.frexp(largest)[1]) - _FLOAT16_TOP_EXPONENT if 0 < largest < np.inf else 0
        exponent = max(-128, min(127, exponent))
        return encoding, exponent, memoryview(np.ldexp(values, -exponent).astype("<f2").tobytes())
    if encoding == Encoding.SPARSE:
        indices = np.flatnonzero(values).astype("<u4")
        if _SIZE.size + indices.size * (indices.itemsize + values.itemsize) < values.nbytes:
            body = _SIZE.pack(values.size) + indices.tobytes() + values[indices].tobytes()
            return encoding, 0, memoryview(body)
        encoding = Encoding.FLOAT32
    return encoding, 0, bytes_of(values)


def bytes_of(values: Array) -> memoryview:
    """Return an array's bytes in place, if they are contiguous; else a copy's."""
    flat = np.ascontiguousarray(values)
    return flat.data.cast("B") if flat.nbytes else memoryview(b"")


def _decode(body: bytes | memoryview, code: int, exponent: int) -> Array:
    if code == Encoding.FLOAT16:
        scaled: Array = np.ldexp(np.frombuffer(body, "<f2").astype(np.float32), exponent)
        return scaled
    (size,) = _SIZE.unpack_from(body)
    entries = (len(body) - _SIZE.size) // 8
    indices = np.frombuffer(body, "<u4", entries, _SIZE.size)
    values = np.zeros(size, np.float32)
    values[indices] = np.frombuffer(body, "<f4", entries, _SIZE.size + 4 * entries)
    return values


def _read_header(buffer: bytes | memoryview) -> tuple[Any, ...]:
    if len(buffer) < HEADER_BYTES:
        raise DamagedFrame(f"frame has {len(buffer)} bytes, a header alone has {HEADER_BYTES}")
    header = _HEADER.unpack_from(buffer)
    if header[0] != MAGIC:
        raise DamagedFrame(f"frame begins with {header[0]!r}, expected {MAGIC!r}")
    return header

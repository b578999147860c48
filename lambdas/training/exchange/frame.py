"""The frame: one rank's part of one step, as it lies in the channel.

    byte  0        4   5   6       8                16     20       24      28     32        40       44      48
          +--------+---+---+-------+----------------+------+--------+-------+------+---------+--------+-------+---- ...
          | magic  | v | d | flags | run            | rank | attempt| round | step | samples | length | crc   | payload
          | 4s     | B | B | H     | Q              | I    | I      | I     | I    | Q       | I      | I     |
          +--------+---+---+-------+----------------+------+--------+-------+------+---------+--------+-------+---- ...

Little-endian throughout.
`v` is the protocol's version and `d` the payload's dtype.
`run` is a digest of the run id: a frame that strayed in from another run is refused.
`samples` counts the rows behind the payload, `length` its bytes.
`crc` is CRC-32 over the 44 bytes before it and the payload.
"""

import hashlib
import struct
import zlib
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from training.errors import FrameError

Array = NDArray[Any]

MAGIC = b"LEC2"
VERSION = 1
DTYPES = {1: np.dtype("<f4"), 2: np.dtype("<f8")}
_DTYPE_CODES = {dtype: code for code, dtype in DTYPES.items()}

_HEADER = struct.Struct("<4sBBHQIIIIQI")
_CRC = struct.Struct("<I")
HEADER_BYTES = _HEADER.size + _CRC.size


@dataclass(frozen=True, slots=True)
class Frame:
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


def run_digest(run_id: str) -> int:
    """64 bits that stand for the run id in a frame's header."""
    return int.from_bytes(hashlib.blake2b(run_id.encode(), digest_size=8).digest(), "little")


def pack(frame: Frame) -> bytes:
    """The frame's bytes: header and payload.

    Raises:
        FrameError: The payload's dtype has no code in the protocol.
    """
    code = _DTYPE_CODES.get(frame.payload.dtype)
    if code is None:
        raise FrameError(f"payload dtype is {frame.payload.dtype}; a frame carries {_dtype_names()}")
    payload = np.ascontiguousarray(frame.payload)
    header = _HEADER.pack(
        MAGIC,
        VERSION,
        code,
        frame.flags,
        run_digest(frame.run_id),
        frame.rank,
        frame.attempt,
        frame.round,
        frame.step,
        frame.samples,
        payload.nbytes,
    )
    body = payload.data.cast("B") if payload.nbytes else b""
    return b"".join((header, _CRC.pack(zlib.crc32(body, zlib.crc32(header))), body))


def payload_length(buffer: bytes) -> int:
    """The payload's length in bytes, as the header tells it; the header's own marks are checked.

    Raises:
        FrameError: These are not the first bytes of a frame of this protocol.
    """
    return int(_read_header(buffer)[-1])


def unpack(buffer: bytes, *, run_id: str, rank: int, round_number: int, step: int, dtype: np.dtype[Any]) -> Frame:
    """Reads a frame and refuses any but the one expected.

    Raises:
        FrameError: Wrong magic, version, run, rank, round, step, dtype, length or checksum; the field is named.
    """
    _, _, code, flags, run, sender, attempt, its_round, its_step, samples, length = _read_header(buffer)
    expected = {
        "run": (run, run_digest(run_id)),
        "rank": (sender, rank),
        "round": (its_round, round_number),
        "step": (its_step, step),
        "dtype": (DTYPES.get(code, code), dtype),
        "length": (len(buffer) - HEADER_BYTES, length),
    }
    for field, (found, wanted) in expected.items():
        if found != wanted:
            raise FrameError(
                f"frame of run {run_id}, rank {rank}, round {round_number}, step {step}: "
                f"{field} is {found}, expected {wanted}"
            )
    body = memoryview(buffer)[HEADER_BYTES:]
    (crc,) = _CRC.unpack_from(buffer, _HEADER.size)
    actual = zlib.crc32(body, zlib.crc32(memoryview(buffer)[: _HEADER.size]))
    if actual != crc:
        raise FrameError(
            f"frame of run {run_id}, rank {rank}, round {round_number}, step {step}: "
            f"checksum is {actual:#010x}, the header says {crc:#010x}"
        )
    payload = np.frombuffer(body, dtype=dtype)
    return Frame(run_id, sender, attempt, its_round, its_step, samples, payload, flags)


def _read_header(buffer: bytes) -> tuple[Any, ...]:
    if len(buffer) < HEADER_BYTES:
        raise FrameError(f"frame has {len(buffer)} bytes, a header alone has {HEADER_BYTES}")
    header = _HEADER.unpack_from(buffer)
    if header[0] != MAGIC:
        raise FrameError(f"frame begins with {header[0]!r}, expected {MAGIC!r}")
    if header[1] != VERSION:
        raise FrameError(f"frame has protocol version {header[1]}, expected {VERSION}")
    return header


def _dtype_names() -> str:
    return " or ".join(str(dtype) for dtype in DTYPES.values())

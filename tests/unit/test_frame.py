"""The frame: what is packed comes out again, and nothing else passes."""

import zlib

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from training.errors import FrameError
from training.exchange.frame import HEADER_BYTES, Encoding, Frame, pack, unpack

PLACE = {"run_id": "run", "rank": 3, "round_number": 7, "step": 1}


def a_frame(payload):
    """A frame of the place above."""
    return Frame("run", rank=3, attempt=1, round=7, step=1, samples=40, payload=payload)


def packed(frame, encoding=None):
    """The frame as one value."""
    return b"".join(pack(frame, encoding))


def unpacked(buffer, dtype=np.float32, **place):
    """The frame in a value that was received."""
    return unpack(buffer[:HEADER_BYTES], buffer[HEADER_BYTES:], **{**PLACE, **place}, dtype=np.dtype(dtype))


@given(arrays(np.float32, st.integers(0, 50), elements=st.floats(width=32, allow_nan=False)))
def test_a_frame_comes_out_as_it_went_in(payload):
    """Unpacking gives back every field and every bit of the payload."""
    frame = unpacked(packed(a_frame(payload)))

    assert payload.tobytes() == frame.payload.tobytes()
    assert (3, 1, 7, 1, 40) == (frame.rank, frame.attempt, frame.round, frame.step, frame.samples)


@given(st.integers(0, HEADER_BYTES + 19), st.integers(1, 255))
def test_no_single_changed_byte_passes(position, change):
    """A frame with one byte changed anywhere, header or payload, is refused."""
    buffer = bytearray(packed(a_frame(np.arange(5, dtype=np.float32))))
    buffer[position] ^= change

    with pytest.raises(FrameError):
        unpacked(bytes(buffer))


@given(st.integers(0, HEADER_BYTES + 19))
def test_no_truncated_frame_passes(length):
    """A frame cut anywhere is refused."""
    buffer = packed(a_frame(np.arange(5, dtype=np.float32)))[:length]

    with pytest.raises(FrameError):
        unpacked(buffer)


@pytest.mark.parametrize(
    ("place", "named"),
    [
        ({"run_id": "other"}, "run is"),
        ({"rank": 2}, "rank is 3"),
        ({"round_number": 8}, "round is 7"),
        ({"step": 0}, "step is 1"),
    ],
)
def test_a_frame_from_another_place_is_refused_by_name(place, named):
    """A frame of another run, rank, round or step is refused, and the error names the field."""
    buffer = packed(a_frame(np.arange(5, dtype=np.float32)))

    with pytest.raises(FrameError, match=named):
        unpacked(buffer, **place)


def test_another_dtype_is_refused():
    """A float32 frame where float64 is expected is refused."""
    with pytest.raises(FrameError, match="dtype is float32, expected float64"):
        unpacked(packed(a_frame(np.zeros(2, np.float32))), dtype=np.float64)


@given(arrays(np.float32, st.integers(0, 50), elements=st.floats(-(2.0**100), 2.0**100, width=32)))
def test_float16_loses_no_more_than_its_precision(values):
    """Whatever the scale of a part, float16 keeps it to a relative error of 2^-11 of its largest value."""
    received = unpacked(packed(a_frame(values), Encoding.FLOAT16)).payload

    assert np.abs(received - values).max(initial=0) <= np.abs(values).max(initial=0) * 2.0**-11


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_float16_does_not_hide_what_is_no_number(value):
    """NaN and infinity arrive as such: a diverging loss must be seen."""
    values = np.array([1, value], np.float32)
    received = unpacked(packed(a_frame(values), Encoding.FLOAT16)).payload

    np.testing.assert_array_equal(received[1:], values[1:])


@given(arrays(np.float32, st.integers(0, 200), elements=st.sampled_from([0.0, 0.0, 0.0, 0.0, 1.5, -2.0])))
def test_sparse_frames_are_exact_and_never_longer(values):
    """The sparse encoding gives back every value and is used only where it saves bytes."""
    buffer = packed(a_frame(values), Encoding.SPARSE)

    np.testing.assert_array_equal(unpacked(buffer).payload, values)
    assert len(buffer) <= len(packed(a_frame(values)))


def test_a_sparse_frame_whose_indices_are_out_of_range_is_refused():
    """Indices beyond the size are an error, not a crash."""
    values = np.zeros(1000, np.float32)
    values[999] = 1
    buffer = bytearray(packed(a_frame(values), Encoding.SPARSE))
    buffer[HEADER_BYTES : HEADER_BYTES + 4] = (5).to_bytes(4, "little")
    buffer[HEADER_BYTES - 4 : HEADER_BYTES] = zlib.crc32(
        buffer[HEADER_BYTES:], zlib.crc32(buffer[: HEADER_BYTES - 4])
    ).to_bytes(4, "little")

    with pytest.raises(FrameError, match="does not decode"):
        unpacked(bytes(buffer))


def test_a_dtype_without_a_code_cannot_be_packed():
    """Integers are refused when they are sent, not when they arrive."""
    with pytest.raises(FrameError, match="int64"):
        packed(a_frame(np.zeros(2, np.int64)))

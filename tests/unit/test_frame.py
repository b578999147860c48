"""The frame: what is packed comes out again, and nothing else passes."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from training.errors import FrameError
from training.exchange.frame import HEADER_BYTES, Frame, pack, unpack

PLACE = {"run_id": "run", "rank": 3, "round_number": 7, "step": 1}


def a_frame(payload):
    """A frame of the place above."""
    return Frame("run", rank=3, attempt=1, round=7, step=1, samples=40, payload=payload)


@given(arrays(np.float32, st.integers(0, 50), elements=st.floats(width=32, allow_nan=False)))
def test_a_frame_comes_out_as_it_went_in(payload):
    """Unpacking gives back every field and every bit of the payload."""
    frame = unpack(pack(a_frame(payload)), **PLACE, dtype=np.dtype(np.float32))

    assert payload.tobytes() == frame.payload.tobytes()
    assert (3, 1, 7, 1, 40) == (frame.rank, frame.attempt, frame.round, frame.step, frame.samples)


@given(st.integers(0, HEADER_BYTES + 19), st.integers(1, 255))
def test_no_single_changed_byte_passes(position, change):
    """A frame with one byte changed anywhere, header or payload, is refused."""
    buffer = bytearray(pack(a_frame(np.arange(5, dtype=np.float32))))
    buffer[position] ^= change

    with pytest.raises(FrameError):
        unpack(bytes(buffer), **PLACE, dtype=np.dtype(np.float32))


@given(st.integers(0, HEADER_BYTES + 19))
def test_no_truncated_frame_passes(length):
    """A frame cut anywhere is refused."""
    buffer = pack(a_frame(np.arange(5, dtype=np.float32)))[:length]

    with pytest.raises(FrameError):
        unpack(buffer, **PLACE, dtype=np.dtype(np.float32))


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
    buffer = pack(a_frame(np.arange(5, dtype=np.float32)))

    with pytest.raises(FrameError, match=named):
        unpack(buffer, **{**PLACE, **place}, dtype=np.dtype(np.float32))


def test_another_dtype_is_refused():
    """A float32 frame where float64 is expected is refused."""
    with pytest.raises(FrameError, match="dtype is float32, expected float64"):
        unpack(pack(a_frame(np.zeros(2, np.float32))), **PLACE, dtype=np.dtype(np.float64))


def test_a_dtype_without_a_code_cannot_be_packed():
    """Integers are refused when they are sent, not when they arrive."""
    with pytest.raises(FrameError, match="int64"):
        pack(a_frame(np.zeros(2, np.int64)))

"""CIFAR-10's binary format: consecutive records of one label byte and the bytes of an image.

label                1 byte, the class
red                  1024 bytes, 32 x 32 by rows
green, blue          1024 bytes each

https://www.cs.toronto.edu/~kriz/cifar.html
"""

import numpy as np
import numpy.typing as npt

from training.errors import InputError

IMAGE_BYTES = 3 * 32 * 32
RECORD_BYTES = 1 + IMAGE_BYTES


def split_records(body: bytes, *, source: str) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.float32]]:
    """Return the images, uint8 (rows, 3072), and labels, float32 (rows,), of whole records.

    Raises:
        InputError: The bytes are not a whole number of records.
    """
    if len(body) % RECORD_BYTES:
        raise InputError(
            f"{source}: {len(body)} bytes are not a whole number of CIFAR-10 records of {RECORD_BYTES} bytes; "
            "the dataset_type of LIBSVM text is dense_libsvm or sparse_libsvm"
        )
    records = np.frombuffer(body, np.uint8).reshape(-1, RECORD_BYTES)
    return np.ascontiguousarray(records[:, 1:]), records[:, 0].astype(np.float32)

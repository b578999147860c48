"""Train logistic regression in one NumPy process on partitions in S3, written by hand: the floor of the topic `higgs`.

    python -m benchmarks.plain BUCKET WORKERS BATCH VALID_RATIO RATE

It prints the million training rows per second of one epoch, from the first request to the last figure.
"""

import io
import sys
import time

import boto3
import numpy as np
import numpy.typing as npt

Float32 = npt.NDArray[np.float32]
# Rows that are evaluated at once.
PIECE = 1 << 16


def main(bucket: str, workers: int, batch: int, valid_ratio: float, rate: float) -> None:
    """Load, train and evaluate."""
    s3 = boto3.client("s3")
    started = time.perf_counter()
    parts = []
    for rank in range(workers):
        with np.load(io.BytesIO(s3.get_object(Bucket=bucket, Key=f"{rank}_{workers}")["Body"].read())) as arrays:
            x, y = arrays["x"], (arrays["y"] > 0).astype(np.float32)
        cut = len(y) - int(valid_ratio * len(y))
        parts.append((x[:cut], y[:cut], x[cut:], y[cut:]))
    weights, bias, losses = np.zeros(parts[0][0].shape[1], np.float32), np.float32(0), []
    for start in range(0, max(len(y) for _, y, _, _ in parts), batch):
        rows = slice(start, start + batch)
        # A batch takes rows of each partition, as the workers' does, without a copy of all rows.
        x, y = (np.concatenate([part[index][rows] for part in parts]) for index in (0, 1))
        margins = x @ weights + bias
        losses.append(float(np.logaddexp(0, margins).sum() - margins @ y))
        residuals = 1 / (1 + np.exp(-margins)) - y
        step = np.float32(rate / len(residuals))
        weights -= step * (residuals @ x)
        bias -= step * residuals.sum()
    for x, y in [half for part in parts for half in (part[:2], part[2:])]:
        for start in range(0, len(y), PIECE):
            rows = slice(start, start + PIECE)
            margins = x[rows] @ weights + bias
            losses.append(float(np.logaddexp(0, margins).sum() - margins @ y[rows]))
            np.count_nonzero((margins > 0) == y[rows])
    seconds = time.perf_counter() - started
    print(sum(len(y) for _, y, _, _ in parts) / seconds / 1e6)  # noqa: T201 - the result


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), float(sys.argv[4]), float(sys.argv[5]))

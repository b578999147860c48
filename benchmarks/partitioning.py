"""Compare partitioning a compressed file into S3 with `xz -dc FILE | wc -c`."""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from benchmarks.figure import Figure, Goal
from benchmarks.memory import Usage, usage_of
from benchmarks.stage import TREE, Stage, stage
from benchmarks.turns import timed
from harness.datasets.xz import find_blocks

ROWS, WORKERS, REPETITIONS = 400_000, 4, 3
FOLDER = Path(__file__).resolve().parents[1] / ".harness" / "bench"
IMPORTS = "import boto3, click, msgspec, numpy, polars"
# The command may take this long, and so many more seconds per row.
LIMIT_S, LIMIT_S_PER_ROW = 300.0, 1e-4


def partitioning() -> Iterator[Figure]:
    """Measure speed and memory."""
    with stage() as own:
        yield from figures_of(own, made_file(own, ROWS), ROWS, REPETITIONS)


def made_file(own: Stage, rows: int) -> Path:
    """Return a file of so many synthetic rows, generated once per clone: that takes longer than measuring."""
    file = FOLDER / f"rows-{rows}.xz"
    if not file.is_file():
        file.parent.mkdir(parents=True, exist_ok=True)
        new = file.with_name(f"new-{file.name}")
        own.harness("data", "make", "--rows", str(rows), "-o", str(new))
        for note in ("", ".json"):  # the note beside the file says that the rows are synthetic
            new.with_name(f"{new.name}{note}").replace(file.with_name(f"{file.name}{note}"))
    return file


def bucket_of(turn: int) -> str:
    """Return the bucket into which a turn partitions."""
    return f"bench-{turn}"


def figures_of(own: Stage, file: Path, rows: int, repetitions: int) -> Iterator[Figure]:
    """Measure speed and memory on one file; the partitions stay in the buckets.

    Args:
        own: The stage.
        file: The file.
        rows: Its rows.
        repetitions: The number of turns.
    """
    limit_s = LIMIT_S + LIMIT_S_PER_ROW * rows
    text_mb = _text_bytes(file) / 1e6  # the file is in the page cache from here on
    speeds, usages = [], []
    imports = [_watched(own, ["-c", IMPORTS], limit_s).peak_mb]
    for turn in range(repetitions):
        speeds.append(text_mb / timed(lambda: _decompress(file))[0])
        usages.append(_partition(own, file, turn, limit_s))
    yield Figure(
        name=f"partitioning .xz, {rows:,} rows ({text_mb:,.0f} MB of text)",
        unit="MB/s",
        floor_name="xz -dc FILE | wc -c",
        floor=tuple(speeds),
        ours=tuple(text_mb / usage.seconds for usage in usages),
        goal=Goal(0.9, at_least=True),
        more_is_better=True,
        note="start of Python and S3 included",
    )
    yield Figure(
        name=f"memory of partitioning {rows:,} rows, peak of all processes",
        unit="MB",
        floor_name="the libraries imported",
        floor=tuple(imports),
        ours=tuple(usage.peak_mb for usage in usages),
        goal=Goal(300, "value"),
    )


def _partition(own: Stage, file: Path, turn: int, limit_s: float) -> Usage:
    script = str(TREE / "fixtures" / "partition_data.py")
    flags = ["--file-path", str(file), "--n-workers", str(WORKERS), "--bucket-name", bucket_of(turn)]
    return _watched(own, [script, *flags, "--endpoint-url", own.stack.endpoints.s3], limit_s)


def _watched(own: Stage, arguments: list[str], limit_s: float) -> Usage:
    return usage_of([sys.executable, *arguments], cwd=own.settings.root, env=own.environment, limit_s=limit_s)


def _text_bytes(path: Path) -> int:
    """Read the whole file, and return the size of its text."""
    with path.open("rb") as file:
        blocks = find_blocks(file.fileno()) or []
        while file.read(1 << 20):
            pass
    return sum(block.text_bytes for block in blocks)


def _decompress(path: Path) -> None:
    with subprocess.Popen(["xz", "-dc", str(path)], stdout=subprocess.PIPE) as xz:
        subprocess.run(["wc", "-c"], stdin=xz.stdout, capture_output=True, check=True)

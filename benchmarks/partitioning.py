"""Compare partitioning a compressed file into S3 with `xz -dc FILE | wc -c`."""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from benchmarks.figure import Figure, Goal
from benchmarks.memory import Usage, usage_of
from benchmarks.stage import TREE, Stage, stage
from benchmarks.turns import timed

ROWS, WORKERS, REPETITIONS = 400_000, 4, 3
LIMIT_S = 300.0
# Generated once per clone, because that takes longer than measuring.
FILE = Path(__file__).resolve().parents[1] / ".harness" / "bench" / f"rows-{ROWS}.xz"
IMPORTS = "import boto3, click, msgspec, numpy, polars"


def partitioning() -> Iterator[Figure]:
    """Measure speed and memory."""
    with stage() as own:
        if not FILE.is_file():
            FILE.parent.mkdir(parents=True, exist_ok=True)
            new = FILE.with_name(f"new-{FILE.name}")
            own.harness("data", "make", "--rows", str(ROWS), "-o", str(new))
            new.replace(FILE)
        text_mb = _decompress(FILE) / 1e6  # the file is in the page cache from here on
        speeds, usages = [], []
        imports = [_watched(own, ["-c", IMPORTS]).peak_mb]
        for turn in range(REPETITIONS):
            speeds.append(text_mb / timed(lambda: _decompress(FILE))[0])
            usages.append(_partition(own, turn))
    yield Figure(
        name=f"partitioning .xz, {ROWS:,} rows ({text_mb:.0f} MB of text)",
        unit="MB/s",
        floor_name="xz -dc FILE | wc -c",
        floor=tuple(speeds),
        ours=tuple(text_mb / usage.seconds for usage in usages),
        goal=Goal(0.9, at_least=True),
        more_is_better=True,
        note="start of Python and S3 included",
    )
    yield Figure(
        name="memory of partitioning it, peak of all processes",
        unit="MB",
        floor_name="the libraries imported",
        floor=tuple(imports),
        ours=tuple(usage.peak_mb for usage in usages),
        goal=Goal(300, "value"),
    )


def _partition(own: Stage, turn: int) -> Usage:
    script = str(TREE / "fixtures" / "partition_data.py")
    flags = ["--file-path", str(FILE), "--n-workers", str(WORKERS), "--bucket-name", f"bench-{turn}"]
    return _watched(own, [script, *flags, "--endpoint-url", own.stack.endpoints.s3])


def _watched(own: Stage, arguments: list[str]) -> Usage:
    return usage_of([sys.executable, *arguments], cwd=own.settings.root, env=own.environment, limit_s=LIMIT_S)


def _decompress(path: Path) -> int:
    """Return the number of bytes of text in the file."""
    with subprocess.Popen(["xz", "-dc", str(path)], stdout=subprocess.PIPE) as xz:
        counted = subprocess.run(["wc", "-c"], stdin=xz.stdout, capture_output=True, check=True)
    return int(counted.stdout)

"""Takes out of a folder of installed packages what a Lambda function never reads.

    python3 slim.py /packages

Runs inside of an image's build and needs nothing but Python.
What is left is proven by the image's smoke test, which uses every package.
"""

import shutil
import sys
from pathlib import Path

# The AWS services that functions call. A client for another one needs its name here.
SERVICES = {"lambda", "s3", "sts"}
# boto3 and botocore describe each of AWS's services in a folder of its own: most of their size.
DESCRIPTIONS = ("boto3/data", "botocore/data")
FOLDERS = {"tests", "include", "__pycache__"}
# Sources and headers for compilers, static libraries, and type stubs.
SUFFIXES = {".a", ".c", ".cc", ".cpp", ".cu", ".cuh", ".h", ".hpp", ".pxd", ".pxi", ".pyi", ".pyx"}


def main() -> None:
    """Slims the folder that the command line names, and tells by how much."""
    packages = Path(sys.argv[1])
    before = size_mb(packages)
    for path in unneeded(packages):
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink()
    print(f"packages: {before:.1f} MB installed, {size_mb(packages):.1f} MB kept")  # noqa: T201 - the build's log


def unneeded(packages: Path) -> list[Path]:
    """Files and folders to remove; none lies within another."""
    services = [
        folder
        for description in DESCRIPTIONS
        for folder in (packages / description).glob("*/")
        if folder.is_dir() and folder.name not in SERVICES
    ]
    # Scripts name the interpreter of the build, and nobody calls them.
    scripts = [packages / "bin"] if (packages / "bin").is_dir() else []
    others = [path for path in packages.rglob("*") if _is_unneeded(path)]
    found = {*services, *scripts, *others}
    return sorted(path for path in found if found.isdisjoint(path.parents))


def _is_unneeded(path: Path) -> bool:
    return path.name in FOLDERS if path.is_dir() else path.suffix in SUFFIXES


def size_mb(folder: Path) -> float:
    """The size of all files below a folder."""
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file()) / 1e6


if __name__ == "__main__":
    main()

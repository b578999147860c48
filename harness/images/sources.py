"""Where images are built from: a clone of this project, or the files that the harness ships."""

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from harness.bundle import BUNDLE, CODE

# A file that every clone has, and hardly another project.
_MARK = Path("images") / "slim.py"


def sources_of(project: Path) -> Path:
    """Return the folder from which the functions' images are built: the project if it is a clone of this one."""
    return project if (project / _MARK).is_file() else BUNDLE


@contextmanager
def with_harness(project: Path) -> Iterator[Path]:
    """Yield the same folder with the harness's own code in it, which the images of services contain.

    A wheel has its files in two places; they are put together for the duration of the block.
    """
    sources = sources_of(project)
    if (sources / "harness").is_dir():
        yield sources
        return
    with tempfile.TemporaryDirectory(prefix="lambda-harness-sources-") as folder:
        shutil.copytree(sources, folder, dirs_exist_ok=True)
        ignored = shutil.ignore_patterns("__pycache__", BUNDLE.name)
        shutil.copytree(CODE / "harness", Path(folder) / "harness", ignore=ignored)
        yield Path(folder)

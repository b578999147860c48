"""A source folder of two files, and the image that is built from it."""

from pathlib import Path

from harness.images.catalogue import Recipe

RECIPE = Recipe("an_image", "code/Dockerfile", ("code",), ("packages.txt",), "")


def write_sources(folder: Path) -> Path:
    """Write the two files; return the folder."""
    (folder / "code").mkdir()
    (folder / "code" / "handler.py").write_text("def handler(): ...\n")
    (folder / "packages.txt").write_text("numpy==2\n")
    return folder

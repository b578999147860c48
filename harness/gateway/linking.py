"""Libraries of the cache, linked into a function's folder, where its package would have them."""

import os
from pathlib import Path


def link_into(folder: Path, libraries: list[Path]) -> None:
    """Link what lies in the libraries into a folder; its own files come first, and then the first library's.

    A folder that several of them have, such as a namespace package, gets the content of all.
    """
    for library in libraries:
        _merge(library, folder)


def _merge(source: Path, target: Path) -> None:
    for entry in os.scandir(source):
        place = target / entry.name
        if not os.path.lexists(place):
            place.symlink_to(entry.path)
        elif entry.is_dir() and place.is_dir():
            if place.is_symlink():
                linked = place.readlink()
                place.unlink()
                place.mkdir()
                _merge(linked, place)
            _merge(Path(entry.path), place)

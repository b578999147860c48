"""The code of modules, read and compiled once, to be run anew by each runtime that imports them.

A module that a runtime imports has a state of its own, as in a fresh process; what is shared is what lies in its file.
"""

from collections.abc import Iterable
from contextlib import suppress
from importlib.machinery import SourceFileLoader
from pathlib import Path
from types import CodeType


def hold_code(sources: Iterable[Path]) -> None:
    """Makes this process, and those forked from it, import these files without reading them again.

    Files of a function do not change: another package of it lies in another folder.

    Args:
        sources: Python files; one that cannot be compiled is left alone, and fails when it is imported.
    """
    held: dict[str, CodeType | None] = {}
    for source in sources:
        with suppress(SyntaxError, ValueError, OSError):
            held[str(source)] = SourceFileLoader(source.stem, str(source)).get_code(source.stem)
    read = SourceFileLoader.get_code

    def get_code(loader: SourceFileLoader, fullname: str) -> CodeType | None:
        # A loader of another kind may make something else of the file.
        code = held.get(loader.path) if type(loader) is SourceFileLoader else None
        return read(loader, fullname) if code is None else code

    SourceFileLoader.get_code = get_code  # type: ignore[method-assign,assignment]

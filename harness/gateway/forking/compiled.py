"""Compiled code of modules, kept so that each runtime that imports them runs it without reading the files again.

Each runtime still gets a module state of its own, as in a fresh process; only the code is shared.
"""

from collections.abc import Iterable
from contextlib import suppress
from importlib.machinery import SourceFileLoader
from pathlib import Path
from types import CodeType


def hold_code(sources: Iterable[Path]) -> None:
    """Make this process, and those forked from it, import these files without reading them again.

    A function's files do not change: another package of it is in another folder.

    Args:
        sources: Python files; one that cannot be compiled is skipped, and fails when it is imported.
    """
    held: dict[str, CodeType | None] = {}
    for source in sources:
        with suppress(SyntaxError, ValueError, OSError):
            held[str(source)] = SourceFileLoader(source.stem, str(source)).get_code(source.stem)
    read = SourceFileLoader.get_code

    def get_code(loader: SourceFileLoader, fullname: str) -> CodeType | None:
        # Another kind of loader may transform the file.
        code = held.get(loader.path) if type(loader) is SourceFileLoader else None
        return read(loader, fullname) if code is None else code

    SourceFileLoader.get_code = get_code  # type: ignore[method-assign,assignment]

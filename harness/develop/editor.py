"""The user's editor, for the event of an invocation."""

import os
from collections.abc import Callable, Mapping
from pathlib import Path
from shutil import which

import click

from harness.errors import HarnessError

_REMEDY = "set EDITOR to a program that edits a file"
# The last is on every system; Debian's `editor` is whatever the administrator has chosen.
_KNOWN = ("editor", "nano", "vim", "vi")


def editor_of(environ: Mapping[str, str], found: Callable[[str], str | None] = which) -> str:
    """Return the user's editor, or one that the system has; Debian's `sensible-editor` would open a menu first.

    Args:
        environ: The environment.
        found: Returns the path of a program, or None.

    Raises:
        HarnessError: There is none.
    """
    editor = environ.get("VISUAL") or environ.get("EDITOR") or next(filter(found, _KNOWN), None)
    if editor is None:
        raise HarnessError("no editor was found", remedy=_REMEDY)
    return editor


def edit(text: str, folder: Path) -> str | None:
    """Return the text as the user left it in the editor; None if the editor failed, as by `:cq` in vim.

    Args:
        text: The text.
        folder: Where the file lies meanwhile; whoever owns the folder removes it, even if the editor never ends.

    Raises:
        HarnessError: There is no editor, it cannot be started, or it left no text.
    """
    editor = editor_of(os.environ)
    path = folder / "event.json"
    path.write_text(text, encoding="utf-8")
    try:
        click.edit(filename=str(path), editor=editor)
        return path.read_text(encoding="utf-8-sig")
    except click.ClickException as error:
        if error.__cause__ is None:
            return None
        raise HarnessError(error.format_message(), remedy=_REMEDY) from error
    except (OSError, UnicodeDecodeError) as error:
        raise HarnessError(f"the event cannot be read: {error}") from error

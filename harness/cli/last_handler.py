"""Unexpected errors: one line on the terminal, and the traceback in a file."""

import errno
import os
import re
import sys
import tempfile
import threading
import traceback
from contextlib import suppress
from pathlib import Path

FILE_NAME = "last-error.txt"
_LONGEST_QUOTE = 300
_NOT_UTF_8 = re.compile("[\udc80-\udcff]")
# A full device, a used-up quota or a read-only file system: no fault of the program.
_NO_ROOM = {errno.ENOSPC, errno.EDQUOT, errno.EROFS}


def describe(error: BaseException) -> list[str]:
    """Return the lines to print for an error that no command has translated."""
    if isinstance(error, OSError) and error.errno in _NO_ROOM:
        place = error.filename or error.filename2
        where = f"cannot write {os.fsdecode(place)}" if place else f"folders: {Path.cwd()}, {tempfile.gettempdir()}"
        return [str(error.strerror).lower(), where, "free some space (or inodes: `df -i`), or work elsewhere"]
    if isinstance(error, UnicodeEncodeError) and _NOT_UTF_8.search(error.object):
        # Python represents bytes of the command line that are not UTF-8 in this way.
        return [f"{error.object!a} is not UTF-8", "give names and values as UTF-8"]
    if isinstance(error, OSError) and error.filename is not None:
        path = _keep(error)
        more = [f"the traceback is in {path}"] if path else []
        return [f"{os.fsdecode(error.filename)[:_LONGEST_QUOTE]}: {error.strerror}", *more]
    lines = [f"unexpected {_one_line(error)}"]
    path = _keep(error)
    if path is None:
        return [*lines, "the traceback could not be kept: no folder takes a file"]
    return [*lines, f"the traceback is in {path}", "this is a fault of the harness: report it with that file"]


def watch_threads() -> None:
    """Keep the tracebacks of errors in other threads and in destructors in a file, too."""
    threading.excepthook = lambda args: _warn(args.exc_value)
    sys.unraisablehook = lambda args: _warn(args.exc_value)


def _warn(error: BaseException | None) -> None:
    if error is None or isinstance(error, KeyboardInterrupt | SystemExit):
        return
    path = _keep(error)
    sys.stderr.write(f"warning: {_one_line(error)}" + (f"; the traceback is in {path}\n" if path else "\n"))


def _one_line(error: BaseException) -> str:
    with suppress(Exception):  # its `__str__` may fail
        words = " ".join(str(error).split())
        return f"{type(error).__name__}: {words[:_LONGEST_QUOTE]}" if words else type(error).__name__
    return type(error).__name__


def _keep(error: BaseException) -> Path | None:
    """Write the traceback to the state folder, or else to the folder for temporary files."""
    text = "".join(traceback.format_exception(error, limit=200))
    content = f"harness {' '.join(sys.argv[1:])}\n\n{text}".encode(errors="backslashreplace")
    with suppress(Exception):
        from harness.settings import load_settings

        path = load_settings().state_dir / FILE_NAME
        path.unlink(missing_ok=True)
        _write(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), content)
        return path
    with suppress(Exception):
        descriptor, name = tempfile.mkstemp(prefix="lambda-harness-", suffix=".txt")
        _write(descriptor, content)
        return Path(name)
    return None


def _write(descriptor: int, content: bytes) -> None:
    with open(descriptor, "wb") as file:
        file.write(content)

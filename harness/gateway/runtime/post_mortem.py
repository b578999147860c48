"""A post-mortem: pdb at the frame of the user's code that raised, in this process's terminal or one that connects.

It is run in the function's environment, which has only the standard library and the runtime.
"""

import json
import pdb  # noqa: T100 - it is what this module is about
import socket
from collections.abc import Callable
from contextlib import suppress
from types import FrameType, TracebackType
from typing import Any


class Terminal:
    """Serves post-mortems to a terminal that connects, as lines of JSON: `{"write": TEXT}` and `{"read": PROMPT}`.

    Args:
        spec: See `start`.
        paths: Folders of the project with those of the package.
        say: Tells the gateway.
    """

    def __init__(self, spec: dict[str, Any], paths: list[tuple[str, str]], say: Callable[[str], None]) -> None:
        self._address, self._token = (spec["host"], spec["port"]), spec["token"]
        self._paths, self._say = paths, say

    def post_mortem(self, error: BaseException) -> None:
        """Wait for the terminal, and let it look at an error until it quits or leaves."""
        try:
            listener = socket.create_server(self._address)
        except OSError as refusal:
            self._say(f"failed port {self._address[1]}: {refusal.strerror}")
            return
        with listener:
            self._say("raised")
            with suppress(OSError, ValueError, EOFError):
                while True:
                    connection, _ = listener.accept()
                    with connection, connection.makefile("rw", encoding="utf-8") as stream:
                        if stream.readline().strip() == self._token:
                            look(error, self._paths, TerminalStream(stream))
                            break
        self._say("attached")


class TerminalStream:
    """Standard input and output of a debugger at the other end of a connection.

    Args:
        stream: The connection.
    """

    encoding = "utf-8"

    def __init__(self, stream: Any) -> None:  # noqa: ANN401 - a text stream that is read and written
        self._stream, self._line = stream, ""

    def write(self, text: str) -> None:
        """Send text; the last line without an end becomes the prompt of a read."""
        head, end, self._line = (self._line + text).rpartition("\n")
        if end:
            self._send({"write": head + end})

    def flush(self) -> None:
        """Do nothing: whole lines are sent at once."""

    def readline(self) -> str:
        """Ask for a line; empty at the end."""
        prompt, self._line = self._line, ""
        self._send({"read": prompt})
        return str(json.loads(self._stream.readline() or '""'))

    def _send(self, message: dict[str, str]) -> None:
        self._stream.write(json.dumps(message) + "\n")
        self._stream.flush()


def look(error: BaseException, paths: list[tuple[str, str]], terminal: TerminalStream | None = None) -> None:
    """Open a post-mortem at the innermost frame of the user's code.

    Args:
        error: What was raised.
        paths: Folders of the project with those of the package: what lies below is the user's.
        terminal: Where to; None for this process's own terminal.
    """
    # The runtime raises an error of its own in the name of one that a module raised when it was imported.
    cause = error.__context__ if error.__context__ is not None and not _is_users(error, paths) else error
    traceback = cause.__traceback__
    while traceback is not None and not _lies_below(traceback.tb_frame, paths) and traceback.tb_next is not None:
        traceback = traceback.tb_next
    debugger = PostMortem(paths, terminal)
    debugger.message(f"{type(cause).__name__}: {cause}")
    debugger.reset()
    debugger.interaction(None, traceback or error.__traceback__)


def _is_users(error: BaseException, paths: list[tuple[str, str]]) -> bool:
    traceback = error.__traceback__
    while traceback is not None:
        if _lies_below(traceback.tb_frame, paths):
            return True
        traceback = traceback.tb_next
    return False


def _lies_below(frame: FrameType, paths: list[tuple[str, str]]) -> bool:
    name = frame.f_code.co_filename
    return any(name.startswith(inside.rstrip("/") + "/") for _, inside in paths)


class PostMortem(pdb.Pdb):
    """A pdb that shows the project's files instead of the package's.

    Args:
        paths: Folders of the project with those of the package.
        terminal: Standard input and output; None for this process's own.
    """

    def __init__(self, paths: list[tuple[str, str]], terminal: TerminalStream | None) -> None:
        super().__init__(stdin=terminal, stdout=terminal, readrc=False)  # type: ignore[arg-type]  # what pdb uses of them
        self._paths = paths
        if terminal is not None:
            self.use_rawinput = False

    def setup(self, frame: FrameType | None, traceback: TracebackType | None) -> Any:  # noqa: ANN401 - pdb's
        """Select the innermost frame of the user's code; called by pdb."""
        answer = super().setup(frame, traceback)
        own = [number for number, (each, _) in enumerate(self.stack) if _lies_below(each, self._paths)]
        if own:
            self.curindex = own[-1]
            self.curframe = self.stack[self.curindex][0]
            with suppress(AttributeError):  # later versions compute it
                self.curframe_locals = self.curframe.f_locals
        return answer

    def format_stack_entry(self, frame_lineno: Any, lprefix: str = ": ") -> str:  # noqa: ANN401 - pdb's
        """Return a frame in words; called by pdb."""
        text = super().format_stack_entry(frame_lineno, lprefix)
        # The longest first: an included library lies in a folder of the package's root.
        for local, inside in sorted(self._paths, key=lambda pair: -len(pair[1])):
            if text.startswith(inside):
                return local + text[len(inside) :]
        return text

"""A command in a pseudo-terminal: what a user sees and types."""

import os
import pty
import select
import subprocess
import time
from contextlib import contextmanager, suppress

WITHIN_S = 60.0


class Terminal:
    """What a user sees and types.

    Args:
        process: What runs in it.
        descriptor: The terminal's other side.
    """

    def __init__(self, process, descriptor):
        self.process, self._descriptor, self.text = process, descriptor, ""

    def wait_for(self, text):
        """Reads until the text is there."""
        deadline = time.monotonic() + WITHIN_S
        while text not in self.text:
            left = deadline - time.monotonic()
            assert left > 0, f"{text!r} did not come: {self.text}"
            if select.select([self._descriptor], [], [], left)[0]:
                self.text += os.read(self._descriptor, 65_536).decode()

    def type(self, text):
        """Types, and forgets what was seen."""
        self.text = ""
        os.write(self._descriptor, text.encode())

    def end(self, how):
        """Ends it, and returns its exit status."""
        how()
        with suppress(OSError):  # the last process has closed the terminal
            while select.select([self._descriptor], [], [], WITHIN_S)[0]:
                chunk = os.read(self._descriptor, 65_536)
                self.text += chunk.decode()
        return self.process.wait(WITHIN_S)


@contextmanager
def in_terminal(command, cwd):
    """A command in a terminal, which is its controlling one as in a shell."""
    ours, theirs = pty.openpty()

    process = subprocess.Popen(
        ["setsid", "--ctty", *map(str, command)],
        cwd=cwd, stdin=theirs, stdout=theirs, stderr=theirs, env={**os.environ, "TERM": "dumb"},
    )  # fmt: skip
    os.close(theirs)
    try:
        yield Terminal(process, ours)
    finally:
        if process.poll() is None:
            process.kill()
            process.wait()
        os.close(ours)

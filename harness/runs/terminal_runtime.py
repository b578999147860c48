"""The runtime of `harness rie`: `gateway/runtime/bootstrap.py`, with access to the user's terminal.

    python -P terminal_runtime.py STDIN CODE HANDLER [DEBUGGER FOLDER ...]

DEBUGGER is `gateway/runtime/debugger.py`, which opens a post-mortem in the terminal when the handler raises; FOLDERs
hold the user's code.
STDIN is an inherited descriptor: RIE gives its runtime an empty standard input, and `breakpoint()` needs the user's.
It is run by path in the function's environment, which has only the standard library and the runtime.
"""

import fcntl
import importlib.util
import os
import sys
import termios
from contextlib import suppress

from awslambdaric import bootstrap
from awslambdaric.__main__ import main


def take_terminal(descriptor: int) -> None:
    """Make a descriptor the standard input, and allow a background process to read from its terminal.

    RIE starts its runtime in a separate process group, which the terminal stops as soon as it reads.
    A process that has given up its controlling terminal is not stopped: tty_ioctl(4), TIOCNOTTY.
    """
    os.dup2(descriptor, 0)
    os.close(descriptor)
    with suppress(OSError):  # there is no terminal
        terminal = os.open("/dev/tty", os.O_RDWR | os.O_NOCTTY)
        fcntl.ioctl(terminal, termios.TIOCNOTTY)
        os.close(terminal)


def open_post_mortems(debugger: str, folders: list[str]) -> None:
    """Let the runtime open a post-mortem in this terminal when the handler, or its import, raises.

    Args:
        debugger: The path of `gateway/runtime/debugger.py`.
        folders: The folders of the user's code.
    """
    spec = importlib.util.spec_from_file_location("_harness_debugger", debugger)
    assert spec is not None  # noqa: S101 - a Python file has a loader
    assert spec.loader is not None  # noqa: S101 - the same
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    look = module.sibling("post_mortem").look
    paths = [(folder, folder) for folder in folders]
    module.wrap_handler(bootstrap, module.nothing, lambda error: look(error, paths))


if __name__ == "__main__":
    take_terminal(int(sys.argv.pop(1)))
    code = sys.argv.pop(1)
    # For CloudWatch the runtime prints a traceback as one event; on a terminal its lines would overwrite each other.
    bootstrap.ERROR_LOG_LINE_TERMINATE = "\n"
    if sys.argv[2:]:
        open_post_mortems(sys.argv[2], sys.argv[3:])
        del sys.argv[2:]
    os.chdir(code)
    sys.path.insert(0, code)
    main(sys.argv)

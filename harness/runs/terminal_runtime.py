"""The runtime of `harness rie`: `gateway/runtime/bootstrap.py`, with the terminal that RIE takes from it.

    python -P terminal_runtime.py STDIN CODE HANDLER

STDIN is an inherited descriptor: RIE gives its runtime an empty standard input, and `breakpoint()` needs the user's.
It is run by path, in the function's environment: the standard library and the runtime are all there is.
"""

import fcntl
import os
import sys
import termios
from contextlib import suppress

from awslambdaric import bootstrap
from awslambdaric.__main__ import main


def take_terminal(descriptor: int) -> None:
    """Make a descriptor the standard input, and read from a terminal though this process is in its background.

    RIE puts its runtime into a process group of its own, which a terminal stops as soon as it reads.
    A process that has given its controlling terminal up is not stopped: tty_ioctl(4), TIOCNOTTY.
    """
    os.dup2(descriptor, 0)
    os.close(descriptor)
    with suppress(OSError):  # there is no terminal
        terminal = os.open("/dev/tty", os.O_RDWR | os.O_NOCTTY)
        fcntl.ioctl(terminal, termios.TIOCNOTTY)
        os.close(terminal)


if __name__ == "__main__":
    take_terminal(int(sys.argv.pop(1)))
    code = sys.argv.pop(1)
    # For CloudWatch the runtime keeps a traceback in one event; on a terminal its lines would overwrite one another.
    bootstrap.ERROR_LOG_LINE_TERMINATE = "\n"
    os.chdir(code)
    sys.path.insert(0, code)
    main(sys.argv)

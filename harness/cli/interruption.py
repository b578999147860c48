"""Signals that end a command: they raise an exception in the main thread, and raise it again if it gets lost.

A C extension that is being imported may drop an exception, as `numpy.random` does.
Without a second attempt, one Ctrl-C in a hundred would do nothing.
"""

import signal
import sys
from types import FrameType
from typing import NoReturn

LOST_AFTER_S = 0.2

# The exception that was raised and has not arrived in `main` yet.
_raised: BaseException | None = None


class StopRequested(SystemExit):
    """A signal asks the command to end; blocks that are left on the way add notes about what they stopped.

    Args:
        number: The signal.
    """

    def __init__(self, number: int) -> None:
        self.signal = signal.Signals(number)
        super().__init__(128 + number)


def answer_signals() -> None:
    """Let Ctrl-C, SIGTERM and SIGHUP (a closed terminal) end the command in an orderly way."""
    # An inherited mask would keep this command, and the processes that it starts, from being stopped.
    signal.pthread_sigmask(signal.SIG_SETMASK, ())
    for number, handler in ((signal.SIGINT, interrupt), (signal.SIGTERM, _stop), (signal.SIGHUP, _stop)):
        # `nohup` ignores SIGHUP, and a shell ignores SIGINT for background jobs: such a command must continue.
        if signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, handler)
    signal.signal(signal.SIGALRM, _raise_again)


def arrived() -> None:
    """Forget the exception that was raised: the command has ended, because of it or otherwise."""
    global _raised  # noqa: PLW0603 - signals are the process's
    _raised = None
    signal.setitimer(signal.ITIMER_REAL, 0)


def interrupt(_number: int, _frame: FrameType | None) -> NoReturn:
    """Answer a signal as Python answers Ctrl-C.

    Raises:
        KeyboardInterrupt: Always.
    """
    _raise(KeyboardInterrupt())


def _stop(number: int, _frame: FrameType | None) -> None:
    # A closed terminal sends several signals, but the command is stopped only once.
    for each in (signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(each) is _stop:
            signal.signal(each, _ignore)
    _raise(StopRequested(number))


def _ignore(_number: int, _frame: FrameType | None) -> None:
    """Do nothing; unlike SIG_IGN, started programs do not inherit this."""


def _raise(error: BaseException) -> NoReturn:
    global _raised  # noqa: PLW0603 - signals are the process's
    _raised = error
    signal.setitimer(signal.ITIMER_REAL, LOST_AFTER_S, LOST_AFTER_S)
    try:
        raise error
    finally:
        # Error, traceback and frame would keep one another alive, and with them an executor that was just starting a
        # thread: at exit, Python would wait for that thread, and the thread for the executor's end.
        del error


def _raise_again(_number: int, _frame: FrameType | None) -> None:
    if _raised is not None and not _is_handled(_raised):
        _raise(_raised)


def _is_handled(error: BaseException) -> bool:
    """Return whether blocks are being left because of this exception, or of one that was raised from it."""
    to_look_at, seen = [sys.exc_info()[1]], set()
    while to_look_at:
        each = to_look_at.pop()
        if each is error:
            return True
        if each is not None and id(each) not in seen:
            seen.add(id(each))
            to_look_at += [each.__cause__, each.__context__]
    return False

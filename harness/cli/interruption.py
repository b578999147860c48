"""The signals that ask a command to end: an exception in the main thread, raised again if it gets lost.

A C extension that is being imported may drop an exception that is raised in the midst of it, as `numpy.random` does.
Without a second try, one Ctrl-C in a hundred would do nothing.
"""

import signal
import sys
from types import FrameType
from typing import NoReturn

LOST_AFTER_S = 0.2

# What was raised and has not arrived in `main` yet.
_raised: BaseException | None = None


class StopRequested(SystemExit):
    """A signal asked for the end; blocks that are left on the way note what they stopped.

    Args:
        number: The signal.
    """

    def __init__(self, number: int) -> None:
        self.signal = signal.Signals(number)
        super().__init__(128 + number)


def answer_signals() -> None:
    """Let Ctrl-C, SIGTERM, and SIGHUP when the terminal is closed, end the command in order."""
    # A mask that was inherited would keep this command, and whatever it starts, from being stopped.
    signal.pthread_sigmask(signal.SIG_SETMASK, ())
    for number, handler in ((signal.SIGINT, interrupt), (signal.SIGTERM, _stop), (signal.SIGHUP, _stop)):
        # `nohup` ignores SIGHUP, a shell the SIGINT of a job in the background, and what they start is to go on.
        if signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, handler)
    signal.signal(signal.SIGALRM, _raise_again)


def arrived() -> None:
    """Forget what was raised: the command has ended, by it or otherwise."""
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
    # A closed terminal sends several; what is being stopped is stopped once.
    for each in (signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(each) is _stop:
            signal.signal(each, _ignore)
    _raise(StopRequested(number))


def _ignore(_number: int, _frame: FrameType | None) -> None:
    """Does nothing; unlike SIG_IGN, programs that are started do not inherit it."""


def _raise(error: BaseException) -> NoReturn:
    global _raised  # noqa: PLW0603 - signals are the process's
    _raised = error
    signal.setitimer(signal.ITIMER_REAL, LOST_AFTER_S, LOST_AFTER_S)
    try:
        raise error
    finally:
        # Error, traceback and frame would keep one another alive, and with them an executor that was just starting a
        # thread: Python would wait for that thread at the end, and the thread for the executor's.
        del error


def _raise_again(_number: int, _frame: FrameType | None) -> None:
    if _raised is not None and not _is_handled(_raised):
        _raise(_raised)


def _is_handled(error: BaseException) -> bool:
    """Whether blocks are being left because of this exception, or of one that was made of it."""
    to_look_at, seen = [sys.exc_info()[1]], set()
    while to_look_at:
        each = to_look_at.pop()
        if each is error:
            return True
        if each is not None and id(each) not in seen:
            seen.add(id(each))
            to_look_at += [each.__cause__, each.__context__]
    return False

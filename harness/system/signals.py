"""Signals as something to wait for: a handler only leaves a note, so none interrupts what must be completed."""

import select
import signal
import socket
from types import FrameType, TracebackType
from typing import Self

# Python ignores these on purpose, and gives its children their default again.
_IGNORED_BY_PYTHON = {signal.SIGPIPE, signal.SIGXFSZ}
STOP_SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)


class SignalInbox:
    """Catches the signals that ask for an end, and the news of a child's death."""

    def __init__(self) -> None:
        """Must be made in the main thread, where Python runs handlers."""
        self.stop_requested = False
        self._receiver, self._sender = socket.socketpair()
        self._receiver.settimeout(0.0)
        self._sender.settimeout(0.0)

    def __enter__(self) -> Self:
        """Install the handlers, and drop what the caller ignored or blocked: children would inherit it."""
        signal.set_wakeup_fd(self._sender.fileno(), warn_on_full_buffer=False)
        for number in (*STOP_SIGNALS, signal.SIGCHLD):
            signal.signal(number, self._note)
        for number in signal.valid_signals() - _IGNORED_BY_PYTHON:
            if signal.getsignal(number) is signal.SIG_IGN:
                signal.signal(number, signal.SIG_DFL)
        # Last: a signal that is pending arrives now, and is noted.
        signal.pthread_sigmask(signal.SIG_SETMASK, ())
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """The handlers stay, as the process is about to end; only the channel is closed."""
        signal.set_wakeup_fd(-1)
        self._receiver.close()
        self._sender.close()

    def wait(self, timeout_s: float | None) -> None:
        """Returns at the next signal, or when the time is over; None waits for ever."""
        readable, _, _ = select.select([self._receiver], [], [], timeout_s)
        if readable:
            self._receiver.recv(4096)

    def _note(self, number: int, frame: FrameType | None) -> None:  # noqa: ARG002 - a handler's signature
        if number in STOP_SIGNALS:
            self.stop_requested = True

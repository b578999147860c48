"""Signals to wait for: their handlers only leave a note, so that none interrupts an operation that must complete."""

import select
import signal
import socket
from types import FrameType, TracebackType
from typing import Self

# Python ignores these on purpose, and restores their default in its children.
_IGNORED_BY_PYTHON = {signal.SIGPIPE, signal.SIGXFSZ}
STOP_SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)


class SignalInbox:
    """Catches the signals that request a stop, and SIGCHLD."""

    def __init__(self) -> None:
        """Initialise the inbox; call this in the main thread, where Python runs handlers."""
        self.stop_requested = False
        self._receiver, self._sender = socket.socketpair()
        self._receiver.settimeout(0.0)
        self._sender.settimeout(0.0)

    def __enter__(self) -> Self:
        """Install the handlers, and reset signals that the caller ignored or blocked: children would inherit that."""
        signal.set_wakeup_fd(self._sender.fileno(), warn_on_full_buffer=False)
        for number in (*STOP_SIGNALS, signal.SIGCHLD):
            signal.signal(number, self._note)
        for number in signal.valid_signals() - _IGNORED_BY_PYTHON:
            if signal.getsignal(number) is signal.SIG_IGN:
                signal.signal(number, signal.SIG_DFL)
        # Unblock last: a pending signal arrives now, and is noted.
        signal.pthread_sigmask(signal.SIG_SETMASK, ())
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Close the channel; the handlers stay installed, because the process is about to end."""
        signal.set_wakeup_fd(-1)
        self._receiver.close()
        self._sender.close()

    def wait(self, timeout_s: float | None) -> None:
        """Wait for the next signal or until the time is up; None waits forever."""
        readable, _, _ = select.select([self._receiver], [], [], timeout_s)
        if readable:
            self._receiver.recv(4096)

    def _note(self, number: int, frame: FrameType | None) -> None:  # noqa: ARG002 - a handler's signature
        if number in STOP_SIGNALS:
            self.stop_requested = True

"""`python -m harness`: the command line."""

# ruff: noqa: E402 - until the command can end in order, Ctrl-C ends it as it ends any program, without a traceback
import signal

interruptible = signal.getsignal(signal.SIGINT) is signal.default_int_handler
if interruptible:
    signal.signal(signal.SIGINT, signal.SIG_DFL)

from harness.cli.main import main

if interruptible:
    signal.signal(signal.SIGINT, signal.default_int_handler)
main()

"""`python -m harness`: the command line."""

import signal

# Until the command can end in order, Ctrl-C ends it as it ends any program, without a traceback.
if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
    signal.signal(signal.SIGINT, signal.SIG_DFL)

from harness.bundle import make_training_importable

make_training_importable()

from harness.cli.main import main  # noqa: E402 - it imports `training`

main()

"""Put the stack's guard before LocalStack's published image, which runs this file before its port opens.

Our own image is started by `localstack_launcher.py`, which does the same, and looks for no such scripts.
"""

import os
import runpy
import traceback

from localstack.runtime.current import get_current_runtime

try:
    runpy.run_path("/opt/lambda-harness/guard.py")["guard_localstack"](get_current_runtime().components.gateway)
except BaseException:  # noqa: BLE001 - whatever it is
    # LocalStack would log it and go on, with its door open to everybody.
    traceback.print_exc()
    os._exit(1)

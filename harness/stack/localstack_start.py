"""Place the stack's guard in front of LocalStack in its published image, which runs this file before it opens its port.

Our own image starts `localstack_launcher.py` instead, which installs the guard itself and runs no such scripts.
"""

import os
import runpy
import traceback

from localstack.runtime.current import get_current_runtime

try:
    runpy.run_path("/opt/lambda-harness/guard.py")["guard_localstack"](get_current_runtime().components.gateway)
except BaseException:  # noqa: BLE001 - any failure
    # LocalStack would log the failure and continue without the guard, open to everybody.
    traceback.print_exc()
    os._exit(1)

"""Start the runtime, as AWS's /var/runtime/bootstrap.py does: `python bootstrap.py CODE HANDLER`.

AWS's script imports the runtime, and with it a good part of the standard library, before it puts the function's
folder first in `sys.path`.
So a function may have a `json.py` or `logging.py` of its own: the runtime never sees it.
`python -m awslambdaric` in the function's folder would import these instead of the library's, and fail.
"""

import os
import sys


def main() -> None:
    """Serve a handler until the process ends."""
    script, code, handler = sys.argv
    if sys.path and sys.path[0] == os.path.dirname(script):  # noqa: PTH120 - pathlib is not imported on AWS either
        del sys.path[0]
    from awslambdaric.__main__ import main as serve  # noqa: PLC0415 - not where `multiprocessing` runs this again

    # RIE makes a URL of its working folder, and would not start in one with `#`, `%` or `?` in its name.
    os.chdir(code)
    sys.path.insert(0, code)
    sys.argv[1:] = [handler]
    serve(sys.argv)


if __name__ == "__main__":
    main()

"""The page's server in the background: `python -m harness.page ROOT`, started by a command with `--open`."""

import logging
import os
import sys

from harness.errors import HarnessError
from harness.page.server import serve_page
from harness.settings import load_settings_of_any_stack
from harness.system.private_files import PRIVATE_UMASK


def main() -> None:
    """Serve the page of the project in this folder until nobody needs it."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    logging.getLogger("httpx").setLevel(logging.WARNING)
    os.umask(PRIVATE_UMASK)
    os.chdir(sys.argv[1])
    try:
        serve_page(load_settings_of_any_stack(logging.warning), background=True)
    except HarnessError as error:
        sys.exit(str(error))


if __name__ == "__main__":
    main()

"""Start a pre-imported parent on a runtime's interpreter: `python start.py LISTENER CODE HANDLER [...]`.

A runtime's environment has neither the harness nor its libraries, and must not have them: a function would see them.
So this package is found by its path, and by then it is forgotten where it was found.
"""

import sys
from pathlib import Path

# Make room for the function's folder: this script's own folder holds no modules.
del sys.path[0]
ROOT = str(Path(__file__).resolve().parents[3])
sys.path.append(ROOT)
from harness.gateway.forking.parent import main  # noqa: E402 - the path is known only now

sys.path.remove(ROOT)
sys.path_importer_cache.pop(ROOT, None)

if __name__ == "__main__":
    main()

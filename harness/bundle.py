"""The files that the harness ships beside its code: the clone's folders, or their copy in the installed wheel.

`lambdas/`, `images/`, `requirements/`, `docker-compose.yml` and the training functions' `harness.toml` are found
nowhere else.
"""

import sys
from pathlib import Path

# The name by which pip, pipx and uv know the harness.
DISTRIBUTION = "local-lambda-harness"

_PACKAGE = Path(__file__).resolve().parent

# A wheel has the copy within the package, so that its top level holds `harness` alone.
_COPY = _PACKAGE / "bundled"

IS_CLONE = not _COPY.is_dir()
# The folder in which `lambdas/`, `images/` and `requirements/` lie.
BUNDLE = _PACKAGE.parent if IS_CLONE else _COPY
# The folder in which the package `harness` lies.
CODE = _PACKAGE.parent


def make_training_importable() -> None:
    """Let this process import `training` from the bundle, before any other package of that name.

    Only the harness's own commands do so: in a user's process, `training` may be the user's module.
    """
    folder = str(BUNDLE / "lambdas")
    if folder not in sys.path:
        sys.path.insert(0, folder)

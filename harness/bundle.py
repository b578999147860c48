"""The files that the harness ships beside its code: the clone's folders, or their copy in the installed wheel.

`lambdas/`, `images/`, `requirements/` and `docker-compose.yml` are found nowhere else.
"""

from pathlib import Path

_PACKAGE = Path(__file__).resolve().parent

# A wheel has the copy within the package, so that its top level holds `harness` alone.
_COPY = _PACKAGE / "bundled"

IS_CLONE = not _COPY.is_dir()
# The folder in which `lambdas/`, `images/` and `requirements/` lie.
BUNDLE = _PACKAGE.parent if IS_CLONE else _COPY
# The folder in which the package `harness` lies.
CODE = _PACKAGE.parent

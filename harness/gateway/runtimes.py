"""The runtimes of process mode: each an environment with its own interpreter, awslambdaric and boto3."""

import logging
import threading
from pathlib import Path

from harness.errors import HarnessError
from harness.gateway.errors import invalid_parameter
from harness.gateway.records import Function
from harness.runtimes.environments import ensure_environment, python_in
from harness.settings import OWN_RUNTIME

logger = logging.getLogger(__name__)


class Runtimes:
    """The environments that functions run in.

    Args:
        cache: The user's cache folder, which holds them.
    """

    def __init__(self, cache: Path) -> None:
        self._cache = cache
        self._pythons: dict[str, Path] = {}
        self._making = threading.Lock()

    def ready(self, runtime: str) -> Path:
        """Return the interpreter of a runtime; make its environment if it is missing, which takes some seconds.

        Raises:
            LambdaApiError: This machine lacks the interpreter, or the environment cannot be made.
        """
        runtime = runtime or OWN_RUNTIME
        with self._making:
            python = self._pythons.get(runtime)
            if python is None or not python.exists():
                try:
                    environment = ensure_environment(self._cache, runtime, log=logger.info)
                except HarnessError as error:
                    raise invalid_parameter("; ".join(str(error).splitlines())) from error
                python = self._pythons[runtime] = python_in(environment)
        return python

    def python_of(self, function: Function) -> Path:
        """Return the interpreter of a function, whose runtime was made when the function was created."""
        return self._pythons[function.runtime or OWN_RUNTIME]

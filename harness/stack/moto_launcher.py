"""Starts the moto server: `python -I moto_launcher.py PORT [HOST]`; like `moto_server`, without its command line.

What moto lacks for a rehearsal of a deployment is added by `moto_plugin`, service by service, as they are asked for.
"""

# ruff: noqa: E402 - the collector has to be off before the imports
import gc

# Nothing that an import makes is garbage; looking for some takes an eighth of the start.
gc.disable()

import sys
import threading
from collections.abc import Iterable
from typing import Any

from moto.moto_server.werkzeug_app import DomainDispatcherApplication, create_backend_app
from werkzeug.serving import make_server

FAULTS_ROUTE = "/_harness/faults"
ACCESS_ROUTE = "/_harness/access"


class Application:
    """moto, with what the harness adds to it.

    Args:
        port: Where it listens.
    """

    def __init__(self, port: int) -> None:
        self._port = port
        self._answer: Any = DomainDispatcherApplication(self._create)
        self._has_faults = self._has_roles = False
        self._changing = threading.Lock()

    def __call__(self, environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:  # noqa: ANN401 - WSGI's
        """Answers one request; faults and roles stand before moto from the first of them on."""
        if not self._has_faults and environ["PATH_INFO"] == FAULTS_ROUTE:
            self._begin_faults()
        if environ["PATH_INFO"] == ACCESS_ROUTE:
            self._restrict()
        answer: Iterable[bytes] = self._answer(environ, start_response)
        return answer

    def _create(self, service: Any) -> Any:  # noqa: ANN401 - moto's names of services, Flask's application
        from harness.stack.moto_plugin.install import prepare  # noqa: PLC0415 - after the start

        prepare(service, self._port)
        if service == "iam":
            self._restrict()
        return create_backend_app(service)

    def _begin_faults(self) -> None:
        from harness.stack.moto_plugin.faults import with_faults  # noqa: PLC0415 - few stacks are given faults

        with self._changing:
            if not self._has_faults:
                self._has_faults, self._answer = True, with_faults(self._answer)

    def _restrict(self) -> None:
        """From the first call of IAM on, which makes a role, functions may do only what their roles allow."""
        from harness.stack.moto_plugin.access import with_access  # noqa: PLC0415 - few stacks have roles

        with self._changing:
            if not self._has_roles:
                self._has_roles, self._answer = True, with_access(self._answer)


if __name__ == "__main__":
    port = int(sys.argv[1])
    host = sys.argv[2] if len(sys.argv) > 2 else "127.0.0.1"
    server = make_server(host, port, Application(port), threaded=True)
    gc.freeze()
    gc.enable()
    server.serve_forever()

"""Starts the moto server: `python -I moto_server.py PORT [HOST]`; like `moto_server`, without its command line.

The modules beside this one add what moto lacks for a rehearsal, each when its service is first asked for.
"""

# ruff: noqa: E402 - the collector has to be off before the imports
import gc

# Nothing that an import makes is garbage; looking for some takes an eighth of the start.
gc.disable()

import sys
import threading
from collections.abc import Iterable
from typing import Any
from urllib.parse import urlsplit

from moto.moto_server.werkzeug_app import DomainDispatcherApplication, create_backend_app
from werkzeug.serving import WSGIRequestHandler, make_server

from harness.guard import GuardedWsgi, guard_from_environment

# What the harness, its template and its documentation use, by moto's names. The others are off: some of them run
# containers (Lambda, Batch), and moto's own forgets everything on request.
SERVICES = frozenset(
    {
        "budgets",
        "cloudformation",
        "ec2",
        "ecr",
        "elasticache",
        "iam",
        "logs",
        "resourcegroupstaggingapi",
        "s3",
        "sqs",
        "sts",
    }
)
# A connection on which nothing comes for so long is closed: in the middle of a request, and between two.
IDLE_S = 75
FAULTS_ROUTE = "/_harness/faults"
ACCESS_ROUTE = "/_harness/access"


class Dispatcher(DomainDispatcherApplication):
    """moto's choice of a service for a request; one that names none of ours in full is answered, too."""

    def get_application(self, environ: dict[str, Any]) -> Any:  # noqa: ANN401 - Flask's, or WSGI's
        """Return what answers."""
        try:
            return super().get_application(environ)
        except LookupError:
            # Some services are told apart by headers that this request does not have.
            return not_here


class Application:
    """moto, with what the harness adds to it.

    Args:
        port: Where it listens.
    """

    def __init__(self, port: int) -> None:
        self._port = port
        self._answer: Any = Dispatcher(self._create)
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
        if service not in SERVICES:
            return not_here
        from harness.emulation.install import prepare  # noqa: PLC0415 - after the start

        prepare(service, self._port)
        if service == "iam":
            self._restrict()
        return create_backend_app(service)

    def _begin_faults(self) -> None:
        from harness.emulation.faults import with_faults  # noqa: PLC0415 - few stacks are given faults

        with self._changing:
            if not self._has_faults:
                self._has_faults, self._answer = True, with_faults(self._answer)

    def _restrict(self) -> None:
        """From the first call of IAM on, which makes a role, functions may do only what their roles allow."""
        from harness.emulation.access import with_access  # noqa: PLC0415 - few stacks have roles

        with self._changing:
            if not self._has_roles:
                self._has_roles, self._answer = True, with_access(self._answer)


def not_here(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:  # noqa: ANN401 - WSGI's
    """Answer a call of a service that is off."""
    from harness.emulation.faults import refuse, signer_of  # noqa: PLC0415
    from harness.faults.calls import CallFault  # noqa: PLC0415 - nobody calls it

    service = signer_of(environ)[1]
    message = f"{service or 'this service'} is not part of the stack, which has {', '.join(sorted(SERVICES))}"
    return refuse(start_response, CallFault("ServiceNotAvailable", message=message, status=501), service, environ)


class RequestHandler(WSGIRequestHandler):
    """One connection: it ends when nothing comes, and its log shows no credentials."""

    timeout = IDLE_S

    def log_request(self, code: int | str = "-", size: int | str = "-") -> None:
        """Log a request without its query, which in a presigned URL holds the access key."""
        self.log("info", '"%s %s" %s %s', self.command, urlsplit(self.path).path, code, size)


if __name__ == "__main__":
    port = int(sys.argv[1])
    host = sys.argv[2] if len(sys.argv) > 2 else "127.0.0.1"
    guarded = GuardedWsgi(Application(port), guard_from_environment("s3"))
    server = make_server(host, port, guarded, threaded=True, request_handler=RequestHandler)
    gc.freeze()
    gc.enable()
    server.serve_forever()

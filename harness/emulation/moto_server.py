"""Starts moto server: `python -I moto_server.py PORT [HOST]`, like `moto_server`, but without its command line.

The modules beside this one add what moto lacks for a rehearsal, each on the first request to its service.
"""

# ruff: noqa: E402 - the garbage collector must be off before the imports
import gc

# Imports create no garbage, and looking for it takes an eighth of the start.
gc.disable()

import functools
import os
import sys
import threading
from collections.abc import Iterable
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from moto.moto_server.werkzeug_app import DomainDispatcherApplication, create_backend_app
from werkzeug.serving import WSGIRequestHandler, make_server

from harness.emulation.environment import EVERY_SERVICE, RESET_ROUTE, SNAPSHOTS
from harness.guard import GuardedWsgi, guard_from_environment

# The services that the harness, its template and its documentation use, by moto's names. The others are off: some run
# containers (Lambda, Batch), and moto's own service erases everything on request.
# A stack for tests has all but these.
NEVER = frozenset({"awslambda", "lambda", "batch", "batch_simple", "lambda_simple", "instance_metadata", "moto_api"})
SERVICES = frozenset(
    {
        "budgets",
        "cloudformation",
        "cloudwatch",
        "ec2",
        "ecr",
        "elasticache",
        "events",
        "fis",
        "iam",
        "logs",
        "resourcegroupstaggingapi",
        "s3",
        "sns",
        "sqs",
        "sts",
    }
)
# A connection without input for this long is closed, within a request or between two.
IDLE_S = 75
FAULTS_ROUTE = "/_harness/faults"
ACCESS_ROUTE = "/_harness/access"
CONTENT_ROUTE = "/_harness/content"


class Dispatcher(DomainDispatcherApplication):
    """moto's choice of a service for a request; requests for no known service get an answer, too."""

    def get_backend_for_host(self, host: str | None) -> Any:  # noqa: ANN401 - a name, or None
        """Return the name of a host's backend, looked up once: moto reads the folder of its modules each time."""
        return self._backend_of(host)

    @functools.cached_property
    def _backend_of(self) -> Any:  # noqa: ANN401 - the same, cached
        return functools.lru_cache(maxsize=1024)(super().get_backend_for_host)

    def get_application(self, environ: dict[str, Any]) -> Any:  # noqa: ANN401 - Flask's, or WSGI's
        """Return the application that answers a request."""
        try:
            return super().get_application(environ)
        except LookupError:
            # moto distinguishes some services by headers that this request lacks.
            return not_here


class Application:
    """moto with the harness's additions.

    Args:
        port: The port of this server.
    """

    def __init__(self, port: int) -> None:
        self._port = port
        self._plain: Any = Dispatcher(self._create)
        self._answer: Any = self._plain
        self._has_faults = self._has_roles = False
        self._has_every_service = EVERY_SERVICE in os.environ
        self._changing = threading.Lock()

    def __call__(self, environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:  # noqa: ANN401 - WSGI's
        """Answer a request; the checks for faults and roles come before moto as soon as there are any."""
        if not self._has_faults and environ["PATH_INFO"] == FAULTS_ROUTE:
            self._begin_faults()
        if environ["PATH_INFO"] == ACCESS_ROUTE:
            self._restrict()
        if environ["PATH_INFO"] == RESET_ROUTE and environ["REQUEST_METHOD"] == "POST":
            self._reset()
            start_response("204 No Content", [])
            return []
        if environ["PATH_INFO"] == CONTENT_ROUTE:
            return _content(start_response)
        answer: Iterable[bytes] = self._answer(environ, start_response)
        return answer

    def _create(self, service: Any) -> Any:  # noqa: ANN401 - moto's names of services, Flask's application
        if service in NEVER or not (self._has_every_service or service in SERVICES):
            return not_here
        from harness.emulation.install import prepare  # noqa: PLC0415 - after the start

        prepare(service, self._port)
        if service == "iam":
            self._restrict()
        return create_backend_app(service)

    def _begin_faults(self) -> None:
        from harness.emulation.faults import with_faults  # noqa: PLC0415 - few stacks have faults

        with self._changing:
            if not self._has_faults:
                self._has_faults, self._answer = True, with_faults(self._answer)

    def _restrict(self) -> None:
        """Enforce roles from the first call to IAM, which creates one."""
        from harness.emulation.access import with_access  # noqa: PLC0415 - few stacks have roles

        with self._changing:
            if not self._has_roles:
                self._has_roles, self._answer = True, with_access(self._answer)

    def _reset(self) -> None:
        """Forget all resources, faults and roles, for the next test."""
        from moto.moto_api._internal.models import moto_api_backend  # noqa: PLC0415 - only tests reset

        from harness.emulation.faults import FAULTS, FaultPlan  # noqa: PLC0415 - as above

        with self._changing:
            self._has_faults = self._has_roles = False
            self._answer = self._plain
            FAULTS.put(FaultPlan())
            moto_api_backend.reset()


def _content(start_response: Any) -> Iterable[bytes]:  # noqa: ANN401 - WSGI's
    """Answer with what the services hold."""
    import msgspec  # noqa: PLC0415 - only explorations ask

    from harness.emulation.content import content  # noqa: PLC0415 - as above

    found = msgspec.json.encode(content())
    start_response("200 OK", [("Content-Type", "application/json"), ("Content-Length", str(len(found)))])
    return [found]


def not_here(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:  # noqa: ANN401 - WSGI's
    """Answer a call to a service that is off."""
    from harness.emulation.faults import refuse, signer_of  # noqa: PLC0415
    from harness.faults.calls import CallFault  # noqa: PLC0415 - rarely needed

    service = signer_of(environ)[1]
    message = f"{service or 'this service'} is not part of the stack, which has {', '.join(sorted(SERVICES))}"
    return refuse(start_response, CallFault("ServiceNotAvailable", message=message, status=501), service, environ)


class RequestHandler(WSGIRequestHandler):
    """One connection: it closes when idle, and its log shows no credentials."""

    timeout = IDLE_S

    def log_request(self, code: int | str = "-", size: int | str = "-") -> None:
        """Log a request without its query, which in a presigned URL holds the access key."""
        self.log("info", '"%s %s" %s %s', self.command, urlsplit(self.path).path, code, size)


if __name__ == "__main__":
    port = int(sys.argv[1])
    host = sys.argv[2] if len(sys.argv) > 2 else "127.0.0.1"
    guarded = GuardedWsgi(Application(port), guard_from_environment("s3"))
    if SNAPSHOTS in os.environ:
        from harness.emulation.snapshots import Snapshots, endable

        server = make_server(host, port, guarded, threaded=True, request_handler=endable(RequestHandler))
        gc.enable()
        Snapshots(server, Path(os.environ[SNAPSHOTS])).run()
    server = make_server(host, port, guarded, threaded=True, request_handler=RequestHandler)
    gc.freeze()
    gc.enable()
    server.serve_forever()

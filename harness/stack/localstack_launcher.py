"""Start LocalStack as a stack's S3: `python -I localstack_launcher.py FOLDER`.

LocalStack's own Python runs this file, so it imports nothing from the harness.
The stack's guard, `guard.py`, is loaded from its file and placed in front of LocalStack.
The launcher changes five behaviours of LocalStack that have no setting:

- S3 stores objects in one fixed folder below the system's temporary directory, shared by all users and instances.
- It listens on every interface, regardless of the configured address.
- To find the service of a request, it reads the descriptions of all AWS services: 5 s and 350 MB.
- It reads and sends objects 64 KB at a time, one event-loop turn each: half of the time for a large object.
- It creates an HTTPS certificate, which nothing uses here: 0.3 s.
"""

# ruff: noqa: E402 - the garbage collector must be off before the imports
import gc

# Imports create no garbage; collecting during them takes an eighth of the start-up time.
gc.disable()

import os
import runpy
import sys
from pathlib import Path

from localstack.aws import spec
from localstack.config import HostAndPort
from localstack.runtime.main import main
from localstack.runtime.server.twisted import TwistedRuntimeServer
from localstack.services.s3 import provider
from localstack.services.s3.storage import ephemeral
from localstack.utils import ssl
from rolo.gateway import Gateway  # type: ignore[import-not-found]
from rolo.serving.twisted import TwistedGateway  # type: ignore[import-not-found]
from twisted.internet import reactor  # type: ignore[import-not-found]

SERVICES = ("s3", "sts")
CHUNK_BYTES = 1 << 20
# In an image it is beside this file, in a clone in the parent folder.
GUARD = next(path for folder in Path(__file__).resolve().parents[:2] if (path := folder / "guard.py").is_file())


def listen_as_told(
    server: TwistedRuntimeServer,  # noqa: ARG001 - takes the place of the method `register`
    gateway: Gateway,
    addresses: list[HostAndPort],
    certificate: object,  # noqa: ARG001
) -> None:
    """Listen on these addresses only, behind the guard."""
    guard = runpy.run_path(str(GUARD))
    guard["guard_localstack"](gateway)
    # The child processes of LocalStack must not inherit the secret.
    del os.environ[guard["SECRET_VARIABLE"]]
    for address in addresses:
        reactor.listenTCP(address.port, TwistedGateway(gateway), interface=address.host)


def no_certificate(serial_number: int) -> tuple[None, None, None]:  # noqa: ARG001 - LocalStack's signature
    """Create no certificate."""
    return None, None, None


if __name__ == "__main__":
    provider.DEFAULT_S3_TMP_DIR = sys.argv[1]
    ephemeral.S3_CHUNK_SIZE = CHUNK_BYTES
    spec.list_services = lambda: [spec.load_service(name) for name in SERVICES]
    ssl.create_ssl_cert = no_certificate
    TwistedRuntimeServer.register = listen_as_told
    gc.freeze()
    gc.enable()
    main()

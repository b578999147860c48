"""Starts LocalStack as a stack's S3: `python -I localstack_launcher.py FOLDER`.

Run by LocalStack's own Python, so it imports nothing of the harness.
Before it stands the guard of the stack, `guard.py`, loaded from its file.
It changes five things of LocalStack's that no setting changes:

- S3 keeps its objects in one folder below the system's temporary directory, whoever runs it, however often.
- It listens on every interface, whatever address it is given.
- To know which service a request is for, it reads the descriptions of all of AWS's services: 5 s and 350 MB.
- It reads and sends objects 64 KB at a time, each with a turn of its event loop: half of the time of a large object.
- It makes a certificate for HTTPS, which nobody uses here: 0.3 s.
"""

# ruff: noqa: E402 - the collector has to be off before the imports
import gc

# Nothing that an import makes is garbage; looking for some takes an eighth of the start.
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
# Beside this file in an image, in the folder above in a clone.
GUARD = next(path for folder in Path(__file__).resolve().parents[:2] if (path := folder / "guard.py").is_file())


def listen_as_told(
    server: TwistedRuntimeServer,  # noqa: ARG001 - takes the place of the method `register`
    gateway: Gateway,
    addresses: list[HostAndPort],
    certificate: object,  # noqa: ARG001
) -> None:
    """Listen at these addresses and no others, behind the guard."""
    guard = runpy.run_path(str(GUARD))
    guard["guard_localstack"](gateway)
    # Nothing that LocalStack starts has any use for it.
    del os.environ[guard["SECRET_VARIABLE"]]
    for address in addresses:
        reactor.listenTCP(address.port, TwistedGateway(gateway), interface=address.host)


def no_certificate(serial_number: int) -> tuple[None, None, None]:  # noqa: ARG001 - LocalStack's signature
    """Makes none."""
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

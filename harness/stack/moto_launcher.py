"""Starts the moto server: `python -I moto_launcher.py PORT [HOST]`; like `moto_server`, without its command line."""

# ruff: noqa: E402 - the collector has to be off before the imports
import gc

# Nothing that an import makes is garbage; looking for some takes an eighth of the start.
gc.disable()

import sys

from moto.moto_server.werkzeug_app import DomainDispatcherApplication, create_backend_app
from werkzeug.serving import make_server

if __name__ == "__main__":
    application = DomainDispatcherApplication(create_backend_app)
    host = sys.argv[2] if len(sys.argv) > 2 else "127.0.0.1"
    server = make_server(host, int(sys.argv[1]), application, threaded=True)
    gc.freeze()
    gc.enable()
    server.serve_forever()

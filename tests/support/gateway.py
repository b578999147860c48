"""A gateway, functions on it that tests write themselves, and the processes below it."""

import json
import re
import uuid
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psutil

from harness.aws.clients import clients_for
from harness.folders import cache_folder
from harness.runs.functions import package
from harness.runs.layers import ensure_layers
from harness.runtimes.libraries import ensure_libraries
from harness.settings import OWN_RUNTIME, FunctionSettings
from tests.support.functions import ROLE

CACHE = cache_folder(Path())


class Service:
    """A gateway, and functions on it."""

    def __init__(self, stack) -> None:
        self.stack, self.clients = stack, clients_for(stack.endpoints)

    def create(self, source, handler, requirements=(), layers=(), image="", **configuration):
        """A function of a folder, with the libraries of requirements files; those of an image may need a newer base."""
        name = f"{re.sub(r'[./].*', '', handler)}-{uuid.uuid4().hex[:8]}"
        files = tuple(map(str, requirements))
        settings = FunctionSettings(
            source=source, handler=handler, requirements=files, layers=tuple(layers), image=image
        )
        code = package(
            settings, ensure_libraries(settings, CACHE, log=print), ensure_layers(settings, CACHE, log=print)
        )
        self.clients.functions.create_function(
            FunctionName=name,
            Runtime=configuration.pop("Runtime", OWN_RUNTIME),
            Role=ROLE,
            Handler=handler,
            Code={"ZipFile": code},
            **{"Timeout": 30, "MemorySize": 256, **configuration},
        )
        return name

    def invoke(self, name, event=None):
        """The decoded answer."""
        answer = self.clients.functions.invoke(FunctionName=name, Payload=json.dumps(event or {}))
        return json.loads(answer["Payload"].read())

    def at_once(self, name, *events):
        """The answers to events that run at the same time."""
        with ThreadPoolExecutor(len(events)) as pool:
            return list(pool.map(lambda event: self.invoke(name, event), events))

    def descendants(self):
        """Processes below the gateway."""
        return psutil.Process(self.stack.processes["gateway"]).children(recursive=True)


def runs(pid):
    """Whether a process is there and no zombie."""
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False

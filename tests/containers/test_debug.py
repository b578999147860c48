"""A function in a container under a debugger: through one port of the loopback interface, from its own network."""

import json
import socket
import threading
import uuid
from pathlib import Path
from queue import SimpleQueue

import psutil
import pytest

from harness.aws.clients import clients_for
from harness.gateway.debug_records import DebugRequest, DebugTarget
from harness.runs.debugged_invocation import invoke_debugged
from harness.runs.debugging import debug_ports, debug_targets
from harness.runs.launch import run
from harness.runs.prepared import prepare_run
from harness.runs.run_target import stack_target
from harness.stack import start_private_stack
from harness.system.debugpy import ensure_debugpy
from tests.support.dap import DebugClient
from tests.support.functions import ROLE, code_arguments, handlers_image
from tests.support.running import run_job

HANDLERS = Path(__file__).parents[2] / "fixtures" / "handlers"
WITHIN_S = 60.0
TRAIN = Path(__file__).parents[2] / "lambdas" / "training" / "algorithm" / "gradient_averaging.py"
LINE = next(n for n, text in enumerate(TRAIN.read_text().splitlines(), 1) if "parameters, slots = steps.take" in text)


@pytest.fixture(scope="module")
def stack(engine, base, settings):
    """A stack in containers; moto as S3 starts quicker."""
    del engine, base
    ensure_debugpy(settings, print)
    with start_private_stack(settings, s3="moto", mode="container") as state:
        yield state


@pytest.fixture(scope="module")
def image(engine, base, tmp_path_factory):
    """All handlers of one behaviour."""
    del engine, base
    with handlers_image(tmp_path_factory.mktemp("image")) as image_id:
        yield image_id


class Invoked:
    """An invocation under a debugger that goes on in a thread.

    Args:
        stack: The stack.
        image: The image with the behaviours.
        behaviour: The function's.
        kind: The debugger.
    """

    def __init__(self, stack, image, behaviour, kind):
        name = f"{behaviour}-{uuid.uuid4().hex[:8]}"
        client = clients_for(stack.endpoints).functions
        client.create_function(FunctionName=name, Role=ROLE, Timeout=2, **code_arguments(behaviour, image))
        (self.port,) = debug_ports(None)
        targets = (DebugTarget(self.port),)
        request = DebugRequest(name, targets, kind=kind, paths=((str(HANDLERS), "."),), token="a-token")
        self._states, self._answers = SimpleQueue(), SimpleQueue()

        def run():
            answer = invoke_debugged(stack, request, b'{"x": 42}', report=self._states.put, remind=lambda: None)
            self._states.put(None)
            self._answers.put(answer)

        threading.Thread(target=run, daemon=True).start()

    def until(self, state):
        """Waits until the debugger is in that state."""
        while (change := self._states.get(timeout=WITHIN_S)).state != state:
            assert change is not None, "it has ended"

    def answer(self):
        """The function's answer."""
        return self._answers.get(timeout=WITHIN_S)


def test_a_breakpoint_in_an_image(stack, image):
    """The user's file stops, the function's module is not imported before, and other interfaces have no such port."""
    source = HANDLERS / "echo.py"
    line = next(n for n, text in enumerate(source.read_text().splitlines(), 1) if "count += 1" in text)
    invoked = Invoked(stack, image, "echo", "debugpy")
    invoked.until("waiting")

    with DebugClient(invoked.port) as client:
        client.attach({source: [1, line]})
        frame, *_ = client.stopped()
        while frame["name"] == "<module>":
            client.proceed()
            frame, *_ = client.stopped()
        variables = client.variables(frame)
        elsewhere = [a.address for all_ in psutil.net_if_addrs().values() for a in all_ if a.family.name == "AF_INET"]
        reached = [address for address in elsewhere if reaches(address, invoked.port)]
        client.proceed()
        answer = invoked.answer()

    assert (str(source), "handler") == (frame["source"]["path"], frame["name"])
    assert "42" in variables["event"]
    assert ["127.0.0.1"] == reached
    assert not answer.error, answer.payload


def test_a_post_mortem_in_an_image(stack, image):
    """It is served at the frame that raised, to whoever knows the token."""
    invoked = Invoked(stack, image, "raise_error", "pdb")
    invoked.until("raised")

    with (
        socket.create_connection(("127.0.0.1", invoked.port)) as connection,
        connection.makefile("rw", encoding="utf-8") as stream,
    ):
        stream.write("a-token\n")
        stream.flush()
        told = ""
        while "read" not in (message := json.loads(stream.readline())):
            told += message["write"]
        stream.write(json.dumps("q\n") + "\n")
        stream.flush()
        answer = invoked.answer()

    assert f"{HANDLERS}/raise_error.py(" in told
    assert "(Pdb)" in message["read"]
    assert answer.error


def test_a_breakpoint_in_one_rank_changes_nothing(stack, settings):
    """Rank 1 of a run stops in the user's file; the model is the same as undisturbed."""
    job = {"n_workers": 2, "n_epochs": 2, "seed": 1}
    undisturbed = run_job(stack, settings, **job)
    debug = debug_targets(["rank=1"], None)
    frames = SimpleQueue()

    def attach():
        with DebugClient(debug[0].port) as client:
            client.attach({TRAIN: [LINE]})
            frames.put(client.stopped()[0])
            client.leave()

    def note(text):
        if "connect to" in text:
            threading.Thread(target=attach, daemon=True).start()

    prepared = prepare_run("synthetic:rows=2000,features=5", None, job, None, debug)
    target = stack_target(stack, clients_for(stack.endpoints))
    summary = run(prepared, settings, target, report=lambda _: None, watch=lambda _: None, note=note)

    frame = frames.get(timeout=WITHIN_S)
    assert (str(TRAIN), LINE) == (frame["source"]["path"], frame["line"])
    assert undisturbed.model["sha256"] == summary.model["sha256"]


def reaches(address, port):
    """Whether anybody listens there."""
    with socket.socket() as probe:
        probe.settimeout(5)
        return probe.connect_ex((address, port)) == 0

"""A function without an image of its own, in container mode: it sees what it sees in process mode."""

import json
import uuid

import msgspec
import pytest

from harness.aws.clients import clients_for
from harness.runs.functions import make_declared
from harness.runs.package_image import FUNCTION_LABEL, owner_of
from harness.settings import FunctionSettings
from tests.support.functions import remove_image

CODE = """
import importlib.util, sys
import iniconfig

def handler(event, context):
    names = ("boto3", "harness", "click", "numpy")
    return {"from": iniconfig.__file__, "found": [name for name in names if importlib.util.find_spec(name)],
            "first": sys.path[0], "changes": "none"}
"""


@pytest.fixture
def invoke(engine, stack, mode, settings, tmp_path):
    """Create or update the function of a folder as harness.toml would declare it, and invoke it."""
    if mode != "container":
        pytest.skip("process mode has its own tests")
    clients, name = clients_for(stack.endpoints), f"packaged-{uuid.uuid4().hex[:8]}"

    function = FunctionSettings(source=tmp_path, handler="app.handler", timeout_s=30, memory_mb=256)

    def make_and_invoke(log):
        project = msgspec.structs.replace(settings, functions={name: function})
        make_declared(clients.functions, name, project, "container", log=log.append)
        return json.loads(clients.functions.invoke(FunctionName=name)["Payload"].read())

    yield make_and_invoke
    clients.functions.delete_function(FunctionName=name)
    for image in engine.api.images(filters={"label": f"{FUNCTION_LABEL}={owner_of(name, function)}"}):
        remove_image(engine, image["Id"])


def test_a_library_that_is_missing_and_one_that_is_built(invoke, tmp_path):
    """The error is AWS's; with a requirements.txt the function passes, on an image of its package and libraries."""
    (tmp_path / "app.py").write_text(f"# {tmp_path}\n{CODE}")
    log: list[str] = []

    without = invoke(log)
    (tmp_path / "requirements.txt").write_text("iniconfig==2.1.0\n")
    answer = invoke(log)

    assert "Runtime.ImportModuleError" == without["errorType"]
    assert "Unable to import module 'app': No module named 'iniconfig'" == without["errorMessage"]
    assert {
        "from": "/var/task/iniconfig/__init__.py",
        "found": ["boto3"],
        "first": "/var/task",
        "changes": "none",
    } == answer

    built = [line for line in log if line.startswith("building an image")]
    assert answer == invoke(log)
    assert 2 == len(built) == len([line for line in log if line.startswith("building an image")])
    (tmp_path / "app.py").write_text(CODE.replace('"none"', '"some"'))
    assert "some" == invoke(log)["changes"]

"""A function sees its runtime and its package, and nothing of the harness."""

import subprocess
import sys
from pathlib import Path

import msgspec
import pytest

from harness.errors import HarnessError
from harness.runtimes.interpreters import find_interpreter
from harness.runtimes.libraries import ensure_libraries
from harness.settings import OWN_RUNTIME, RUNTIMES, FunctionSettings
from harness.stack import start_private_stack
from tests.support.gateway import CACHE, Service

# `click` is a library of the harness itself; `iniconfig` is small, and has no dependencies.
IMPORTS = "import {name}\ndef handler(event, context):\n    return {name}.__file__"

LOOK = """
import importlib.metadata, importlib.util, os, sys

def handler(event, context):
    names = sorted(one.metadata["Name"].lower() for one in importlib.metadata.distributions())
    return {
        "names": names, "version": "python%d.%d" % sys.version_info[:2], "path": sys.path, "code": os.getcwd(),
        "found": [name for name in ("harness", "training", "torch", "moto", "click") if importlib.util.find_spec(name)],
        "modules": [name for name in sys.modules if name.partition(".")[0] == "harness"],
    }
"""

NAMESPACE = """
import first_library, helper, os
def handler(event, context):
    return [helper.mine, first_library.found_helper, os.path.exists(os.path.join(os.getcwd(), "first_library.py"))]
"""


@pytest.fixture(params=["forked", "fresh"])
def service(request):
    """Provide both gateways, one after the other."""
    return request.getfixturevalue(request.param)


def present(*runtimes):
    """Return those that this machine has."""
    found = []
    for runtime in runtimes:
        try:
            find_interpreter(runtime)
        except HarnessError:
            continue
        found.append(runtime)
    return found


def test_a_library_of_the_harness_is_missing_as_on_aws(service, write):
    """The error has AWS's type and words; with a requirements.txt, the function passes."""
    source = write("app", IMPORTS.format(name="iniconfig"))
    without = service.invoke(service.create(source, "app.handler"))
    (source / "requirements.txt").write_text("iniconfig==2.1.0\n")
    settings = FunctionSettings(source=source, handler="app.handler")

    assert "Runtime.ImportModuleError" == without["errorType"]
    assert "Unable to import module 'app': No module named 'iniconfig'" == without["errorMessage"]
    name = service.create(source, "app.handler", [source / "requirements.txt"])
    assert service.invoke(name).endswith("/iniconfig/__init__.py")
    # The same content is built once, whoever asks for it.
    assert 1 == len(ensure_libraries(settings, CACHE, log=pytest.fail))


@pytest.mark.parametrize(
    "runtime",
    # Python 3.8 has a client of its own; the others are made as the newer ones are.
    [pytest.param(one, marks=[pytest.mark.slow] if one in {"python3.9", "python3.10"} else []) for one in RUNTIMES],
)
def test_a_function_sees_its_runtime_and_nothing_else(service, write, runtime):
    """Awslambdaric, boto3 and pip are there, with what they need; the harness and its libraries are not."""
    if not present(runtime):
        pytest.skip(f"NOT TESTED: {runtime} is not on this machine")
    seen = service.invoke(service.create(write("look", LOOK), "look.handler", Runtime=runtime))

    assert runtime == seen["version"]
    assert {"awslambdaric", "boto3", "botocore", "pip"} < set(seen["names"])
    assert len(seen["names"]) <= 11
    assert [] == seen["found"] == seen["modules"]
    assert seen["code"] == seen["path"][0]
    assert not [folder for folder in seen["path"] if sys.prefix in folder]


def test_a_runtime_whose_interpreter_is_missing_is_refused_in_one_line(forked, write):
    """The line says how to get it."""
    missing = [runtime for runtime in RUNTIMES if not present(runtime)]
    if not missing:
        pytest.skip("NOT TESTED: this machine has all interpreters")

    with pytest.raises(forked.clients.functions.exceptions.InvalidParameterValueException) as caught:
        forked.create(write("look", LOOK), "look.handler", Runtime=missing[0])

    assert f"{missing[0]} is not on this machine" in str(caught.value)
    assert f"uv python install {missing[0].removeprefix('python')}" in str(caught.value)


@pytest.mark.parametrize(
    ("runtime", "words"),
    [("python3.7", "is no longer supported"), ("python3.99", "failed to satisfy constraint: Member must satisfy enum")],
)
def test_a_runtime_that_lambda_lacks_is_refused_in_its_words(forked, write, runtime, words):
    """Runtimes that have ended and those that never were have words of their own."""
    with pytest.raises(forked.clients.functions.exceptions.InvalidParameterValueException, match=words):
        forked.create(write("look", LOOK), "look.handler", Runtime=runtime)


def test_a_library_that_imports_the_functions_own_module_finds_it(service, write, tmp_path):
    """As in the package on AWS, where both lie in one folder: each environment then has its own state of it."""
    library = tmp_path / "library"
    library.mkdir()
    (library / "first_library.py").write_text("import helper\nfound_helper = helper.mine")
    (library / "first_library-1.dist-info").mkdir()
    (library / "first_library-1.dist-info" / "RECORD").write_text("first_library.py,,\n")
    source = write("app", NAMESPACE)
    (source / "helper.py").write_text("mine = True")
    for path in list(library.iterdir()):
        path.rename(source / path.name)

    assert [True, True, True] == service.invoke(service.create(source, "app.handler"))


def test_a_library_is_imported_once_for_all_environments(forked, write):
    """The parent has imported what lies in the package; both environments were forked from it."""
    text = "import os\nbefore = 'iniconfig' in __import__('sys').modules\nimport iniconfig\n"
    source = write("app", text + "def handler(event, context):\n    return [before, os.getppid()]")
    (source / "requirements.txt").write_text("iniconfig==2.1.0\n")

    answers = forked.at_once(forked.create(source, "app.handler", [source / "requirements.txt"]), {}, {})

    assert answers[0] == answers[1]
    assert answers[0][0]


def test_the_interpreter_of_the_harness_is_found_without_a_search(monkeypatch, tmp_path):
    """Neither the PATH nor pyenv matters for it."""
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setenv("PYENV_ROOT", str(tmp_path))

    found = find_interpreter(OWN_RUNTIME)

    asked = subprocess.run([found, "-c", "import sys; print(sys.version)"], capture_output=True, text=True, check=True)
    assert sys.version == asked.stdout.strip()


LAYERED = """
import os, subprocess, sys
import in_a_layer, shared

def handler(event, context):
    opt = os.path.dirname(os.path.dirname(in_a_layer.__file__))
    return {"shared": shared.whose, "second": in_a_layer.whose, "tool": subprocess.check_output(["tool"], text=True),
            "after": sys.path.index(os.path.dirname(in_a_layer.__file__)) > sys.path.index(os.getcwd()), "opt": opt}
"""


def test_layers_are_found_after_the_package(service, tmp_path):
    """The last layer wins over the others, the package over all; programs are on the PATH, and the parent imports."""
    layers = [tmp_path / "first", tmp_path / "second"]
    for layer in layers:
        (layer / "python").mkdir(parents=True)
        (layer / "python" / "in_a_layer.py").write_text(f"import os\npid = os.getpid()\nwhose = {layer.name!r}")
        (layer / "python" / "shared.py").write_text("whose = 'layer'")
    (layers[0] / "bin").mkdir()
    (layers[0] / "bin" / "tool").write_text("#!/bin/sh\nprintf made")
    (layers[0] / "bin" / "tool").chmod(0o755)
    source = tmp_path / "function"
    source.mkdir()
    (source / "app.py").write_text(LAYERED)
    (source / "shared.py").write_text("whose = 'package'")

    answer = service.invoke(service.create(source, "app.handler", layers=layers))

    assert {"shared": "package", "second": "second", "tool": "made", "after": True} == {
        key: answer[key] for key in ("shared", "second", "tool", "after")
    }


@pytest.mark.parametrize(
    ("make", "options", "words"),
    [
        ([], {}, "does not exist"),
        (["module.py"], {}, "no folder `python`"),
        (["python/module.py"], {"image": "any"}, "a function with an image has no layers"),
    ],
)
def test_a_folder_that_is_no_layer_is_refused(forked, tmp_path, make, options, words):
    """Before anything is created."""
    (tmp_path / "app.py").write_text("def handler(event, context): return 1")
    for name in make:
        (tmp_path / "layer" / name).parent.mkdir(parents=True)
        (tmp_path / "layer" / name).touch()

    with pytest.raises(HarnessError, match=words):
        forked.create(tmp_path, "app.handler", layers=[tmp_path / "layer"], **options)


PLACES = """
import os, sys, tempfile
def handler(event, context):
    return [os.getcwd(), __file__, os.environ["LAMBDA_TASK_ROOT"], tempfile.gettempdir(), sys.argv[0],
            os.environ.get("FROM_THE_WRAPPER")]
"""


@pytest.fixture(scope="module")
def plain(settings, mode):
    """A gateway that does not isolate environments."""
    if mode == "container":
        pytest.skip("containers are isolated")
    gateway = msgspec.structs.replace(settings.gateway, isolate=False)
    with start_private_stack(msgspec.structs.replace(settings, gateway=gateway), s3="moto") as stack:
        yield Service(stack)


def test_without_isolation_a_function_sees_this_machines_paths(plain, write):
    """As where the kernel permits no namespaces: its own folder, and one for temporary files that is its own."""
    source = write("places", PLACES)
    (source / "wrapper").write_text('#!/bin/sh\nFROM_THE_WRAPPER=yes exec "$@"\n')
    (source / "wrapper").chmod(0o755)
    variables = {"Variables": {"AWS_LAMBDA_EXEC_WRAPPER": "/var/task/wrapper"}}

    one, other = (plain.create(source, "places.handler", Environment=more) for more in ({}, variables))
    first, second = plain.invoke(one), plain.invoke(other)

    assert first[0] == first[2] == str(Path(first[1]).parent)
    assert first[3] != second[3]
    assert first[4].endswith("/gateway/runtime/bootstrap.py")
    assert (None, "yes") == (first[5], second[5])

"""The imports that the pre-imported parent reads from a function's source without running it."""

import pytest

from harness.gateway.forking.imports import imported_by


@pytest.fixture
def read(tmp_path):
    """Return what the handler's module of these files imports, beyond the runtime's own imports."""

    def read_function(**modules):
        for name, text in modules.items():
            path = tmp_path / f"{name}.py"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        imports = imported_by(tmp_path, "app.handler")
        return imports.libraries, imports

    return read_function


def test_libraries_are_found_through_the_functions_own_modules(read, tmp_path):
    """Imports of its modules and packages are followed, relative ones too; the modules themselves are omitted."""
    libraries, imports = read(
        app="import package.inner\nfrom helper import thing\nimport sqlite3",
        helper="import colorsys",
        **{
            "package/__init__": "from . import sibling",
            "package/sibling": "import wave",
            "package/inner": "from .sibling import name\nfrom . import other\nimport xmlrpc.client",
            "package/other": "import plistlib",
        },
    )

    assert ["wave", "plistlib", "xmlrpc.client", "colorsys", "sqlite3"] == libraries
    assert {"app.py", "helper.py", "__init__.py", "sibling.py", "inner.py", "other.py"} == {
        path.name for path in imports.sources if tmp_path in path.parents
    }
    assert "bootstrap.py" in {path.name for path in imports.sources if "awslambdaric" in path.parts}


def test_what_may_be_a_module_is_told_too(read):
    """`from a import b` may import `a.b`."""
    assert ["xml.dom", "xml.dom.minidom"] == read(app="from xml.dom import minidom")[0]


@pytest.mark.parametrize(
    "text",
    [
        "def handler(event, context):\n    import wave",
        "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    import wave",
        "if __name__ == '__main__':\n    import wave",
        "import os\nos.environ['SETTING'] = '1'\nimport wave",
        "import os\nos.environ.setdefault('SETTING', '1')\nimport wave",
        "import os\nos.environ.update(SETTING='1')\nimport wave",
        "from os import environ\ndel environ['SETTING']\nimport wave",
        "import helper\nimport wave",
    ],
)
def test_what_a_fresh_start_would_import_later_or_otherwise_is_left_out(read, text):
    """Imports in functions, for type checkers, or after a change of the environment are left to the runtime."""
    helper = "import os\nos.environ['SETTING'] = '1'"

    assert "wave" not in read(app=text, helper=helper)[0]


@pytest.mark.parametrize(
    "text",
    [
        "import os\nos.environ.setdefault('OPENBLAS_NUM_THREADS', str(2))\nimport wave",
        "try:\n    import wave\nexcept ImportError:\n    pass",
        "class Holder:\n    import wave",
        "import os\nsetting = os.environ.get('SETTING')\nimport wave",
    ],
)
def test_what_a_fresh_start_imports_is_told(read, text):
    """Blocks that run at the start count, and the one variable that the parent sets itself is harmless."""
    assert "wave" in read(app=text)[0]


def test_the_runtime_is_read_and_never_imported(read):
    """The runtime's libraries are listed, but not the runtime itself, which reads its address when it is imported."""
    _, imports = read(app="import awslambdaric.bootstrap, runtime_client")

    assert "logging" in imports.runtime
    assert not [
        name for name in imports.runtime + imports.libraries if name.startswith(("awslambdaric", "runtime_client"))
    ]


def test_services_are_told_by_the_clients_that_are_made(read):
    """Names of AWS services are found wherever a client is created."""
    _, imports = read(app="import boto3\ndef handler(event, context):\n    boto3.client('s3'), session.client(name)")

    assert ["s3"] == imports.services


@pytest.mark.parametrize("text", ["import (", "\0", "raise SystemExit"])
def test_source_that_cannot_be_run_breaks_nothing(read, text):
    """The runtime will report its error."""
    assert [] == read(app=text)[0]

"""What is put together for a function's view: the folders of its layers, and what a view would hide."""

import uuid
from datetime import UTC, datetime
from pathlib import Path

import pytest

from harness.gateway.isolation.view import Namespaces, Views
from harness.gateway.records import Function, LayerVersion, Package


@pytest.fixture
def python(tmp_path):
    """The interpreter of an environment that stands for a runtime."""
    path = tmp_path / "runtime" / "bin" / "python3"
    path.parent.mkdir(parents=True)
    path.touch()
    return path


def function(folder, *layers):
    """Return a function whose package is a folder; each is another revision."""
    folder.mkdir(exist_ok=True)
    return Function(
        name="f",
        role="",
        runtime="python3.11",
        handler="app.handler",
        description="",
        timeout_s=3,
        memory_mb=128,
        environment=None,
        package=Package(folder=folder, sha256="", size=0),
        modified=datetime.now(UTC),
        revision=uuid.uuid4().hex,
        layer_versions=tuple(
            LayerVersion(
                name=folder.name,
                number=1,
                folder=folder,
                archive=folder,
                sha256="",
                size=0,
                unzipped_bytes=0,
                created=datetime.now(UTC),
            )
            for folder in layers
        ),
    )


def layer(folder, **files):
    """Return a layer's folder with these files in its folder `python`."""
    (folder / "python").mkdir(parents=True)
    for name, text in files.items():
        (folder / "python" / f"{name}.py").write_text(text)
    return folder


def shown(view, name):
    """Return the folder that a view shows under a name."""
    return Path(next(each for each in view.arguments if each.startswith(f"{name}=")).partition("=")[2])


@pytest.mark.parametrize("namespaces", [Namespaces.USER, Namespaces.NONE])
def test_layers_are_merged_and_the_last_one_wins(tmp_path, python, namespaces):
    """Files of several layers lie in one folder, with namespaces and without."""
    first = layer(tmp_path / "first", one="1", both="first")
    second = layer(tmp_path / "second", two="2", both="second")
    views = Views(tmp_path / "views", namespaces)

    view = views.of(function(tmp_path / "code", first, second), python)

    opt = shown(view, "opt" if namespaces is Namespaces.USER else "at-opt")
    found = {path.name: path.read_text() for path in (opt / "python").iterdir()}
    assert {"one.py": "1", "two.py": "2", "both.py": "second"} == found
    assert opt == shown(
        views.of(function(tmp_path / "code", first, second), python), "opt" if view.own_tmp else "at-opt"
    )
    assert view.opt == ("/opt" if view.own_tmp else str(opt))


def test_layers_of_the_project_come_before_those_of_the_api(tmp_path, python):
    """Those that the package names lie in its folder `.lambda-opt`."""
    code = tmp_path / "code"
    layer(code / ".lambda-opt", one="project", both="project")
    view = Views(tmp_path / "views", Namespaces.USER).of(function(code, layer(tmp_path / "api", both="api")), python)

    modules = shown(view, "opt") / "python"

    assert ("project", "api") == ((modules / "one.py").read_text(), (modules / "both.py").read_text())


def test_a_function_without_layers_has_an_empty_opt(tmp_path, python):
    """It does not see this machine's."""
    view = Views(tmp_path / "views", Namespaces.USER).of(function(tmp_path / "code"), python)

    assert [] == list(shown(view, "opt").iterdir())


def test_what_a_view_would_hide_is_put_back(tmp_path, python, monkeypatch):
    """A cache below /tmp, for example, with the libraries that packages link to."""
    monkeypatch.setattr("harness.gateway.isolation.view._COVERED", (str(tmp_path / "covered"),))
    cache, other = tmp_path / "covered" / "cache", tmp_path / "covered" / "cache" / "layers" / "one"
    other.mkdir(parents=True)
    views = Views(tmp_path / "views", Namespaces.USER, [cache, tmp_path / "elsewhere"])

    view = views.of(function(tmp_path / "code", other), python)

    assert [f"keep={cache}"] == [each for each in view.arguments if each.startswith("keep=")]
    monkeypatch.setattr("harness.gateway.isolation.view._COVERED", (str(cache),))
    assert not views.of(function(tmp_path / "code"), python).own_tmp


def test_without_namespaces_a_function_sees_this_machines_paths(tmp_path, python):
    """Its folder, its interpreter and the start script are where they are."""
    view = Views(tmp_path / "views", Namespaces.NONE).of(function(tmp_path / "code"), python)

    assert (str(tmp_path / "code"), str(python), "") == (view.task, view.python, view.opt)
    assert Path(view.runtime, "bootstrap.py").is_file()

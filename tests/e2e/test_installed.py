"""The installed wheel, in an empty folder outside of any clone."""

import json
import os
import shutil
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from subprocess import CompletedProcess

import numpy as np
import pexpect
import pytest

from harness.images.catalogue import RECIPES, sha256_of, source_sha256
from harness.images.sources import with_harness
from harness.settings import Settings
from tests.support.installed import ROOT, build_wheel, install_wheel, run, top_level
from tests.support.trained import trained_model
from training.run.model_file import encode_model

Harness = Callable[..., CompletedProcess[str]]

HELLO = """
def handler(event, context):
    return "NAME"
"""
# Prints the digests of the images' sources.
SOURCES = """
import json, pathlib
from harness.images.catalogue import RECIPES, sha256_of, source_sha256
from harness.images.sources import with_harness
with with_harness(pathlib.Path.cwd()) as root:
    found = {name: source_sha256(root, recipe) for name, recipe in RECIPES.items()}
    found["services"] = sha256_of(root, ("images/services", "harness"))
print(json.dumps(found))
"""
LOADED = """
import harness
print(harness.load_model("model.npz").predict([[5, 0, 0], [0, 5, 0]]).tolist())
"""
DECLARED = """
[stack]
s3 = "moto"

[functions.hello]
source = "."
handler = "app.handler"
"""


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel of this clone."""
    return build_wheel(tmp_path_factory.mktemp("wheel"))


@pytest.fixture(scope="module")
def command(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The installed command."""
    return install_wheel(wheel, tmp_path_factory.mktemp("installed") / "environment")


@pytest.fixture
def cache(tmp_path: Path, settings: Settings, request: pytest.FixtureRequest) -> Path:
    """A user's cache: for a slow test with nothing in it, for others with what stacks share but LocalStack."""
    folder = tmp_path / "cache" / "lambda-harness"
    folder.mkdir(parents=True)
    if "slow" not in request.keywords:
        for name in ("rie", "runtimes", "libraries"):
            (settings.cache_dir / name).mkdir(exist_ok=True)
            (folder / name).symlink_to(settings.cache_dir / name)
    return folder.parent


@pytest.fixture
def empty(tmp_path: Path) -> Path:
    """An empty folder."""
    folder = tmp_path / "empty"
    folder.mkdir()
    return folder


@pytest.fixture
def harness(command: Path, cache: Path, empty: Path) -> Iterator[Harness]:
    """Run the installed command in an empty folder; its stack ends with the test."""

    def call(*arguments: str, cwd: Path = empty) -> CompletedProcess[str]:
        return run(command, *arguments, cwd=cwd, XDG_CACHE_HOME=str(cache), HOME=str(cache))

    yield call
    call("down")


def test_the_wheel_owns_no_name_but_harness(wheel: Path):
    """What another package may be called is not ours; the command is the shell script as it is."""
    names = {name for name in top_level(wheel) if not name.endswith((".dist-info", ".data"))}
    with zipfile.ZipFile(wheel) as archive:
        (script,) = [name for name in archive.namelist() if name.endswith(".data/scripts/harness")]
        installed = archive.read(script)

    assert {"harness"} == names
    assert (ROOT / "harness" / "bin" / "harness").read_bytes() == installed


@pytest.mark.parametrize("folder", ["lambdas", "images", "requirements"])
def test_the_wheel_carries_what_the_harness_reads(wheel: Path, folder: str):
    """Each file of these folders is in it; a program may be executed."""
    files = [path for path in (ROOT / folder).rglob("*") if path.is_file() and "__pycache__" not in path.parts]
    with zipfile.ZipFile(wheel) as archive:
        for path in files:
            entry = archive.getinfo(f"harness/bundled/{path.relative_to(ROOT)}")
            assert os.access(path, os.X_OK) == bool(entry.external_attr >> 16 & 0o111), path

    assert files


def test_images_have_the_same_sources_as_in_a_clone(command: Path, empty: Path):
    """Neither of the two takes the other's images for out of date."""
    printed = run(command.with_name("python"), "-I", "-c", SOURCES, cwd=empty)

    assert 0 == printed.returncode, printed.stderr
    with with_harness(ROOT) as root:
        ours = {name: source_sha256(root, recipe) for name, recipe in RECIPES.items()}
        ours["services"] = sha256_of(root, ("images/services", "harness"))
    assert ours == json.loads(printed.stdout)


def test_a_users_program_loads_a_model(command: Path, empty: Path):
    """It imports `harness` alone, and gets its own labels; the command writes the model's module."""
    labels = np.array([2, 4], np.float32)
    (empty / "model.npz").write_bytes(encode_model(trained_model(labels=labels)))

    loaded = run(command.with_name("python"), "-c", LOADED, cwd=empty)
    exported = run(command, "export", "model.npz", "--to", "onnx", cwd=empty)

    assert "[4, 2]" == loaded.stdout.strip(), loaded.stderr
    assert "model.onnx" == exported.stdout.strip(), exported.stderr


def test_a_folder_without_a_project_is_enough(harness: Harness, empty: Path):
    """Up, a whole training run, status and down; nothing but the state is written.

    Another package named `training` in the environment changes nothing.
    """
    assert 1 == harness("status").returncode
    assert "LocalStack  not installed" in harness("doctor").stdout

    up = harness("up", "--s3", "moto")
    assert 0 == up.returncode, up.stderr
    ran = harness("run", "--n-workers", "4", "--n-epochs", "2", "--json")
    assert 0 == ran.returncode, ran.stderr
    assert "93f4550dd06d249b" == json.loads(ran.stdout)["model"]["sha256"][:16]
    assert 0 == harness("status").returncode
    assert 0 == harness("down").returncode
    assert [".harness"] == [path.name for path in empty.iterdir()]


def test_a_new_project_is_edited_and_seen(harness: Harness, command: Path, cache: Path, empty: Path):
    """`harness init . && harness dev` in a terminal, an edit, and the same event again with the new answer."""
    assert 0 == harness("init", ".").returncode
    code = empty / "hello" / "app.py"
    env = {**os.environ, "TERM": "xterm", "XDG_CACHE_HOME": str(cache), "HOME": str(cache)}
    dev = pexpect.spawn(str(command), ["dev"], cwd=str(empty), env=env, timeout=60, encoding="utf-8")
    try:
        dev.expect("q: quit")
        invoked = harness("invoke", "hello", "--payload", '{"name": "you"}')
        dev.expect("greeting you")
        dev.expect("cold, init")
        code.write_text(code.read_text().replace("Hello, {name}", "Goodbye, {name}"))
        dev.expect("updated: code")
        dev.send("r")
        dev.expect('answered: {"message": "Goodbye, you!"}')
        dev.send("q")
        dev.expect("`harness down` stops it")
        dev.expect(pexpect.EOF)
        assert 0 == dev.wait()
    finally:
        dev.close(force=True)

    assert {"message": "Hello, you!"} == json.loads(invoked.stdout)


def test_two_projects_of_one_name_do_not_meet(harness: Harness, tmp_path: Path):
    """Equal names of folders and functions, two stacks: each answers with its own code, and ends alone."""
    projects = [tmp_path / owner / "app" for owner in ("one", "two")]
    try:
        for project in projects:
            project.mkdir(parents=True)
            (project / "harness.toml").write_text(DECLARED, encoding="utf-8")
            (project / "app.py").write_text(HELLO.replace("NAME", project.parent.name), encoding="utf-8")
            up = harness("up", cwd=project)
            assert 0 == up.returncode, up.stderr
        answers = [harness("invoke", "hello", cwd=project).stdout.strip() for project in projects]
        harness("down", cwd=projects[0])
        left = harness("invoke", "hello", cwd=projects[1])
    finally:
        for project in projects:
            harness("down", cwd=project)

    assert ['"one"', '"two"'] == answers
    assert '"two"' == left.stdout.strip(), left.stderr


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_all_that_is_missing_is_fetched_on_first_use(harness: Harness, cache: Path):
    """A first `up` downloads LocalStack with progress; the second finds it."""
    first = harness("up")
    assert 0 == first.returncode, first.stderr
    assert "installing LocalStack into" in first.stderr
    assert 0 == harness("down").returncode
    second = harness("up")

    assert 0 == second.returncode, second.stderr
    assert "installing" not in second.stderr
    assert "ok       LocalStack" in harness("doctor").stdout
    assert list((cache / "lambda-harness" / "localstack").glob("*/bin/python"))


def test_an_installation_without_a_python_of_its_own_is_told(command: Path, tmp_path: Path):
    """As by `pip install --user`: three lines say how to install it instead."""
    alone = Path(shutil.copy(command, tmp_path / "harness"))

    refused = run(alone, "--version", cwd=tmp_path)

    assert 1 == refused.returncode
    assert 3 == len(refused.stderr.splitlines())
    assert "pipx" in refused.stderr


def test_an_installation_for_the_whole_system_finds_its_python(command: Path, tmp_path: Path):
    """Debian's `/usr/local/bin` has commands, while Python lies in `/usr/bin`."""
    alone = Path(shutil.copy(command, tmp_path / "harness"))
    (tmp_path / "elsewhere").mkdir()
    python = tmp_path / "elsewhere" / "python3"
    python.write_text(f'#!/bin/sh\nexec {command.with_name("python")} "$@"\n', encoding="utf-8")
    python.chmod(0o755)

    answered = run(alone, "--version", cwd=tmp_path, PATH=f"{python.parent}:/usr/bin:/bin")

    assert 0 == answered.returncode, answered.stderr
    assert "version" in answered.stdout


def test_the_plug_in_leaves_the_name_training_to_the_user(command: Path, empty: Path):
    """A user's tests may have a `training.py` of their own; nothing that the plug-in needs imports that name."""
    modules = ", ".join(
        f"harness.pytest_plugin.{path.stem}" for path in (ROOT / "harness/pytest_plugin").glob("[a-z]*.py")
    )

    imported = run(command.with_name("python"), "-I", "-c", f"import {modules}", cwd=empty)

    assert 0 == imported.returncode, imported.stderr

"""`harness init`: what it writes, and what it leaves alone."""

import json
import re
import tomllib

import jsonschema
import pytest
import yaml
from click.testing import CliRunner

from harness.cli.main import cli
from harness.errors import HarnessError
from harness.project.creation import SCHEMA_IN_PROJECT, TEMPLATES, commands_of, files_of, make_project
from harness.project.keys import settings_schema
from harness.project.reference import schema_text
from harness.runs.debugging import attach_configuration
from harness.settings import load_settings


def content_of(folder):
    """The files of a folder."""
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_every_template_can_be_chosen(tmp_path):
    """The command's choices are the templates."""
    for template in TEMPLATES:
        answer = CliRunner().invoke(cli, ["init", str(tmp_path / template), "--template", template])

        assert answer.exit_code == 0
        assert content_of(tmp_path / template) == files_of(template)
        assert answer.stdout.splitlines() == [f"wrote  {tmp_path / template / name}" for name in files_of(template)]
        assert f"cd {tmp_path / template}" in answer.stderr
        assert all(command in answer.stderr for command in commands_of(template))


@pytest.mark.parametrize("template", TEMPLATES)
def test_the_settings_are_valid_for_the_harness_and_for_editors(template, tmp_path):
    """The first line names the schema, which lies in the project."""
    make_project(tmp_path, files_of(template))
    text = (tmp_path / "harness.toml").read_text()

    jsonschema.validate(tomllib.loads(text), settings_schema())
    assert text.splitlines()[0] == f"#:schema {SCHEMA_IN_PROJECT}"
    assert (tmp_path / SCHEMA_IN_PROJECT).read_text() == schema_text()
    for function in load_settings(tmp_path).functions.values():
        assert (function.source / f"{function.handler.partition('.')[0]}.py").is_file()


def test_one_function_needs_no_more_than_five_lines_of_toml():
    """Comments and empty lines do not count."""
    lines = files_of("function")["harness.toml"].decode().splitlines()

    assert len([line for line in lines if line and not line.startswith("#")]) <= 5


@pytest.mark.parametrize("template", TEMPLATES)
def test_the_other_files_are_what_their_readers_expect(template):
    """GitHub reads YAML, an editor JSON; the README names files that exist."""
    files = {name: content.decode() for name, content in files_of(template).items()}

    assert "pytest" in [
        step.get("run") for step in yaml.safe_load(files[".github/workflows/test.yml"])["jobs"]["test"]["steps"]
    ]
    assert {"attach"} == {entry["request"] for entry in json.loads(files[".vscode/launch.json"])["configurations"]}
    listed = re.findall(r"^\| (.+?) \|", files["README.md"], re.MULTILINE)
    assert set(re.findall("`(.+?)`", " ".join(listed))) <= files.keys()


@pytest.mark.parametrize("template", TEMPLATES)
def test_the_readme_installs_into_an_environment_of_the_project(template):
    """Debian's own pip refuses to install anything."""
    readme = files_of(template)["README.md"].decode()

    commands = ["`python3 -m venv .venv`", "`. .venv/bin/activate`", "`pip install -r requirements-dev.txt`"]
    assert sorted(commands, key=readme.index) == commands


def test_the_first_command_can_be_pasted(tmp_path, monkeypatch):
    """A folder with a space in its name is quoted."""
    monkeypatch.chdir(tmp_path)

    assert "  cd 'a b'\n" in CliRunner().invoke(cli, ["init", "a b"]).stderr


@pytest.mark.parametrize("template", ["function", "pipeline"])
def test_an_editor_attaches_as_the_harness_says(template, tmp_path):
    """The debug configurations are those that `--debug` prints, if its usual port is free."""
    make_project(tmp_path, files_of(template))
    settings = load_settings(tmp_path)

    entries = json.loads((tmp_path / ".vscode/launch.json").read_text())["configurations"]

    assert entries == [attach_configuration(name, one, tmp_path) for name, one in settings.functions.items()]


def test_files_that_exist_stop_the_command(tmp_path):
    """They are named, and nothing is written."""
    (tmp_path / "README.md").write_text("mine")
    (tmp_path / "harness.toml").symlink_to("nowhere")
    with pytest.raises(HarnessError) as error:
        make_project(tmp_path, files_of("function"))

    assert "README.md, harness.toml exist already; nothing was written" == error.value.what
    assert "--keep" in error.value.remedy
    assert {"README.md"} == content_of(tmp_path).keys()


def test_they_can_be_kept(tmp_path):
    """A repository that already has a README and a .gitignore becomes a project."""
    (tmp_path / "README.md").write_text("mine")
    answer = CliRunner().invoke(cli, ["init", str(tmp_path), "--keep"])

    assert f"kept   {tmp_path / 'README.md'}" in answer.stdout.splitlines()
    assert files_of("function") | {"README.md": b"mine"} == content_of(tmp_path)


def test_other_files_are_left_alone(tmp_path):
    """The folder need not be empty."""
    (tmp_path / "hello").mkdir()
    (tmp_path / "hello" / "library.py").write_text("mine")
    make_project(tmp_path, files_of("function"))

    assert files_of("function") | {"hello/library.py": b"mine"} == content_of(tmp_path)


def test_a_file_that_cannot_be_written_leaves_nothing(tmp_path):
    """What had been written before is removed again; what was there stays."""
    (tmp_path / "tests").write_text("no folder")
    with pytest.raises(HarnessError, match="tests cannot be written: File exists"):
        make_project(tmp_path, files_of("function"))

    assert {"tests"} == {path.name for path in tmp_path.iterdir()}


def test_the_schema_alone_is_written_again(tmp_path):
    """After an update of the harness, editors know its new keys."""
    make_project(tmp_path, files_of("function"))
    (tmp_path / SCHEMA_IN_PROJECT).write_text("of another version")
    (tmp_path / "hello" / "app.py").write_text("mine")

    assert CliRunner().invoke(cli, ["init", str(tmp_path), "--schema"]).exit_code == 0
    assert files_of("function") | {"hello/app.py": b"mine"} == content_of(tmp_path)

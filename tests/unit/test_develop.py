"""The parts of the development loop: what is watched, what is built, and how lines read."""

import errno
from pathlib import Path

import click
import pytest

from harness.cli.dev import command
from harness.develop.building import ProjectBuilder
from harness.develop.editor import editor_of
from harness.develop.screen import Screen
from harness.develop.syntax import syntax_problem
from harness.develop.watching import folders_to_watch
from harness.errors import HarnessError
from harness.gateway.attempts import InvocationRecord
from harness.runs.functions import inputs_of
from harness.settings import OWN_RUNTIME, load_settings

ENDED = InvocationRecord(
    function="resize",
    version="$LATEST",
    request_id="an-id",
    error="",
    duration_ms=1.234,
    billed_ms=2,
    memory_mb=128,
    used_mb=40,
    init_ms=None,
    ended_at=0.0,
)


def screen():
    """A screen, and the lines that it prints without colours, each with whether it is a note."""
    printed: list[tuple[str, bool]] = []

    def take(line, *, err):
        printed.append((click.unstyle(line), err))

    return Screen(["resize", "it"], take, lambda text: text.replace("\x1b", "?")), printed


def test_the_platforms_lines_are_left_out_and_others_are_made_harmless():
    """A line that only begins like one of the platform's is the function's."""
    shown, printed = screen()
    shown.function_lines(
        "it", "START RequestId: x Version: 7\none\rtwo\nSTART RequestId: x\n\x1b[2Jevil\nEND RequestId: x\n"
    )
    shown.function_lines("it", "REPORT RequestId: x\tDuration: 1.00 ms\tBilled Duration: 2 ms\n")

    assert [
        ("it      one", False),
        ("it      two", False),
        ("it      START RequestId: x", False),
        ("it      ?[2Jevil", False),
    ] == printed


def test_the_platforms_events_in_json_are_left_out():
    """What has failed stays, and so do the function's own messages."""
    shown, printed = screen()
    kept = [
        '{"time":"2026-11-30T00:00:00.000Z","type":"platform.initReport","record":{"status":"timeout"}}',
        '{"timestamp": "2026-11-30T00:00:00Z", "level": "INFO", "message": "platform.start"}',
    ]
    left_out = [
        f'{{"time":"2026-11-30T00:00:00.000Z","type":"platform.{kind}","record":{{}}}}'
        for kind in ("initStart", "start", "report")
    ]
    shown.function_lines("it", "".join(f"{line}\n" for line in (*left_out, *kept)))
    shown.function_lines("it", "INIT_START Runtime Version: python:3.11.v95\tRuntime Version ARN: arn\n")

    assert [(f"it      {line}", False) for line in kept] == printed


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({}, ["ok", "an-id", "1.23 ms, billed 2 ms, 40 of 128 MB, warm"]),
        ({"error": "KeyError"}, ["KeyError", "warm"]),
        ({"init_ms": 41.2}, ["ok", "cold, init 41 ms"]),
        ({"attempt": 2, "version": "7"}, ["attempt 2", "version 7"]),
    ],
)
def test_an_invocation_is_one_line(changes, words):
    """With its status, request id, duration, memory, and whether the environment was cold."""
    shown, printed = screen()
    fields = {name: getattr(ENDED, name) for name in ENDED.__struct_fields__}
    shown.invocation(InvocationRecord(**{**fields, **changes}))

    ((line, note),) = printed
    assert [] == [word for word in words if word not in line]
    assert not note


def test_nothing_is_printed_while_an_editor_has_the_terminal():
    """It is printed afterwards, in its order."""
    shown, printed = screen()
    shown.pause()
    shown.note("first")
    shown.invocation(ENDED)
    before = list(printed)
    shown.resume()
    shown.note("last")

    assert [] == before
    assert ["first", "last"] == [printed[0][0], printed[2][0]]


def test_a_project_in_its_own_root_is_watched_without_its_environment(tmp_path):
    """An environment beside the code has thousands of folders; the root itself is watched alone."""
    for name in ("code", ".git", "venv"):
        (tmp_path / name).mkdir()
    (tmp_path / "venv" / "pyvenv.cfg").touch()
    (tmp_path / "requirements.txt").touch()

    whole = folders_to_watch([tmp_path], tmp_path / "harness.toml")
    parts = folders_to_watch(
        [tmp_path / "code", tmp_path / "requirements.txt", tmp_path / "gone"], tmp_path / "other" / "harness.toml"
    )

    assert ({tmp_path / "code"}, {tmp_path}) == whole
    assert ({tmp_path / "code"}, {tmp_path, tmp_path / "other"}) == parts


def test_everything_that_a_function_is_built_from_is_known(tmp_path):
    """Its folder, included ones, and requirements that lie elsewhere; `..` does not hide them."""
    (tmp_path / "harness.toml").write_text(
        '[functions.f]\nsource = "f"\nhandler = "a.b"\ninclude = ["../lib"]\nrequirements = ["f.txt"]\n'
    )
    function = load_settings(tmp_path).functions["f"]

    assert [tmp_path / "f", tmp_path.parent / "lib", tmp_path / "f.txt"] == inputs_of(function)


@pytest.mark.parametrize(
    ("code", "problem"),
    [
        (b"x = 1\n", ""),
        (b'"\\d"\n', ""),  # a warning is no error
        (b"x = 1\ndef f(:\n", ":2: invalid syntax"),
        (b"return 1\n", ":1: 'return' outside function"),
        (b"x = '\0'\n", ":1: source code string cannot contain null bytes"),
        (b"# coding: nosuch\n", ":1: unknown encoding: nosuch"),
    ],
)
def test_a_syntax_error_is_one_line(tmp_path, code, problem):
    """With the line's number, as far as there is one."""
    (tmp_path / "a.py").write_bytes(code)

    assert problem == syntax_problem(tmp_path / "a.py", OWN_RUNTIME, tmp_path)
    assert "" == syntax_problem(tmp_path / "gone.py", OWN_RUNTIME, tmp_path)


def test_a_broken_file_keeps_its_functions_from_being_built_until_it_is_mended(tmp_path):
    """Whatever else is saved; functions that do not have it are built."""
    (tmp_path / "harness.toml").write_text(
        "".join(f'[functions.{name}]\nsource = "{name}"\nhandler = "main.missing"\n' for name in ("one", "two"))
    )
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
    broken, other = tmp_path / "one" / "a.py", tmp_path / "one" / "b.py"
    broken.write_text("def f(:\n")
    other.write_text("x = 1\n")
    # The handler is missing, so nothing is built: the error says how far a function has come.
    builder = ProjectBuilder(load_settings(tmp_path), (), "container", None, print)

    def problems(*paths: Path):
        return {result.function: result.problem[0] for result in builder.build_changed(set(paths))}

    assert {"one": "one/a.py:1: invalid syntax"} == problems(broken)
    assert {"one": "one/a.py:1: invalid syntax"} == problems(other)
    assert "handler main.missing needs a file" in problems(tmp_path / "two" / "a.py")["two"]
    broken.write_text("x = 2\n")
    assert "handler main.missing needs a file" in problems(broken)["one"]


def test_a_harness_toml_that_is_gone_changes_nothing(tmp_path):
    """Neither the one in a folder above nor the functions that the harness ships take its place."""
    (tmp_path / "harness.toml").write_text('[functions.other]\nsource = "."\nhandler = "a.b"\n')
    root = tmp_path / "project"
    root.mkdir()
    file, away = root / "harness.toml", root / "away.toml"
    file.write_text('[functions.f]\nsource = "f"\nhandler = "a.b"\n')
    builder = ProjectBuilder(load_settings(root), (), "container", None, print)
    before = builder.settings
    file.rename(away)

    assert [("", ("harness.toml is gone; functions stay as they are",))] == [
        (result.function, result.problem) for result in builder.build_changed({file})
    ]
    assert before is builder.settings
    away.rename(file)
    assert [] == list(builder.build_changed({file}))
    assert before == builder.settings
    file.rename(away)
    assert ["harness.toml is gone; functions stay as they are"] == [
        result.problem[0] for result in builder.build_changed({file})
    ]


def test_without_a_harness_toml_the_loop_wants_names(tmp_path, monkeypatch):
    """It would otherwise make all functions that the harness ships, PyTorch included."""
    monkeypatch.chdir(tmp_path)

    with pytest.raises(HarnessError, match=r"no harness\.toml here or above\n.*\n.*`harness init`"):
        command.callback(names=(), s3=None, mode=None, debug=None, debug_port=None, opened=False)


def test_an_error_of_the_system_is_that_functions_own(tmp_path, monkeypatch):
    """The other functions are built, and the loop goes on."""
    (tmp_path / "harness.toml").write_text(
        "".join(f'[functions.{name}]\nsource = "{name}"\nhandler = "a.b"\n' for name in ("one", "two"))
    )

    def desired(name, *_arguments, **_keywords):
        if name == "one":
            raise PermissionError(errno.EACCES, "Permission denied", "one/pgdata")
        raise HarnessError("it was tried")

    monkeypatch.setattr("harness.develop.building.desired_function", desired)
    builder = ProjectBuilder(load_settings(tmp_path), (), "container", None, print)

    assert {"one": ("one/pgdata: Permission denied",), "two": ("it was tried",)} == {
        result.function: result.problem for result in builder.build_all()
    }


def test_a_folder_that_cannot_be_looked_into_is_not_watched(tmp_path, monkeypatch):
    """Whoever packs it says so; the others are watched."""
    for name in ("code", "pgdata"):
        (tmp_path / name).mkdir()

    def refuse(path):
        if path.name == "pgdata":
            raise PermissionError(errno.EACCES, "Permission denied", str(path / "pyvenv.cfg"))
        return True

    monkeypatch.setattr("harness.develop.watching.is_packed", refuse)

    assert ({tmp_path / "code"}, {tmp_path}) == folders_to_watch([tmp_path], tmp_path / "harness.toml")


@pytest.mark.parametrize(
    ("environ", "present", "editor"),
    [
        ({"VISUAL": "code --wait", "EDITOR": "vim"}, {"nano"}, "code --wait"),
        ({"VISUAL": "", "EDITOR": "vim"}, {"nano"}, "vim"),
        ({}, {"sensible-editor", "editor", "vi"}, "editor"),  # the sensible one opens a menu
        ({}, {"vi"}, "vi"),
    ],
)
def test_the_editor_is_the_users_or_one_of_the_system(environ, present, editor):
    """Without any, the error says how to name one."""
    assert editor == editor_of(environ, {name: f"/usr/bin/{name}" for name in present}.get)
    with pytest.raises(HarnessError, match="no editor"):
        editor_of({}, {}.get)


def test_a_handler_that_is_broken_at_the_start_is_told(tmp_path):
    """Other files are compiled once they are saved: a package may have some that are not for its Python."""
    (tmp_path / "harness.toml").write_text('[functions.f]\nsource = "f"\nhandler = "inner/app.handler"\n')
    (tmp_path / "f" / "inner").mkdir(parents=True)
    (tmp_path / "f" / "inner" / "app.py").write_text("def handler(:\n")
    (tmp_path / "f" / "template.py").write_text("{{ code }} {\n")
    builder = ProjectBuilder(load_settings(tmp_path), (), "container", None, print)

    assert [("f/inner/app.py:1: invalid syntax",)] == [result.problem for result in builder.build_all()]


def test_a_problem_is_told_once_for_a_save(tmp_path):
    """A folder that is moved away is several changes; the next save of a file tells the problem again."""
    (tmp_path / "harness.toml").write_text(
        '[functions.f]\nsource = "f"\nhandler = "app.handler"\nrequirements = ["requirements.txt"]\n'
    )
    folder, requirements = tmp_path / "f", tmp_path / "requirements.txt"
    requirements.touch()
    builder = ProjectBuilder(load_settings(tmp_path), (), "container", None, print)

    def told(*paths):
        return [" ".join(result.problem) for result in builder.build_changed(set(paths))]

    first = told(folder)
    again = [told(folder / "app.py"), told(folder, requirements), told(folder)]
    folder.mkdir()
    other = folder / "other.py"
    missing = [told(folder), told(folder)]
    other.touch()
    saved = [told(other), told(other)]

    assert "does not exist" in first[0]
    assert [[], [], []] == again
    assert ["needs a file" in missing[0][0], []] == [True, missing[1]]
    assert ["needs a file" in saved[0][0], []] == [True, saved[1]]


def test_a_handler_that_cannot_be_looked_up_is_that_functions_error(tmp_path):
    """A name that is too long is refused by the system, as is a folder that may not be searched."""
    (tmp_path / "harness.toml").write_text(f'[functions.f]\nsource = "f"\nhandler = "{"a" * 300}.handler"\n')
    (tmp_path / "f").mkdir()
    builder = ProjectBuilder(load_settings(tmp_path), (), "container", None, print)

    assert ["needs a file" in result.problem[0] for result in builder.build_all()] == [True]

"""The parts of the development loop: what is watched, what is built, and how lines read."""

from pathlib import Path

import click
import pytest

from harness.develop.building import ProjectBuilder
from harness.develop.screen import Screen
from harness.develop.syntax import syntax_problem
from harness.develop.watching import folders_to_watch
from harness.gateway.feed import FeedInvocation
from harness.runs.functions import inputs_of
from harness.settings import OWN_RUNTIME, load_settings

ENDED = FeedInvocation(
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
    shown.invocation(FeedInvocation(**{**fields, **changes}))

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

"""`harness.toml`, and the folders that depend on the user's environment."""

import os
import pwd
from pathlib import Path

import pytest

from harness.errors import HarnessError
from harness.folders import state_folder
from harness.runs.declared import declared
from harness.settings import load_settings
from harness.stack.folders import make_folder, remove_folder
from harness.stack.plan import make_plan
from harness.system.rie import fetch_rie

FUNCTION = 'source = "src"\nhandler = "app.handler"\n'


@pytest.mark.parametrize(
    ("content", "what", "remedy"),
    [
        (f"[functions.hello]\n{FUNCTION}memory = 256", "[functions.hello] has the unknown key `memory`", "`memory_mb`"),
        (f"[functions.hello]\n{FUNCTION}time_out = 3", "[functions.hello] has the unknown key `time_out`", "timeout_s"),
        (f"[functions.hello]\n{FUNCTION}colour = 3", "[functions.hello] has the unknown key `colour`", "it takes"),
        ("[stak]", "harness.toml has the unknown key `stak`", "`stack`"),
        ("[stack.ports]\nmemcache = 1", "[stack.ports] has the unknown key `memcache`", "`memcached`"),
        (f"[functions.hello]\n{FUNCTION}memory_mb = 3", "functions.hello.memory_mb: Expected `int` >= 128", "correct"),
        ('[functions.hello]\nhandler = "app.handler"', "functions.hello: Object missing required field", "correct"),
        ('[functions.f]\nhandler = "app.f"\nsource = ""', "functions.f.source: an empty path", "correct"),
        (f'[functions.f]\n{FUNCTION}include = ["a", ""]', "functions.f.include[1]: an empty path", "correct"),
        ('[functions.f]\nhandler = "app.f"\nsource = 3', "functions.f.source: Expected `str`, got `int`", "quotes"),
        ('[stack]\nmode = "odd"', "stack.mode: Invalid enum value 'odd'", 'it takes "process" or "container"'),
        ('runtime = "python2.7"', "runtime: Invalid enum value 'python2.7'", 'it takes "python3.8" or'),
        ("functions = 3", "functions: Expected `object`, got `int`", "correct"),
        ("[[functions]]", "functions: Expected `object`, got `array`", "correct"),
        ("x = [", "harness.toml is not TOML", "correct"),
        ("x = " + "[" * 100_000, "harness.toml is not TOML", "correct"),
        (
            b"x = '\xff'",
            "harness.toml is not TOML: line 1 is not UTF-8",
            "correct that line, or save the file as UTF-8",
        ),
        (b"x = 1\ny = '\xff'", "harness.toml is not TOML: line 2 is not UTF-8", "correct that line"),
        ("[stack]".encode("utf-16"), "harness.toml is not TOML: line 1 is not UTF-8", "save the file as UTF-8"),
        ("x = 1\nx = 2", "harness.toml is not TOML: Cannot overwrite", "correct the file"),
        ("x = 1\ny", "harness.toml is not TOML", "correct the file"),
        ("x = 1\n=\n", "(at line 2, column 1)", "correct the line named above"),
        (
            f'[functions."a b"]\n{FUNCTION}',
            'functions: "a b" is not a function\'s name',
            "letters, digits, `-` and `_`",
        ),
        (
            '[functions.hello]\nsource = "."\nhandler = "app:handler"',
            'functions.hello.handler: "app:handler" is not module.function',
            '"app.handler"',
        ),
        ('[functions.hello]\nsource = "."\nhandler = "app"', '"app" is not module.function', '"app.handler"'),
        (f"[functions.hello]\n{FUNCTION}environment = {{ A = '1', B = 1 }}", "functions.hello.environment.B", "quotes"),
        ("[stack.ports]\ngateway = 18123\ns3 = 18123", "[stack.ports] s3 and gateway have the same port 18123", "or 0"),
        ("[stack.ports]\ngateway = 7\ns3 = 7\naws = 7", "s3, aws and gateway have the same port 7", "another port"),
    ],
)
def test_a_wrong_file_is_one_error_that_names_table_and_key(tmp_path, content, what, remedy):
    """It also suggests the key that was probably meant."""
    file = tmp_path / "harness.toml"
    file.write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(HarnessError) as error:
        load_settings(tmp_path)
    assert what in error.value.what
    assert str(file) == error.value.where
    assert remedy in error.value.remedy


def test_a_working_folder_that_was_deleted_is_one_error(tmp_path, monkeypatch):
    """The error says that the folder no longer exists."""
    gone = tmp_path / "gone"
    gone.mkdir()
    monkeypatch.chdir(gone)
    gone.rmdir()
    with pytest.raises(HarnessError, match="working folder no longer exists"):
        load_settings()


@pytest.mark.parametrize(
    ("variables", "expected"),
    [
        ({"XDG_CACHE_HOME": "/x", "HOME": "/h"}, "/x/lambda-harness"),
        ({"XDG_CACHE_HOME": "relative", "HOME": "/h"}, "/h/.cache/lambda-harness"),
        ({"XDG_CACHE_HOME": "", "HOME": "/h"}, "/h/.cache/lambda-harness"),
        ({"HOME": ""}, f"{pwd.getpwuid(os.getuid()).pw_dir}/.cache/lambda-harness"),
        ({}, f"{pwd.getpwuid(os.getuid()).pw_dir}/.cache/lambda-harness"),
    ],
)
def test_the_cache_is_where_the_user_has_caches(tmp_path, monkeypatch, variables, expected):
    """It follows XDG's rules."""
    for name in ("XDG_CACHE_HOME", "HOME"):
        monkeypatch.delenv(name, raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    (tmp_path / "harness.toml").touch()
    assert Path(expected) == load_settings(tmp_path).cache_dir


@pytest.mark.parametrize("variable", ["XDG_CACHE_HOME", "HOME"])
def test_a_cache_that_cannot_be_written_is_named_with_its_variable(tmp_path, monkeypatch, variable):
    """The project's folder, which can be written, is not blamed."""
    (tmp_path / "file").touch()
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.setenv(variable, str(tmp_path / "file"))

    with pytest.raises(HarnessError) as caught:
        fetch_rie(load_settings(tmp_path))

    assert f"the cache folder {load_settings(tmp_path).cache_dir}: Not a directory" in caught.value.what
    assert f"{variable} is {tmp_path / 'file'}" == caught.value.where
    assert "XDG_CACHE_HOME" in caught.value.remedy


def test_a_user_without_a_name_and_a_home_has_the_cache_in_the_project(tmp_path, monkeypatch):
    """This is the case in a container that runs with an arbitrary uid."""

    def nobody(uid):
        raise KeyError(uid)

    for name in ("XDG_CACHE_HOME", "HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(pwd, "getpwuid", nobody)
    (tmp_path / "harness.toml").touch()
    assert tmp_path / ".harness" / "cache" == load_settings(tmp_path).cache_dir


def test_a_stack_of_a_read_only_project_is_found_after_the_project_became_writable(tmp_path, monkeypatch):
    """Its state stays where it came up, until it is down."""
    project = tmp_path / "project"
    project.mkdir()
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    with monkeypatch.context() as while_read_only:
        while_read_only.setattr(os, "access", lambda path, *_, **__: path != project)
        elsewhere = state_folder(project)
        stack = make_folder(elsewhere)

    found = state_folder(project)
    remove_folder(stack)

    assert tmp_path / "cache" in elsewhere.parents
    assert elsewhere == found
    assert project / ".harness" == state_folder(project)


def test_without_a_file_the_working_folder_is_the_project(tmp_path, monkeypatch):
    """Outside of any project, everything has its default, and the functions are those that the harness ships."""
    monkeypatch.chdir(tmp_path)

    settings = load_settings()

    assert tmp_path == settings.root
    assert "localstack" == settings.stack.s3
    assert ["linear_ec_1", "linear_ec_2", "linear_ec_2_nn"] == list(settings.functions)
    assert all(function.source.is_dir() for function in settings.functions.values())


def test_a_project_need_not_declare_the_training_functions(tmp_path):
    """A function that harness.toml does not declare is the shipped one of that name, if there is one."""
    (tmp_path / "harness.toml").write_text("""
[functions.linear_ec_1]
source = "."
handler = "mine.handler"
""")
    settings = load_settings(tmp_path)

    assert "mine.handler" == declared(settings, "linear_ec_1").handler
    assert "linear_ec_2.handler" == declared(settings, "linear_ec_2").handler
    with pytest.raises(HarnessError, match="function other is not declared"):
        declared(settings, "other")
    assert ["linear_ec_1"] == list(settings.functions)


def test_a_mark_at_the_files_start_is_no_error(tmp_path):
    """Some editors begin a UTF-8 file with a byte order mark."""
    (tmp_path / "harness.toml").write_text('[stack]\ns3 = "moto"', encoding="utf-8-sig")

    assert "moto" == load_settings(tmp_path).stack.s3


def test_only_moto_as_s3_may_have_one_port_for_all_of_aws(tmp_path):
    """It is one server, and the keys `s3` and `aws` mean the same; LocalStack is another server than moto."""
    (tmp_path / "harness.toml").write_text("[stack.ports]\ns3 = 4566\naws = 4566")
    settings = load_settings(tmp_path)

    with pytest.raises(HarnessError, match=r"cannot share port 4566 \(s3 and aws\)"):
        make_plan(settings, "localstack", tmp_path, state_file=tmp_path / "state.json", owner=None)

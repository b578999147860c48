"""What the command line makes of errors, and how its help reads."""

import errno
import json
import re

import click
import pytest
from click.testing import CliRunner

from harness.cli.job_options import PREFIX
from harness.cli.last_handler import describe
from harness.cli.main import cli
from harness.errors import HarnessError
from training.errors import InputError


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--n-workers", "0"], "--n-workers is 0; allowed"),
        (["--lambda", "-1"], "--lambda is -1.0; allowed"),
        (["--batch-size", "0", "--job", "job.json"], "--batch-size is 0; allowed"),
        (["--optim", "em"], "--optim em needs model="),
        (["--optim", "em", "--model", "lr"], "--optim em needs --model kmeans or sparse_kmeans; got --model lr"),
    ],
)
def test_an_error_names_the_flag_that_the_user_typed(tmp_path, monkeypatch, arguments, words):
    """Not the event's key."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "job.json").write_text(json.dumps({"n_workers": 2}))
    answer = CliRunner().invoke(cli, ["run", *arguments])
    assert isinstance(answer.exception, HarnessError)
    assert words in str(answer.exception)


def test_an_error_about_a_key_of_a_file_names_the_key(tmp_path, monkeypatch):
    """Also beside flags."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "job.json").write_text(json.dumps({"n_workers": 0}))
    answer = CliRunner().invoke(cli, ["run", "--job", "job.json", "--batch-size", "10"])
    assert isinstance(answer.exception, InputError)
    assert "job field `n_workers` is 0" in str(answer.exception)


def test_a_full_disk_is_told_with_the_file_and_without_a_traceback():
    """It is no fault of the program's."""
    lines = describe(OSError(errno.ENOSPC, "No space left on device", "/full/file"))
    assert ["no space left on device", "cannot write /full/file"] == lines[:2]


def test_what_nobody_foresaw_is_one_line_and_a_file(tmp_path, monkeypatch):
    """The traceback is in the state folder, readable by its owner alone; a broken `__str__` breaks nothing."""

    class OddError(Exception):
        def __str__(self):
            raise RuntimeError

    (tmp_path / "harness.toml").touch()
    (tmp_path / ".harness").mkdir()
    monkeypatch.chdir(tmp_path)
    first, place, _ = describe(OddError())
    file = tmp_path / ".harness" / "last-error.txt"
    assert "unexpected OddError" == first
    assert str(file) in place
    assert 0o600 == file.stat().st_mode & 0o777
    assert "OddError" in file.read_text()


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["data", "inspect", "a" * 300], "no such file"),
        (["run", "--data", "a" * 300], "no such file"),
        (["data", "make", "--rows", "3", "-o", "file/below"], "file/below: cannot be written"),
    ],
)
def test_paths_that_cannot_be_are_errors_of_the_user(tmp_path, monkeypatch, arguments, words):
    """Too long a name, a file in the place of a folder."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "file").touch()
    answer = CliRunner().invoke(cli, arguments)
    assert isinstance(answer.exception, InputError)
    assert words in str(answer.exception)


def test_a_file_that_nobody_foresaw_is_named_first(tmp_path, monkeypatch):
    """It is more likely the user's than the program's fault."""
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    assert "/x/y: Not a directory" == describe(OSError(errno.ENOTDIR, "Not a directory", "/x/y"))[0]


def commands(command, path="harness"):
    """Yield a command and the commands below it, each with the words that call it."""
    yield path, command
    if isinstance(command, click.Group):
        context = click.Context(command)
        for name in command.list_commands(context):
            yield from commands(command.get_command(context, name), f"{path} {name}")


def test_help_texts_are_imperatives():
    """A command's help begins with a verb in the imperative: `Train`, not `Trains`."""
    first_words = {path: (command.help or "").split()[0] for path, command in commands(cli)}

    assert {} == {
        path: word for path, word in first_words.items() if not word.istitle() or word.rstrip(",:").endswith("s")
    }


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["rnu"], "Did you mean 'run'?"),
        (["data", "makee"], "Did you mean 'make'?"),
        (["partition"], "Did you mean 'data partition'?"),
        (["halt"], "Did you mean 'down'?"),
        (["images", "xyz"], "The commands are bases, build, list, push, rm, services, verify."),
        (["completion", "bsh"], "'bsh' is not one of 'bash', 'zsh', 'fish'"),
    ],
)
def test_a_mistyped_command_is_told_the_nearest_one(arguments, words):
    """Also one of a group, one that another tool has, and one that was typed without its group."""
    answer = CliRunner().invoke(cli, arguments)

    assert 2 == answer.exit_code
    assert words in answer.stderr


def test_the_help_of_a_run_says_what_each_key_of_the_job_is():
    """It is read in the job's docstring, which later Pythons indent otherwise."""
    options = {option.name: option.help for option in cli.get_command(click.Context(cli), "run").params}
    keys = {name.removeprefix(PREFIX): text for name, text in options.items() if name.startswith(PREFIX)}

    assert len(keys) > 20
    assert not [key for key, text in keys.items() if text.startswith((f"{key} (", f"{key.rstrip('_')} ("))]


def test_the_list_of_commands_is_not_cut():
    """Each line says what its command is for, to the end of the sentence."""
    listed = CliRunner().invoke(cli, ["--help"]).output.partition("Commands:")[2]

    assert "..." not in listed
    assert re.search(r"why +Tell where the time of RUN went, .*\n.*in ten lines\.", listed)

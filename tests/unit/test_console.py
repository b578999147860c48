"""What commands print on terminals of every width, and in a pipe."""

import time
from io import StringIO

import click
import pytest
from click.testing import CliRunner
from rich.console import Console
from rich.theme import Theme

from harness.cli import _waiting
from harness.cli._table import TableColumn, figures, print_table
from harness.cli._waiting import waiting
from harness.cli.main import cli
from harness.system.console import STYLES, UNLIMITED, is_live, notices, print_error, set_quiet

RUN_ID = "20261123-151538-367b1d"
COLUMNS = [TableColumn("run"), *figures("workers", "loss"), TableColumn("differs", folds=True)]
ROWS = [
    (RUN_ID, "40", "0.4812", "lr=0.1 batch_size=16 momentum=0.9 optim=adam weight_decay=0.0001"),
    ("short", "4", "-", ""),
]


def printed(width, columns=COLUMNS, rows=ROWS):
    """The lines of a table on a terminal of a width."""
    console = Console(width=width, file=StringIO(), theme=Theme(STYLES), highlight=False)
    print_table(columns, rows, console)
    return console.file.getvalue().splitlines()


@pytest.mark.parametrize("width", [40, 60, 80, 200])
def test_a_table_fits_the_width_and_keeps_ids_whole(width):
    """No line is longer than the terminal, and every id and every word is in one piece."""
    lines = printed(width)

    assert max(map(len, lines)) <= width
    text = "\n".join(lines)
    for word in (RUN_ID, "40", "0.4812", "batch_size=16", "optim=adam"):
        assert word in text


def test_a_row_takes_one_line_in_a_pipe():
    """Without a terminal nothing is folded, so that `grep` finds whole rows."""
    lines = printed(UNLIMITED)

    assert len(lines) == 3
    assert lines[1].startswith(RUN_ID)
    assert "weight_decay=0.0001" in lines[1]


def test_control_characters_in_a_table_are_escaped():
    """A name that holds an escape sequence does not reach the terminal."""
    assert "\\x1b[31mred" in "\n".join(printed(80, COLUMNS[:1], [("\x1b[31mred",)]))


def test_a_long_wait_is_printed_without_a_terminal_ever_more_rarely(monkeypatch, capsys):
    """A plain line names the work and the seconds; the next one comes when the time has doubled."""
    monkeypatch.setattr(_waiting, "FIRST_LINE_S", 0.05)

    with waiting("starting the stack") as log:
        log("memcached is up")
        deadline, text = time.monotonic() + 10, ""
        while text.count("...") < 3 and time.monotonic() < deadline:
            time.sleep(0.01)
            text += capsys.readouterr().err

    # Either may come first: the wait's own lines come from a thread.
    assert text.replace("memcached is up\n", "", 1).startswith("starting the stack ... 0 s\n" * 3)
    assert "memcached is up\n" in text
    assert "\x1b" not in text


def test_quiet_silences_notices(capsys):
    """With --quiet, a wait prints nothing."""
    set_quiet(True)
    try:
        with waiting("starting the stack") as log:
            log("memcached is up")
    finally:
        set_quiet(False)

    assert capsys.readouterr() == ("", "")


def colours(monkeypatch, capsys, **variables):
    """What an error looks like with some environment variables, in a pipe."""
    for name in ("NO_COLOR", "FORCE_COLOR", "TTY_COMPATIBLE", "COLORTERM"):
        monkeypatch.delenv(name, raising=False)
    for name, value in {"TERM": "xterm", **variables}.items():
        monkeypatch.setenv(name, value)
    notices.cache_clear()
    print_error("error: gone\n  here")
    notices.cache_clear()
    return capsys.readouterr().err


def test_colours_follow_the_environment(monkeypatch, capsys):
    """A pipe gets none unless they are forced; NO_COLOR and a dumb terminal switch them off."""
    plain = "error: gone\n  here\n"

    assert colours(monkeypatch, capsys) == plain
    assert colours(monkeypatch, capsys, FORCE_COLOR="1") == "\x1b[31merror:\x1b[0m gone\n  here\n"
    assert colours(monkeypatch, capsys, FORCE_COLOR="1", NO_COLOR="1") == plain
    assert colours(monkeypatch, capsys, FORCE_COLOR="1", TERM="dumb") == plain


def test_nothing_is_redrawn_without_a_terminal_that_can(monkeypatch):
    """Forced colours in a pipe bring no cursor movements, nor does a dumb terminal."""
    monkeypatch.setenv("FORCE_COLOR", "1")
    notices.cache_clear()
    assert not is_live()

    monkeypatch.setattr("sys.stderr.isatty", lambda: True, raising=False)
    monkeypatch.setenv("TERM", "dumb")
    notices.cache_clear()
    assert not is_live()

    monkeypatch.setenv("TERM", "xterm")
    notices.cache_clear()
    assert is_live()
    notices.cache_clear()


def test_an_error_is_printed_although_notices_are_not(capsys):
    """--quiet silences no error."""
    set_quiet(True)
    try:
        print_error("error: gone")
    finally:
        set_quiet(False)

    assert capsys.readouterr().err == "error: gone\n"


def test_quiet_commands_print_their_result_alone(tmp_path):
    """`harness data make --quiet` prints one line on standard output, and `--json` one object."""
    for flags in (["--quiet"], ["--quiet", "--json"]):
        done = CliRunner().invoke(cli, ["data", "make", "--rows", "10", "-o", str(tmp_path / "rows"), *flags])

        assert done.exit_code == 0
        assert len(done.stdout.splitlines()) == 1
        assert done.stderr == ""
    set_quiet(False)


def test_commands_that_wait_long_can_be_silenced():
    """Each has --quiet."""
    for path in ("up", "run", "tune", "predict", "export", "deploy", "destroy", "data make", "data partition",
                 "images build", "images verify", "images push", "functions create", "model check"):  # fmt: skip
        command, context = cli, click.Context(cli)
        for word in path.split():
            command = command.get_command(context, word)
        assert "--quiet" in [name for option in command.params for name in option.opts], path


# What they print is a script for a shell, or a session; the payload of `invoke` is the function's own answer.
WITHOUT_JSON = {"completion", "dev", "rie", "invoke", "page", "attach"}


def test_commands_that_print_data_have_json():
    """Every command has --json, except those whose output is no data of ours."""

    def leaves(group, path=""):
        for name in group.list_commands(click.Context(group)):
            command = group.get_command(click.Context(group), name)
            if isinstance(command, click.Group):
                yield from leaves(command, f"{path}{name} ")
            else:
                yield f"{path}{name}", command

    lacking = {
        path for path, one in leaves(cli) if "--json" not in [name for option in one.params for name in option.opts]
    }
    assert lacking <= WITHOUT_JSON


def test_headings_are_folded_before_values():
    """A table that is too wide by its headings stays a table."""
    columns = figures("trial", "validation loss", "mean of the seconds")

    lines = printed(26, columns, [("1", "0.16682", "12.5")])

    words = [["mean", "of"], ["validation", "the"], ["trial", "loss", "seconds"], ["1", "0.16682", "12.5"]]
    assert [line.split() for line in lines] == words

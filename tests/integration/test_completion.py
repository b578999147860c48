"""Completion by a real shell, with the command as it is installed."""

import os
import subprocess
import sys
from pathlib import Path

import pexpect
import pytest

HARNESS = Path(sys.executable).with_name("harness")

# What Bash does at a tab: it calls the registered function with the command, the word and the word before it.
PRESS_TAB = """
eval "$(harness completion bash)"
IFS=' ' read -ra COMP_WORDS <<<"$1"
[[ $1 == *' ' ]] && COMP_WORDS+=('')
COMP_CWORD=$(( ${#COMP_WORDS[@]} - 1 ))
registered=$(complete -p harness)
[[ $registered =~ -F\\ ([a-z_]+) ]]
compopt() { echo files; }  # the builtin works only at a prompt
"${BASH_REMATCH[1]}" "${COMP_WORDS[0]}" "${COMP_WORDS[COMP_CWORD]}" "${COMP_WORDS[COMP_CWORD - 1]}"
printf '%s\\n' "${COMPREPLY[@]}"
"""


def press_tab(line, folder):
    """The words that Bash offers after this line, which ends where the cursor is."""
    environment = {**os.environ, "PATH": f"{HARNESS.parent}:{os.environ['PATH']}"}
    shell = subprocess.run(
        ["bash", "--norc", "-c", PRESS_TAB, "bash", line],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert shell.returncode == 0, shell.stderr
    assert shell.stderr == ""
    return shell.stdout.split("\n")[:-1]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A project with two functions."""
    path = tmp_path_factory.mktemp("project")
    table = '[functions.{}]\nsource = "."\nhandler = "app.handler"\n'
    (path / "harness.toml").write_text(table.format("resize") + table.format("report"))
    return path


@pytest.mark.parametrize(
    ("line", "offered"),
    [
        ("harness stat", ["status"]),
        ("harness data ", ["make", "describe", "partition", "inspect"]),
        ("harness run --n-w", ["--n-workers"]),
        ("harness run --model spar", ["sparse_lr", "sparse_svm", "sparse_linear", "sparse_kmeans"]),
        ("harness invoke re", ["resize", "report"]),
        ("harness logs res", ["resize"]),
        ("harness invoke resize --event ev", ["files", ""]),
        (f"{HARNESS} stat", ["status"]),
    ],
)
def test_bash_completes(line, offered, folder):
    """Verbs, commands of groups, options, their values, functions and files; nothing else reaches the terminal."""
    assert offered == press_tab(line, folder)


def test_a_broken_settings_file_leaves_the_line_as_it_is(tmp_path):
    """An error would be printed into the line that the user types."""
    (tmp_path / "harness.toml").write_text("functions = 3")

    assert [""] == press_tab("harness invoke re", tmp_path)


@pytest.mark.parametrize(
    ("shell", "words"), [("zsh", "#compdef harness"), ("fish", "complete --no-files --command harness")]
)
def test_other_shells_have_their_own_script(shell, words):
    """The script asks the command for completions in that shell's form."""
    printed = subprocess.run([HARNESS, "completion", shell], capture_output=True, text=True, check=True).stdout

    assert words in printed
    assert f"_HARNESS_COMPLETE={shell}_complete" in printed


def test_a_tab_at_a_prompt_completes_the_line(folder):
    """In an interactive Bash in a terminal, the line is as if the user had typed it in full."""
    environment = {**os.environ, "PATH": f"{HARNESS.parent}:{os.environ['PATH']}", "TERM": "dumb", "PS1": "$ "}
    shell = pexpect.spawn("bash", ["--norc", "--noprofile", "-i"], cwd=folder, env=environment, timeout=60)
    try:
        shell.sendline('eval "$(harness completion bash)"')
        shell.send("harness completi\tfi\t")
        shell.expect_exact("harness completion fish ")
        shell.sendline("| head -1")
        shell.expect_exact("function _harness_completion;")
    finally:
        shell.close(force=True)

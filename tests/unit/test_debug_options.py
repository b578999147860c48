"""What `--debug` and `--pdb` refuse, before anything is started."""

from pathlib import Path

import pytest
from click.testing import CliRunner

from harness.cli.debugger import Shown
from harness.cli.main import cli
from harness.errors import HarnessError
from harness.gateway.debug_records import DebugChange, DebugRequest, DebugTarget
from harness.runs.debugging import attach_configuration, package_paths
from harness.runs.invoke import InvocationAnswer
from harness.settings import FunctionSettings, load_settings


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["run", "--debug", "1"], "--debug '1' names no rank"),
        (["run", "--debug", "rank=1", "--debug", "rank=1"], "--debug names rank 1 twice"),
        (["run", "--debug-port", "5678"], "--debug-port was given without --debug"),
        (["run", "--debug", "rank=1", "--target", "aws"], "--debug does not reach functions of --target aws"),
        (["run", "--debug", "rank=1", "--function-timeout", "9"], "--debug lifts the workers' time limit"),
        (["invoke", "linear_ec_2", "--debug", "--target", "aws"], "--debug does not reach functions of --target aws"),
        (["invoke", "linear_ec_2", "--debug", "--async"], "--debug waits for the answer, and --async does not"),
        (["invoke", "linear_ec_2", "--debug", "--pdb"], "--debug and --pdb were both given"),
        (["invoke", "linear_ec_2", "--debug-port", "5678"], "--debug-port was given without --debug"),
        (["dev", "--debug", "nobody"], "function nobody is not declared"),
        (["dev", "--debug-port", "5678"], "--debug-port was given without --debug"),
        (["dev", "linear_ec_1", "--debug", "linear_ec_2"], "--debug linear_ec_2: the loop is for linear_ec_1"),
        (["invoke", "linear_ec_2", "--pdb"], "--pdb needs a terminal"),
        (["invoke", "linear_ec_2", "--pdb", "--debug-port", "5678"], "--debug-port is for --debug"),
    ],
)
def test_flags_that_contradict_each_other_are_refused(arguments, told):
    """In one line that names the flag."""
    refused = CliRunner().invoke(cli, arguments)

    assert isinstance(refused.exception, HarnessError)
    assert told in str(refused.exception)


def test_launch_json_names_the_folder_as_an_editor_does():
    """Below the project relative to it, elsewhere as it is."""
    inside = FunctionSettings(source=Path("/p/app"), handler="a.h")
    outside = FunctionSettings(source=Path("/q/app"), handler="a.h", include=(Path("/q/lib"),))

    roots = [
        attach_configuration("f", function, Path("/p"))["pathMappings"][0]["localRoot"]
        for function in (inside, outside)
    ]

    assert ["${workspaceFolder}/app", "/q/app"] == roots
    assert (("/q/lib", "lib"), ("/q/app", ".")) == package_paths(outside)


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        (["starting", "ended"], "hello ran without a debugger: its image does not run Python"),
        (["starting", "waiting", "attached", "ended"], "debugpy: a debugger is attached"),
    ],
)
def test_a_function_without_a_debugger_is_told(changes, told, capsys, tmp_path):
    """Its answer came, but nobody could have attached; after a debugger has been there, nothing is said of that."""
    (tmp_path / "harness.toml").write_text('[functions.hello]\nsource = "app"\nhandler = "app.handler"\n')
    settings = load_settings(tmp_path)
    shown = Shown(settings, DebugRequest("hello", (DebugTarget(5678),)))

    for state in changes:
        shown.report(DebugChange(port=5678, state=state))
    shown.check_started(InvocationAnswer(b"{}", error=False, log=""))

    printed = capsys.readouterr().err
    assert told in printed
    assert ("ran without" in told) == ("ran without" in printed)

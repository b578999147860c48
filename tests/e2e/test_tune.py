"""`harness tune`: trials that are normal runs, an interruption that loses none, and a best job that a run takes."""

import json
import os
import signal
import subprocess
import sys

import msgspec
import optuna
import pytest
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend

from harness.aws.clients import clients_for
from harness.errors import HarnessError
from harness.runs.run_target import stack_target
from harness.tune.begin import begin_study
from harness.tune.folder import STORAGE_FILE, working_on
from harness.tune.records import StudyPlan
from harness.tune.space import read_space
from harness.tune.table import read_table
from harness.tune.tuning import run_study
from tests.conftest import HARNESS
from tests.support.running import run_job

DATA = "synthetic:rows=600,features=5"
SPACE = ["lr=0.01..1:log", "batch_size=50,100"]


class SilentView:
    """Shows nothing, and asks for an end by Ctrl-C when so many trials have ended."""

    def __init__(self, interrupt_after=None):
        self.left = interrupt_after

    def stage(self, *_):
        """Nothing."""

    def note(self, *_):
        """Nothing."""

    def plan(self, *_):
        """Nothing."""

    def began(self, *_):
        """Nothing."""

    def watch(self, *_):
        """Nothing."""

    def ended(self, *_):
        """Sends the signal."""
        if self.left is not None:
            self.left -= 1
            if self.left == 0:
                signal.raise_signal(signal.SIGINT)


@pytest.fixture
def search(stack, settings, tmp_path):
    """Runs a study of the test's own project, and returns its table."""
    own = msgspec.structs.replace(settings, root=tmp_path)
    (tmp_path / ".harness").mkdir()

    def run(name, *, n_trials=4, event=None, space=SPACE, at_once=2, view=None, **changes):
        event = {"n_workers": 1, "n_epochs": 2} | (event or {})
        plan = StudyPlan(
            folder=str(tmp_path),
            data=DATA,
            event=event,
            space=read_space(space, None),
            metric="loss",
            seed=0,
            **changes,
        )
        with working_on(own, name) as folder:
            record, common = begin_study(own, name, plan, n_trials, None)
            target = stack_target(stack, clients_for(stack.endpoints))
            view = view or SilentView()
            run_study(record, common, own, target, folder=folder, at_once=at_once, most_workers=None, view=view)
        return read_table(own, record)

    run.settings = own
    return run


def essence(table):
    """What does not differ from one search to another: all but times and the names of runs."""
    return [
        (trial.number, trial.state, trial.params, trial.value, trial.epochs, [run.sha256 for run in trial.runs])
        for trial in table.trials
    ]


def test_a_study_that_was_interrupted_ends_as_one_that_was_not(search, stack, settings, tmp_path):
    """The same trials with the same models; its storage opens in Optuna, and its best job is a job."""
    with pytest.raises(KeyboardInterrupt) as interrupted:
        search("cut", view=SilentView(interrupt_after=2))
    assert any("go on with `harness tune --resume cut`" in note for note in interrupted.value.__notes__)
    cut = search("cut")
    whole = search("whole", at_once=1)

    assert essence(whole) == essence(cut)
    assert ["finished"] * 4 == [trial.state for trial in cut.trials]
    opened = optuna.load_study(
        study_name="cut", storage=JournalStorage(JournalFileBackend(str(tmp_path / ".harness/tune/cut" / STORAGE_FILE)))
    )
    assert (cut.best, cut.trials[cut.best].value) == (opened.best_trial.number, opened.best_value)
    assert cut.trials[cut.best].params == opened.best_params
    assert cut.best_sha256 == run_job(stack, settings, data=DATA, **cut.best_job).model["sha256"]


def test_help_does_not_import_optuna():
    """Half a second that no other verb has to pay."""
    code = "import sys, harness.cli.main, harness.cli.tune; sys.exit('optuna' in sys.modules)"
    assert 0 == subprocess.run([sys.executable, "-c", code], check=False).returncode


@pytest.mark.slow
def test_halving_trains_the_better_ones_anew_for_longer(search, stack, settings):
    """Also over an interruption; the best job is that of the last rung."""
    space = ["lr=0.01..1:log"]
    options = {"n_trials": 4, "event": {"n_epochs": 4}, "space": space, "reduction": 2, "halved_trials": 4}
    with pytest.raises(KeyboardInterrupt):
        search("cut", view=SilentView(interrupt_after=5), **options)
    cut, whole = search("cut", **options), search("whole", **options)

    assert essence(whole) == essence(cut)
    assert [1, 1, 2, 4] == sorted(trial.epochs for trial in cut.trials)
    assert ["finished", "halved", "halved", "halved"] == sorted(trial.state for trial in cut.trials)
    assert 4 == cut.best_job["n_epochs"]
    assert cut.best_sha256 == run_job(stack, settings, data=DATA, **cut.best_job).model["sha256"]


@pytest.mark.slow
def test_a_failed_trial_says_why_and_ends_nothing(search):
    """A loss that overflows is its trial's own affair."""
    table = search("wild", n_trials=2, space=["lr=0.1,1000000"], event={"model": "linear", "n_epochs": 30})

    assert {"finished", "failed"} == {trial.state for trial in table.trials}
    assert "training diverged" in next(trial.cause for trial in table.trials if trial.state == "failed")


@pytest.mark.slow
def test_data_and_searches_that_have_changed_are_refused(search):
    """A study's trials are comparable."""
    search("study", n_trials=1)
    with pytest.raises(HarnessError, match="it searches something else"):
        search("study", n_trials=2, event={"n_epochs": 3})
    with working_on(search.settings, "study"), pytest.raises(HarnessError, match="another command works on study"):
        search("study", n_trials=2)


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_the_command_goes_on_after_a_signal(run_harness, project, number):
    """Two studies at once share a stack; one is killed, goes on, and ends as the other."""
    run_harness("up")
    arguments = ["tune", "--data", "synthetic:rows=20000,features=5", "--n-workers", "1", "--n-epochs", "4"]
    arguments += ["--batch-size", "50", "--search", SPACE[0], "--json"]
    # More trials than can end before the signal comes; those that began remain trials of the study.
    command = [HARNESS, *arguments, "--name", "cut", "--trials", "100"]
    process = subprocess.Popen(command, cwd=project.root, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    with subprocess.Popen(
        [HARNESS, *arguments, "--name", "whole", "--trials", "4"], cwd=project.root, stdout=subprocess.PIPE, text=True
    ) as other:
        assert any(line.startswith("trial") for line in process.stderr)
        os.kill(process.pid, number)
        _, told = process.communicate()
        whole, _ = other.communicate()

    assert {signal.SIGINT: 130, signal.SIGTERM: 143}.get(number, -number) == process.returncode, told
    assert number == signal.SIGKILL or "harness tune --resume cut" in told
    listed = {each["name"]: each for each in json.loads(run_harness("tune", "list", "--json").stdout)}
    assert ("interrupted", "complete") == (listed["cut"]["state"], listed["whole"]["state"])
    best = str(project.root / "best.json")
    resumed = json.loads(run_harness("tune", "--resume", "cut", "--trials", "4", "--json", "--output", best).stdout)
    assert [(trial["params"], trial["value"]) for trial in json.loads(whole)["trials"]] == [
        (trial["params"], trial["value"]) for trial in resumed["trials"][:4]
    ]
    again = run_harness("run", "--data", arguments[2], "--job", best, "--json")
    assert resumed["best_sha256"] == json.loads(again.stdout)["model"]["sha256"]
    shown = run_harness("tune", "show", "cut").stdout
    assert " best " in shown

"""A study's trials in Optuna's journal: what a killed command leaves, and what Optuna shows."""

import optuna
import pytest
from optuna.pruners import NopPruner
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend
from optuna.trial import TrialState

from harness.errors import HarnessError
from harness.tune.draws import distributions_of
from harness.tune.folder import STORAGE_FILE
from harness.tune.records import RunRecord
from harness.tune.space import Choices, Range
from harness.tune.storage import MOST_POINTS, TrialStore, read_trials

SPACE = distributions_of({"lr": Range(0.01, 1.0, log=True), "optimiser": Choices(["sgd", "adam"])})


def run_of(value, epochs=1):
    """A run with this value."""
    return RunRecord(
        run_id="r",
        value=value,
        epochs=epochs,
        seconds=1.0,
        loss=value,
        accuracy=None,
        validation=None,
        sha256="s",
        job={},
    )


def store_in(folder):
    """The store of a study."""
    return TrialStore(folder, "study", "minimize", NopPruner())


def test_a_trial_that_was_interrupted_begins_once(tmp_path):
    """The second command finds it, and gives it its value."""
    store_in(tmp_path).start(0, {"lr": 0.5}, SPACE)
    assert ["interrupted"] == [trial.state for trial in read_trials(tmp_path, "study", worked_on=False)]
    again = store_in(tmp_path)
    again.start(0, {"lr": 0.5}, SPACE)
    again.report(0, run_of(0.25), {1: 0.25})
    again.finish(0, 0.25)

    (trial,) = read_trials(tmp_path, "study", worked_on=False)
    assert ("finished", {"lr": 0.5}, 0.25, 1) == (trial.state, trial.params, trial.value, trial.epochs)


def test_a_torn_line_is_cut_off(tmp_path):
    """A command was killed, or the disk was full, while it wrote."""
    store_in(tmp_path).start(0, {"lr": 0.5}, SPACE)
    with (tmp_path / STORAGE_FILE).open("ab") as file:
        file.write(b'{"op_code":6,"wor')
    assert 1 == len(read_trials(tmp_path, "study", worked_on=False))
    again = store_in(tmp_path)
    again.fail(0, "diverged")

    assert ["diverged"] == [trial.cause for trial in read_trials(tmp_path, "study", worked_on=False)]


def test_a_damaged_file_is_named(tmp_path):
    """With what to do."""
    store_in(tmp_path).start(0, {"lr": 0.5}, SPACE)
    file = tmp_path / STORAGE_FILE
    file.write_bytes(b"garbage\n" + file.read_bytes())

    with pytest.raises(HarnessError, match="cannot be read") as refused:
        read_trials(tmp_path, "study", worked_on=False)
    assert str(file) in str(refused.value)
    with pytest.raises(HarnessError, match="cannot be read"):
        store_in(tmp_path)


def test_optuna_sees_params_values_and_states(tmp_path):
    """Also keys that a trial does not use, a curve of any length, and trials that others were better than."""
    store = store_in(tmp_path)
    store.start(0, {"lr": 0.5, "optimiser": "sgd"}, SPACE)
    store.start(1, {"optimiser": "adam"}, SPACE)
    store.report(0, run_of(0.25, 1000), {epoch: 1 / epoch for epoch in range(1, 1001)})
    store.finish(0, 0.25)
    store.report(1, run_of(0.5), {1: 0.5})
    store.prune(1)

    storage = JournalStorage(JournalFileBackend(str(tmp_path / STORAGE_FILE)))
    study = optuna.load_study(study_name="study", storage=storage)
    first, second = study.trials
    assert ({"lr": 0.5, "optimiser": "sgd"}, 0.25) == (study.best_params, study.best_value)
    assert (TrialState.PRUNED, {"optimiser": "adam"}, 0.5) == (second.state, second.params, second.value)
    assert len(first.intermediate_values) <= MOST_POINTS + 1
    assert 1000 == first.last_step

"""What `harness tune` refuses before it starts anything."""

import json

import pytest
from click.testing import CliRunner

from harness.cli.data_options import table_flags, table_options_of
from harness.cli.main import cli
from harness.errors import HarnessError
from harness.tune.default_space import default_space
from harness.tune.space import Choices, Range
from training.errors import TrainingError
from training.job import Job, decode_job


@pytest.fixture
def refused(tmp_path, monkeypatch):
    """Returns what a command says when it refuses, and asserts that nothing is left of the study."""
    (tmp_path / "harness.toml").touch()
    monkeypatch.chdir(tmp_path)

    def run(*arguments):
        answer = CliRunner().invoke(cli, ["tune", *arguments])
        assert isinstance(answer.exception, HarnessError | TrainingError), answer.output
        assert [] == list(tmp_path.glob(".harness/tune/*"))
        assert [] == list(tmp_path.glob(".harness/stacks/*"))
        assert len(str(answer.exception).splitlines()) <= 3
        return str(answer.exception)

    return run


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--lr", "0.1", "--search", "lr=0.1..1"], "lr is both set for all trials and searched"),
        (["--search", "lr=0.1..1", "--metric", "beauty"], "there is no metric 'beauty'"),
        (["--search", "lr=0.1..1e9"], "`lr` is 1000000000.0; allowed: a number above 0"),
        (["--search", "optim=grad_avg,em"], "combinations that no run can have: optim=em needs model="),
        (
            ["--search", "penalty=l1,l2", "--search", "optimiser=adamw,sgd", "--lambda", "0.1"],
            "needs optimiser=",
        ),
        (["--search", "lr=0.1..1", "--metric", "rmse"], "there is no rmse with loss=cross_entropy"),
        (["--search", "model=lr,svm"], "losses of different kinds cannot be compared"),
        (["--search", "lambda=0,0.1", "--valid-ratio", "0"], "the loss contains lambda"),
        (["--search", "batch_size=10,20", "--trials", "3"], "has 2 combinations, and 3 trials"),
        (["--search", "lr=0.1..1", "--reduction", "3"], "--reduction is part of --halving"),
        (["--search", "n_epochs=3..9", "--halving"], "--halving sets the epochs itself"),
        (["--halving", "--n-epochs", "2"], "a single rung"),
        (["--model", "kmeans", "--halving", "--search", "n_init=1..3"], "k-means ends when"),
        (["--model", "kmeans", "--search", "n_clusters=2..9", "--trials", "3"], "more clusters always have less loss"),
        (["--model", "kmeans", "--metric", "accuracy", "--search", "n_init=1..3"], "a clustering has no accuracy"),
        (["--search", "model=lr,resnet"], "model=resnet takes cifar10 and model=lr takes dense_libsvm"),
        (["--search", "lr=0.1..1", "--n-workers", "4", "--max-workers", "3"], "--max-workers is 3"),
        (["--search", "lr=0.1..1", "--name", "../x"], "is no name for a study"),
        (["--search", "lr=0.1..1", "--output", "no/such/best.json"], "the folder of --output"),
        (["--search", "lr=0.1..1", "--target", "aws", "--s3", "moto"], "it takes no --s3"),
        (["--search", "lr=0.1..1", "--data", "no/such.csv"], "no such file"),
        (["--search", "lr=0.1..1", "--n-workers", "0"], "--n-workers is 0"),
        (["--space", "none.toml"], "the search space cannot be read"),
        (["--resume", "nobody"], "there is no study nobody"),
        (["--resume", "nobody", "--lr", "0.1"], "--lr does not go with --resume nobody"),
        (["--trials", "3", "list"], "--trials does not go with harness tune list"),
        (["show", "nobody"], "there is no study nobody"),
    ],
)
def test_bad_input_is_refused_before_anything_starts(refused, arguments, words):
    """No stack, and no study is left behind."""
    assert words in refused(*arguments)


def test_a_searched_key_overrides_the_job_file_as_a_flag_does(refused, tmp_path):
    """So the best job of one study begins the next."""
    (tmp_path / "best.json").write_text(json.dumps({"lr": 0.1, "batch_size": 0}))

    assert "batch_size` is 0" in refused("--job", "best.json", "--search", "lr=0.1..1")


def job_of(**event):
    """A complete job."""
    base = {"data_bucket": "data", "n_features": 5, "n_workers": 2, "host": "cache"}
    return decode_job({**base, **event}, Job)


def test_the_default_space_surrounds_what_a_run_would_choose():
    """A learning rate that suits the data is in the middle of its range."""
    space = default_space(job_of(), {"lr": 0.02, "batch_size": 100}, {})

    assert Range(0.00067, 0.2, log=True) == space["lr"]
    assert Choices([25, 100, 400]) == space["batch_size"]
    assert {"lr", "batch_size", "lambda"} == set(space)


@pytest.mark.parametrize(
    ("event", "keys"),
    [
        ({"model": "mlp"}, {"lr", "batch_size", "optimiser", "momentum", "hidden_units"}),
        ({"model": "resnet"}, {"lr", "batch_size", "optimiser", "momentum"}),
        ({"model": "mlp", "optimiser": "adam"}, {"lr", "batch_size", "hidden_units"}),
        ({"optim": "admm"}, {"rho", "lambda"}),
        ({"lr": 0.3, "lambda": 0.0}, {"batch_size"}),
    ],
)
def test_the_default_space_suits_the_model_and_leaves_set_keys_alone(event, keys):
    """Each of its keys is one that the job uses."""
    assert keys == set(default_space(job_of(**event), {}, event))


def test_kmeans_has_no_default_space():
    """More clusters always have less loss."""
    with pytest.raises(HarnessError, match="no search space of its own"):
        default_space(job_of(model="kmeans"), {}, {})


def test_the_options_of_a_table_are_typed_as_they_were():
    """The command that trains the best model again reads the same rows."""
    typed = ["--label", "y", "--missing", "mean", "--drop", "a", "--drop", "b", "--separator", "tab"]
    flags = {"table_label": "y", "table_missing": "mean", "table_drop": ("a", "b"), "table_separator": "tab"}

    assert sorted(typed) == sorted(table_flags(table_options_of(flags)))

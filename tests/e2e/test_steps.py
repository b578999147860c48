"""Optimisers, schedules and early stopping, as a user sees them after a run."""

from harness.cli.display import print_summary
from tests.support.running import run_job

JOB = {
    "data": "sklearn:digits",
    "n_workers": 2,
    "n_epochs": 150,
    "valid_ratio": 0.2,
    "optimiser": "adamw",
    "lr": 0.3,
    "lr_schedule": "cosine",
    "warmup": 0.1,
    "clip_norm": 1.0,
    "patience": 3,
}


def test_a_run_that_stops_early_says_which_epochs_model_it_kept(stack, settings, capsys):
    """Its figures are those of that epoch, in the summary and on the screen."""
    summary = run_job(stack, settings, **JOB)

    print_summary(summary)
    done, best = len(summary.epochs), summary.best_epoch
    assert done == best + 3 < 150
    assert summary.epochs[best - 1]["loss"] == summary.loss
    assert summary.epochs[best - 1]["validation"].items() <= summary.validation.items()
    assert min(epoch["validation"]["loss"] for epoch in summary.epochs) == summary.validation["loss"]
    assert f"the model is that of epoch {best}; stopped early, after {done} of 150" in capsys.readouterr().out
    rates = [epoch["details"]["learning_rate"] for epoch in summary.epochs]
    assert rates[0] < rates[1] <= 0.3


def test_a_run_without_patience_has_no_best_epoch(stack, settings, capsys):
    """The model is that of the last epoch, and nothing is said of it."""
    summary = run_job(stack, settings, **JOB | {"patience": 0, "n_epochs": 2})

    print_summary(summary)
    assert summary.best_epoch is None
    assert "best " not in capsys.readouterr().out

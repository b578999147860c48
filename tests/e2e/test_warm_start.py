"""`--init-from`: a run that goes on where another ended, or where a file's model stands."""

import pytest

from harness.aws.clients import clients_for
from harness.errors import HarnessError
from tests.support.running import run_job
from training.errors import InputError

JOB = {"data": "synthetic:rows=3000,features=5", "n_workers": 3, "batch_size": 100, "lr": 0.1}


def test_a_run_goes_on_where_another_ended(stack, settings, tmp_path):
    """One epoch and two more are three, bit for bit; by the run's name, its file, or its address."""
    whole = run_job(stack, settings, n_epochs=3, **JOB)
    first = run_job(stack, settings, n_epochs=1, **JOB)
    bucket, key = first.model["location"].removeprefix("s3://").split("/", 1)
    file = tmp_path / "model.npz"
    file.write_bytes(clients_for(stack.endpoints).s3.get_object(Bucket=bucket, Key=key)["Body"].read())

    for named in (first.run_id, str(file), first.model["location"]):
        rest = run_job(stack, settings, n_epochs=2, init_from=named, **JOB)

        assert whole.model["sha256"] == rest.model["sha256"]
        assert f"/runs/{rest.run_id}/init.npz" in rest.job["init_from"]


def test_other_rows_are_scaled_as_the_models_were(stack, settings):
    """Two runs on standardised features have one scale: the model of the second works on its own."""
    job = JOB | {"standardise": True}
    first = run_job(stack, settings, n_epochs=2, **job)

    again = run_job(stack, settings, n_epochs=1, init_from=first.run_id, **job | {"lr": 1e-6})

    assert first.loss == pytest.approx(again.loss, rel=1e-4)
    assert first.loss < 0.67


@pytest.mark.parametrize(
    ("event", "error", "says"),
    [
        ({"init_from": "no-such-run"}, HarnessError, "there is no run no-such-run"),
        ({"init_from": "no/such/model.npz"}, HarnessError, "the model cannot be read: No such file"),
        ({"init_from": "README.md"}, InputError, "README.md is not a trained model"),
        ({"init_from": "s3://nowhere-at-all/model.npz"}, InputError, "nowhere-at-all"),
    ],
)
def test_a_model_that_is_not_there_is_one_clear_error(stack, settings, event, error, says):
    """Before any function runs."""
    with pytest.raises(error, match=says):
        run_job(stack, settings, **JOB | event)


def test_a_model_of_other_columns_or_classes_is_refused(stack, settings):
    """By what differs."""
    first = run_job(stack, settings, n_epochs=1, **JOB)

    with pytest.raises(InputError, match=r"needs n_features=5; got n_features=6"):
        run_job(stack, settings, **JOB | {"data": "synthetic:rows=900,features=6", "init_from": first.run_id})
    with pytest.raises(InputError, match="needs standardise=false"):
        run_job(stack, settings, init_from=first.run_id, standardise=True, **JOB)

"""A model of the user's own, in a file outside of the project: from the file to a trained model and its predictions."""

import io
import json
import zipfile

import numpy as np
import pytest

from harness.aws.clients import clients_for
from harness.errors import HarnessError
from harness.runs.own_source import source_of_run, with_source
from harness.runs.predict import model_of_run, predict_file
from tests.support.own_models import net_file, softmax_file
from tests.support.running import run_job
from training.run.results import RunFolder

JOB = {"data": "synthetic:rows=3000,features=5", "n_workers": 3, "batch_size": 100, "lr": 0.1, "n_epochs": 4}
BUCKET = "lambda-harness-runs"


def test_a_file_trains_and_predicts(stack, settings, tmp_path):
    """In a function of its own; the run keeps the source, so that a prediction imports what was trained."""
    file = softmax_file(tmp_path)
    run = run_job(stack, settings, model=f"{file}:Softmax", **JOB)
    file.write_text("raise RuntimeError('changed since')")
    (tmp_path / "rows.svm").write_text("0 1:1 2:-1\n1 3:2\n")

    s3 = clients_for(stack.endpoints).s3
    with with_source(run.job["model"], source_of_run(RunFolder(s3, BUCKET, run.run_id), run.job["model"]), print):
        predict_file(model_of_run(RunFolder(s3, BUCKET, run.run_id)), tmp_path / "rows.svm", tmp_path / "scores.csv")

    assert "linear_ec_2_softmax_model_softmax" == run.job["worker_function"]
    assert run.epochs[-1]["loss"] < run.epochs[0]["loss"]
    assert 3 == len((tmp_path / "scores.csv").read_text().splitlines())


@pytest.mark.slow
def test_a_run_goes_on_where_another_ended(stack, settings, tmp_path):
    """Four epochs and four more have the parameters of eight, bit for bit."""
    model = f"{softmax_file(tmp_path)}:Softmax"
    first = run_job(stack, settings, model=model, **JOB)
    rest = run_job(stack, settings, model=model, init_from=first.run_id, **JOB)
    whole = run_job(stack, settings, model=model, **JOB | {"n_epochs": 8})

    s3 = clients_for(stack.endpoints).s3
    ends = [np.load(io.BytesIO(RunFolder(s3, BUCKET, one.run_id).read("model.npz"))) for one in (rest, whole)]
    np.testing.assert_array_equal(*(end["parameters"] for end in ends))
    kept = RunFolder(s3, BUCKET, first.run_id).read("model_source.zip")
    assert ["softmax_model.py"] == zipfile.ZipFile(io.BytesIO(kept)).namelist()


@pytest.mark.slow
def test_what_a_function_lacks_is_found_before_the_run(stack, settings, tmp_path):
    """The error names the module and where to name its package; a file's own block of requirements supplies it."""
    file = tmp_path / "needs.py"
    file.write_text("import toolz\n" + softmax_file(tmp_path).read_text())

    with pytest.raises(HarnessError, match=r"needs\.py imports toolz, which its function lacks") as caught:
        run_job(stack, settings, model=f"{file}:Softmax", **JOB)

    assert '# dependencies = ["toolz"]' in caught.value.remedy
    file.write_text('# /// script\n# dependencies = ["toolz==1.0.0"]\n# ///\n' + file.read_text())
    assert run_job(stack, settings, model=f"{file}:Softmax", **JOB).loss < 0.69


@pytest.mark.slow
@pytest.mark.parametrize(
    ("code", "said"),
    [
        ("1 / 0", "cannot be imported: ZeroDivisionError: division by zero.*\n.*wrong.py, line 1"),
        ("import missing_thing.part", "imports missing_thing, which its function lacks"),
        ("def __getattr__(name): raise AttributeError", "has no Softmax"),
    ],
)
def test_a_file_that_cannot_be_imported_is_one_clear_error(stack, settings, tmp_path, code, said):
    """Nothing was invoked."""
    (tmp_path / "wrong.py").write_text(f"{code}\nSoftmax = None\n" if "getattr" not in code else code)

    with pytest.raises(HarnessError, match=said):
        run_job(stack, settings, model=f"{tmp_path / 'wrong.py'}:Softmax", **JOB)


@pytest.mark.slow
def test_predictions_need_no_file(run_harness, tmp_path):
    """A run has the source of its model; a model file is given it, and both give the same rows."""
    folder = tmp_path / "elsewhere"
    folder.mkdir()
    file = softmax_file(folder)
    assert 0 == run_harness("up", "--s3", "moto").returncode
    ran = run_harness(
        "run", "--model", f"{file}:Softmax", "--data", "sklearn:iris", "--n-workers", "2", "--json",
        "--model-file", "model.npz",
    )  # fmt: skip
    assert 0 == ran.returncode, ran.stderr
    rows = tmp_path / "rows.svm"
    rows.write_text("0 1:5.1 2:3.5 3:1.4 4:0.2\n2 1:6.3 2:3.3 3:6 4:2.5\n")
    by_file = run_harness("predict", "--model-file", "model.npz", "--model", f"{file}:Softmax", "--file", str(rows))
    without = run_harness("predict", "--model-file", "model.npz", "--file", str(rows))
    run_id = json.loads(ran.stdout)["run_id"]
    of_both = run_harness("predict", run_id, "--model", f"{file}:Softmax", "--file", str(rows))
    file.write_text(file.read_text() + "# changed\n")
    changed = run_harness("predict", run_id, "--model", f"{file}:Softmax", "--file", str(rows))
    file.unlink()
    by_run = run_harness("predict", json.loads(ran.stdout)["run_id"], "--file", str(rows))

    assert 0 == by_run.returncode, by_run.stderr
    assert by_run.stdout == by_file.stdout == of_both.stdout
    assert "the source is not that of run" in changed.stderr
    assert 3 == len(by_run.stdout.splitlines())
    assert 1 == without.returncode
    assert "--model softmax_model.py:Softmax" in without.stderr


@pytest.mark.slow
@pytest.mark.torch
def test_a_network_predicts_as_plain_torch_does(run_harness, tmp_path):
    """The module of the user's file with the trained parameters gives the scores of `harness predict`."""
    import torch  # noqa: PLC0415 - it takes two seconds

    file = net_file(tmp_path)
    assert 0 == run_harness("up", "--s3", "moto").returncode
    ran = run_harness(
        "run", "--model", f"{file}:Net", "--data", "sklearn:iris", "--n-workers", "2", "--json",
        "--model-file", "model.npz",
    )  # fmt: skip
    assert 0 == ran.returncode, ran.stderr
    x = np.random.default_rng(0).random((20, 4)).astype(np.float32) * 5
    rows = tmp_path / "rows.svm"
    rows.write_text("".join(f"0 {' '.join(f'{k + 1}:{v!r}' for k, v in enumerate(row))}\n" for row in x.tolist()))
    predicted = run_harness("predict", json.loads(ran.stdout)["run_id"], "--file", str(rows))
    assert 0 == predicted.returncode, predicted.stderr

    net = _loaded(torch, file, tmp_path / "model.npz")
    with torch.no_grad(), np.load(tmp_path / "model.npz") as stored:
        scaled = (x - stored["mean"]) / stored["scale"] if "mean" in stored else x
        scores = torch.softmax(net(torch.from_numpy(scaled)), 1).numpy()
    found = np.array([line.split(",")[2:] for line in predicted.stdout.splitlines()[1:]], float)
    np.testing.assert_allclose(scores, found, atol=2e-5)


def _loaded(torch, file, model):
    """The module of a file with the parameters of a model file, in the order of its parameters and buffers."""
    space = {}
    exec(compile(file.read_text(), str(file), "exec"), space)  # noqa: S102 - the test's own file
    net = space["Net"](n_features=4, n_classes=3)
    flat, at = torch.from_numpy(np.load(model)["parameters"]), 0
    with torch.no_grad():
        for values in (*net.parameters(), *(one for one in net.buffers() if one.is_floating_point())):
            values.copy_(flat[at : at + values.numel()].view(values.shape))
            at += values.numel()
    assert at == flat.numel()
    return net.eval()

"""Regression and test sets on the real stack: from files to the model file and its predictions."""

import numpy as np
import pytest
from sklearn.datasets import load_diabetes
from sklearn.linear_model import LinearRegression

from harness.aws.clients import clients_for
from harness.datasets.libsvm import format_rows
from tests.support.running import run_job
from training.data.dataset import Dataset
from training.run.model_file import decode_model
from training.run.results import get_object


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """Rows with fractions as targets, in two files: to train, and to test."""
    x, y = load_diabetes(return_X_y=True)
    order = np.random.default_rng(3).permutation(len(y))
    x, y = x[order].astype(np.float32), (y[order] + 0.25).astype(np.float32)
    folder = tmp_path_factory.mktemp("diabetes")
    (folder / "train.svm").write_bytes(format_rows(Dataset(x[:340], y[:340])))
    (folder / "test.svm").write_bytes(format_rows(Dataset(x[340:], y[340:])))
    return folder, x, y


def test_a_file_of_targets_is_trained_and_tested(stack, settings, files):
    """The loss is within 2 % of least squares; the stored model predicts what the result says of the test set."""
    folder, x, y = files
    summary = run_job(
        stack,
        settings,
        data=str(folder / "train.svm"),
        test=str(folder / "test.svm"),
        model="linear",
        n_workers=3,
        valid_ratio=0.0,
    )
    bucket, _, key = summary.model["location"].removeprefix("s3://").partition("/")
    body = get_object(clients_for(stack.endpoints).s3, bucket, key)
    _, scores = decode_model(body, key).predict(x)
    errors = scores[:, 0] - y

    best = LinearRegression().fit(x[:340], y[:340])
    assert np.mean(errors[:340] ** 2) <= 1.02 * np.mean((best.predict(x[:340]) - y[:340]) ** 2)
    assert summary.validation is None
    assert summary.test["rows"] == len(y) - 340
    assert summary.test["rmse"] == pytest.approx(np.sqrt(np.mean(errors[340:] ** 2)), rel=1e-4)
    assert summary.test["r2"] == pytest.approx(1 - np.sum(errors[340:] ** 2) / np.sum((y[340:] - y[340:].mean()) ** 2))

"""Exports, reloaded in a fresh interpreter that has the library and none of our code."""

import json
import subprocess
import sys

import numpy as np
import pytest

from harness.errors import HarnessError
from harness.export.writing import export
from tests.support.trained import trained_model
from training.data.scaling import Scaling, TargetScaling
from training.data.schema import Column, Schema
from training.run.model_file import TrainedModel

FEATURES, ROWS = 4, 40
# Each library adds its products in an order of its own, in float32.
TOLERANCE = 2e-5
SCALING = Scaling(np.arange(FEATURES) / 3, np.arange(1.0, FEATURES + 1))
SCHEMA = Schema(
    task="classification",
    label="kind",
    classes=["ash", "birch", "cedar"],
    columns=[Column(name=name, kind="numeric") for name in "abcd"],
)

LINEAR = {
    "lr-2": trained_model(labels=np.array([-1, 1], np.float32)),
    "lr-3": trained_model(n_classes=3, schema=SCHEMA, scaling=SCALING),
    "svm-2": trained_model(model="svm", scaling=SCALING),
    "svm-3": trained_model(model="svm", n_classes=3, schema=SCHEMA),
    "sparse-lr-2": trained_model(model="sparse_lr", data_type="sparse_libsvm"),
}
TARGET = TargetScaling(40.0, 7.5)
REGRESSIONS = {
    "squared": trained_model(model="linear", loss_name="squared", n_classes=1, scaling=SCALING, target=TARGET),
    "huber": trained_model(model="linear", loss_name="huber", n_classes=1, target=TARGET),
    "poisson": trained_model(model="linear", loss_name="poisson", n_classes=1, target=TargetScaling(0.0, 3.0)),
}
MLP_REGRESSION = {
    "mlp-squared": trained_model(model="mlp", loss_name="squared", n_classes=1, hidden_units=6, target=TARGET),
}
KMEANS = {"kmeans": trained_model(model="kmeans", n_classes=5, scaling=SCALING)}
NETWORKS = {
    "mlp-2": trained_model(model="mlp", hidden_units=6, scaling=SCALING),
    "mlp-3": trained_model(model="mlp", n_classes=3, hidden_units=6, schema=SCHEMA),
    "mlp-images": trained_model(model="mlp", n_classes=3, hidden_units=6, data_type="cifar10"),
}
CONVOLUTIONS = {
    "mobilenet": trained_model(model="mobilenet", n_classes=3, data_type="cifar10"),
    "resnet": trained_model(model="resnet", n_classes=4, data_type="cifar10"),
}

SKLEARN = """
import json, sys
import numpy as np
from skops import io
for name in sys.argv[1:]:
    assert not io.get_untrusted_types(file=name + ".skops")
    model, rows = io.load(name + ".skops"), np.load(name + ".npy")
    answers = model.predict(rows.astype(np.float64)).tolist()
    scores = model.predict_proba(rows.astype(np.float64)).tolist() if hasattr(model, "predict_proba") else None
    json.dump([answers, scores], open(name + ".json", "w"))
assert not {"harness", "training"} & set(sys.modules)
"""
TORCH = """
import importlib, json, sys
import numpy as np
import torch
sys.path.insert(0, ".")
for name in sys.argv[1:]:
    rows = torch.tensor(np.load(name + ".npy"))
    assert isinstance(torch.load(name + ".pt", weights_only=True), dict)
    model = importlib.import_module(name).load()
    scores = model.predict_proba(rows) if hasattr(model, "predict_proba") else model(rows).detach()
    answers = model.predict(rows)
    json.dump([answers if isinstance(answers, list) else answers.tolist(), scores.tolist()], open(name + ".json", "w"))
assert not {"harness", "training"} & set(sys.modules)
"""
ONNX = """
import json, sys
import numpy as np
import onnxruntime
for name in sys.argv[1:]:
    session = onnxruntime.InferenceSession(name + ".onnx", providers=["CPUExecutionProvider"])
    answers, *scores = session.run(None, {"rows": np.load(name + ".npy")})
    meta = session.get_modelmeta().custom_metadata_map
    json.dump([answers.tolist(), scores[0].tolist() if scores else None, meta], open(name + ".json", "w"))
assert not {"harness", "training"} & set(sys.modules)
"""
SCRIPTS = {"sklearn": SKLEARN, "torch": TORCH, "onnx": ONNX}


def filled(trained: TrainedModel) -> TrainedModel:
    """Return a model with random parameters of the right size."""
    width = 3072 if trained.data_type == "cifar10" else FEATURES
    random = np.random.default_rng(1)
    if trained.model == "kmeans":
        return trained._replace(n_features=width, parameters=random.normal(size=5 * width).astype(np.float32))
    parameters = trained._replace(n_features=width).made().initial(1)
    if not parameters.any():
        parameters = random.normal(size=parameters.size).astype(np.float32)
    return trained._replace(n_features=width, parameters=parameters)


def rows_for(trained):
    """Return random rows of a model's type."""
    random = np.random.default_rng(2)
    if trained.data_type == "cifar10":
        return random.integers(0, 256, (ROWS, 3072)).astype(np.uint8)
    return random.normal(size=(ROWS, FEATURES)).astype(np.float32)


def reload(library, models, folder):
    """Export models, and compare what a fresh interpreter predicts with them; return what else it found."""
    models = {name.replace("-", "_"): filled(trained) for name, trained in models.items()}
    for name, trained in models.items():
        ending = {"sklearn": "skops", "torch": "pt", "onnx": "onnx"}[library]
        export(trained, library, folder / f"{name}.{ending}", name="a-run")
        np.save(folder / f"{name}.npy", rows_for(trained))
    subprocess.run([sys.executable, "-I", "-c", SCRIPTS[library], *models], cwd=folder, check=True)
    found = {}
    for name, trained in models.items():
        answers, scores, *found[name] = json.loads((folder / f"{name}.json").read_text())
        classes, wanted = trained.predict(rows_for(trained))
        if trained.is_regression:
            np.testing.assert_allclose(answers, wanted[:, 0], atol=TOLERANCE, rtol=TOLERANCE, err_msg=name)
            continue
        assert [trained.answers[number] for number in classes] == answers, name
        if scores is not None and wanted is not None:
            np.testing.assert_allclose(scores, wanted, atol=TOLERANCE, rtol=TOLERANCE, err_msg=name)
    return found


def test_scikit_learn_predicts_the_same(tmp_path):
    """Labels and probabilities, with the scaling, for two classes and more."""
    reload("sklearn", LINEAR | REGRESSIONS | KMEANS, tmp_path)


def test_onnx_runtime_predicts_the_same(tmp_path):
    """The user's labels are in the graph and in its metadata."""
    found = reload("onnx", LINEAR | REGRESSIONS | KMEANS, tmp_path)

    assert ["ash", "birch", "cedar"] == json.loads(found["lr_3"][0]["labels"])
    assert list("abcd") == json.loads(found["lr_3"][0]["features"])


@pytest.mark.torch
def test_networks_in_onnx_runtime_predict_the_same(tmp_path):
    """With convolutions, group normalisation and shortcuts."""
    reload("onnx", NETWORKS | MLP_REGRESSION | CONVOLUTIONS, tmp_path)


@pytest.mark.slow
@pytest.mark.torch
def test_scikit_learn_predicts_as_mlp(tmp_path):
    """Their classifier has one output for two classes, and ours two."""
    reload("sklearn", NETWORKS | MLP_REGRESSION, tmp_path)


@pytest.mark.torch
def test_torch_predicts_the_same(tmp_path):
    """From a state dict, and the source of its module beside it."""
    reload("torch", LINEAR | REGRESSIONS | NETWORKS | MLP_REGRESSION | CONVOLUTIONS, tmp_path)


@pytest.mark.torch
def test_an_export_writes_over_no_file_of_the_users(tmp_path):
    """The source beside the weights has their name, and replaces only one that an export wrote."""
    (tmp_path / "model.py").write_text("# the user's own\n")
    with pytest.raises(HarnessError, match=r"model\.py is there already"):
        export(LINEAR["lr-2"], "torch", tmp_path / "model.pt", name="a-run")
    assert ["model.py"] == [path.name for path in tmp_path.iterdir()]
    (tmp_path / "model.py").unlink()

    for _ in range(2):
        export(LINEAR["lr-2"], "torch", tmp_path / "model.pt", name="a-run")


OWN = """
from torch import nn


class Net(nn.Sequential):
    def __init__(self, n_features, n_classes):
        super().__init__(
            nn.Linear(n_features, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Dropout(0.3), nn.Linear(8, n_classes)
        )
"""
OWN_STATE = """
import json
import numpy as np
import torch
from exported_net import Net
facts = json.load(open("net.json"))
net = Net(facts["constructor"]["n_features"], facts["constructor"]["n_classes"])
net.load_state_dict(torch.load("net.pt", weights_only=True))
rows = (np.load("rows.npy") - np.array(facts["mean"])) / np.array(facts["scale"])
scores = net.eval()(torch.tensor(rows).float()).softmax(dim=1)
json.dump([[facts["labels"][k] for k in scores.argmax(dim=1)], scores.tolist()], open("found.json", "w"))
"""


@pytest.fixture
def own(tmp_path, monkeypatch):
    """A user's own module with a running mean, trained on standardised rows."""
    (tmp_path / "exported_net.py").write_text(OWN)
    monkeypatch.syspath_prepend(tmp_path)
    facts = {"n_features": FEATURES, "n_classes": 3, "seed": 0, "dataset_type": "dense_libsvm"}
    trained = trained_model(
        model="exported_net:Net",
        facts=json.dumps(facts),
        n_features=FEATURES,
        n_classes=3,
        scaling=SCALING,
        schema=SCHEMA,
    )
    yield trained._replace(parameters=trained.made().initial(3) + np.float32(0.01))
    sys.modules.pop("exported_net", None)


def compared(found, trained):
    """Compare answers and scores with a model's."""
    classes, scores = trained.predict(rows_for(trained))
    assert [trained.answers[number] for number in classes] == found[0]
    np.testing.assert_allclose(found[1], scores, atol=TOLERANCE, rtol=TOLERANCE)


@pytest.mark.slow
@pytest.mark.torch
def test_plain_torch_predicts_as_a_users_own_module(own, tmp_path):
    """From the user's source, the state dict and the JSON beside it."""
    export(own, "torch", tmp_path / "net.pt", name="a-run")
    np.save(tmp_path / "rows.npy", rows_for(own))

    script = 'import sys; sys.path.insert(0, ".")' + OWN_STATE
    subprocess.run([sys.executable, "-I", "-c", script], cwd=tmp_path, check=True)

    compared(json.loads((tmp_path / "found.json").read_text()), own)


@pytest.mark.slow
@pytest.mark.torch
def test_onnx_runtime_predicts_as_a_users_own_module(own, tmp_path):
    """For any number of rows."""
    export(own, "onnx", tmp_path / "net.onnx", name="a-run")
    np.save(tmp_path / "net.npy", rows_for(own))

    subprocess.run([sys.executable, "-I", "-c", ONNX, "net"], cwd=tmp_path, check=True)

    compared(json.loads((tmp_path / "net.json").read_text()), own)


@pytest.mark.torch
@pytest.mark.parametrize(
    ("library", "trained", "message"),
    [
        ("sklearn", CONVOLUTIONS["resnet"], "scikit-learn has no estimator for model resnet"),
        ("torch", KMEANS["kmeans"], "model kmeans is no PyTorch module"),
    ],
)
def test_a_library_without_such_a_model_is_refused(tmp_path, library, trained, message):
    """By name, and nothing is written."""
    with pytest.raises(HarnessError, match=message):
        export(filled(trained), library, tmp_path / "model", name="a-run")

    assert [] == list(tmp_path.iterdir())


def test_a_folder_that_is_missing_is_named(tmp_path):
    """Before anything is written."""
    with pytest.raises(HarnessError, match="there is no such folder"):
        export(trained_model(), "sklearn", tmp_path / "none" / "model.skops", name="a-run")

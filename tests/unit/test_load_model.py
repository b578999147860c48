"""Predictions in Python: `load_model`, rows of all kinds, the user's labels."""

import sys
import types

import numpy as np
import pytest

import harness
import training
from harness.errors import HarnessError
from tests.support.trained import trained_model
from training.data.schema import Column, Schema
from training.errors import InputError
from training.run.model_file import encode_model

COLUMNS = [
    Column(name="size", kind="numeric", missing="mean", fill=2.0),
    Column(name="colour", kind="one_hot", categories=["blue", "red"], missing="mean"),
    Column(name="grade", kind="ordinal", categories=["low", "high"]),
    Column(name="new", kind="boolean"),
]
SCHEMA = Schema(task="classification", label="kind", classes=["cat", "dog"], columns=COLUMNS)
# A dog where size + 10 red - 10 blue + 100 grade + 1000 new is above 5.
WEIGHTS = np.array([1, -10, 10, 100, 1000, -5], np.float32)
NAMED = trained_model(n_features=5, parameters=WEIGHTS, schema=SCHEMA)
TABLE = {
    "size": [1, None, float("nan"), 6],
    "colour": ["red", "blue", None, None],
    "grade": ["low", "low", "low", "low"],
    "new": [False, "false", 0, False],
}


@pytest.fixture
def load(tmp_path):
    """Stores a model, and loads it."""

    def call(trained):
        path = tmp_path / "model.npz"
        path.write_bytes(encode_model(trained))
        return training.load_model(path)

    return call


class Frame:
    """A data frame, as pandas and polars have it."""

    def __init__(self, columns):
        self.columns = list(columns)
        self._columns = columns

    def __getitem__(self, name):
        return self._columns[name]


def test_arrays_and_lists_are_predicted(load):
    """Without a schema, labels are numbers; probabilities have their order."""
    model = load(trained_model(labels=np.array([-1, 1], np.float32)))
    rows = [[5, 0, 0], [0, 5, 0]]

    assert [1, -1] == model.predict(rows).tolist()
    assert [1, -1] == model.predict(np.array(rows)).tolist()
    assert [-1, 1] == model.labels
    probabilities = model.predict_proba(rows)
    assert (2, 2) == probabilities.shape
    assert probabilities[0, 1] == pytest.approx(1 / (1 + np.exp(-5)))


def test_columns_are_encoded_by_name(load):
    """Their order does not matter; missing values are filled as in training; the label's column is ignored."""
    model = load(NAMED)
    shuffled = dict(reversed(TABLE.items())) | {"kind": ["?"] * 4}

    assert ["dog", "cat", "cat", "dog"] == model.predict(TABLE).tolist()
    assert ["dog", "cat", "cat", "dog"] == model.predict(Frame(shuffled)).tolist()
    assert ["size", "colour=blue", "colour=red", "grade", "new"] == model.features
    assert ["dog"] == model.predict([[float("nan"), 0, 0, 1, 0]]).tolist()


def test_columns_that_the_model_lacks_and_categories_that_it_never_saw_are_told(load):
    """The prediction goes on without them."""
    model = load(NAMED)

    with pytest.warns(UserWarning, match="columns that the model never saw are ignored: `id`"):
        model.predict(TABLE | {"id": range(4)})
    with pytest.warns(UserWarning, match="column `colour`: categories that the model never saw: `green`"):
        assert "dog" == model.predict(TABLE | {"colour": ["green"] * 4})[3]


@pytest.mark.parametrize("method", ["predict", "predict_proba", "scores"])
def test_a_warning_names_the_callers_line(load, method):
    """Not a line of ours."""
    answer = getattr(load(NAMED), method)
    with pytest.warns(UserWarning, match="the model never saw") as warned:
        answer(TABLE | {"id": range(4)})
    assert [__file__] == [warning.filename for warning in warned]


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ({key: TABLE[key] for key in ("size", "new")}, "the data lacks `colour`, `grade`\nthe model's columns: `size`"),
        (TABLE | {"grade": [None] * 4}, "column `grade` lacks 4 values, the first in row 1"),
        (TABLE | {"size": ["big"] * 4}, "column `size` row 1: 'big' is no finite number"),
        (TABLE | {"new": ["perhaps"] * 4}, "column `new` row 1: 'perhaps' is no truth value"),
        (TABLE | {"size": [1]}, "column `size` has 1 values, and another has 4"),
        ([[1, 2, 3]], "the model takes rows of 5 features, (rows, 5); got 1 x 3\nthe features: size, colour=blue"),
        ([1, 2, 3, 4, 5], "the model takes rows of 5 features, (rows, 5); got 5"),
        ([[1, 2, 3, float("nan"), 5]], "1 values are no finite numbers, the first in row 1, column 4: nan"),
        ([["a", 2, 3, 4, 5]], "\ngive columns by their names, as a dict or a data frame"),
    ],
)
def test_other_rows_than_the_models_are_refused(load, rows, message):
    """The message names the column, or the shape."""
    with pytest.raises(InputError) as caught:
        load(NAMED).predict(rows)

    assert message in str(caught.value)


def test_a_model_without_column_names_takes_arrays_alone(load):
    """A column's place is not guessed."""
    with pytest.raises(InputError, match="the model's data had no column names; give an array of 3 features per row"):
        load(trained_model()).predict({"a": [1]})


def test_a_regression_predicts_numbers(load):
    """It has no labels and no probabilities."""
    model = load(trained_model(model="linear", loss_name="squared", n_classes=1))

    assert [1.0, -1.0] == model.predict([[1, 0, 0], [0, 1, 0]]).tolist()
    assert [] == model.labels
    with pytest.raises(InputError, match="model linear has no probabilities"):
        model.predict_proba([[1, 0, 0]])


def test_a_clustering_predicts_the_nearest_centroid(load):
    """It has no scores."""
    model = load(trained_model(model="kmeans", parameters=np.array([0, 0, 0, 9, 9, 9], np.float32)))

    assert [1, 0] == model.predict([[8, 8, 8], [1, 1, 1]]).tolist()
    with pytest.raises(InputError, match="model kmeans has no scores"):
        model.scores([[8, 8, 8]])


def test_a_file_alone_imports_nothing(load, tmp_path, monkeypatch):
    """The caller names the module of an own model; the file's word is not enough."""
    (tmp_path / "loaded_own.py").write_text("class Net:\n    pass\n")
    monkeypatch.syspath_prepend(tmp_path)
    trained = trained_model(model="loaded_own:Net", facts="{}")

    with pytest.raises(InputError, match=r"load_model\(path, own='loaded_own:Net'\) imports it"):
        load(trained)

    assert "loaded_own" not in sys.modules
    assert "loaded_own:Net" in repr(training.load_model(tmp_path / "model.npz", own="loaded_own:Net"))


def test_the_installed_package_loads_models(tmp_path):
    """As `from harness import load_model`."""
    path = tmp_path / "model.npz"
    path.write_bytes(encode_model(trained_model()))

    assert [1] == harness.load_model(path).predict([[5, 0, 0]]).tolist()
    with pytest.raises(HarnessError, match="the model cannot be read: No such file"):
        harness.load_model(tmp_path / "none.npz")


def test_a_users_own_training_is_not_replaced(tmp_path, monkeypatch):
    """The message says which module it is."""
    monkeypatch.setitem(sys.modules, "training", types.ModuleType("training"))

    with pytest.raises(HarnessError, match="another module named `training`"):
        harness.load_model(tmp_path / "model.npz")

"""Predictions for every form of data: columns by name, the user's labels, rows that the model cannot take."""

import csv

import numpy as np
import polars as pl
import pytest
from PIL import Image

from harness.runs.predict_data import predict_data
from tests.support.trained import trained_model
from training.data.schema import Column, ImageShape, Schema
from training.errors import InputError

COLUMNS = [
    Column(name="size", kind="numeric", missing="mean", fill=2.0),
    Column(name="colour", kind="one_hot", categories=["blue", "red"], missing="mean"),
]
SCHEMA = Schema(task="classification", label="kind", classes=["cat", "dog"], columns=COLUMNS)
# A dog where size + 10 red - 10 blue is above 5.
NAMED = trained_model(n_features=3, parameters=np.array([1, -10, 10, -5], np.float32), schema=SCHEMA)
ROWS = {"kind": ["dog", "cat", "cat", "dog"], "colour": ["red", "blue", None, None], "size": [1.0, 6.0, None, 6.0]}
ANSWERS = ["dog", "cat", "cat", "dog"]


@pytest.fixture
def predict(tmp_path):
    """Predicts a data set, and returns the table of answers and what came of it."""

    def call(trained, data, **options):
        output = tmp_path / "answers.csv"
        prediction = predict_data(trained, str(data), output, **options)
        return list(csv.DictReader(output.read_text().splitlines())), prediction

    return call


@pytest.fixture(params=["csv", "tsv", "csv.gz", "parquet", "folder"])
def table(request, tmp_path):
    """The same rows in one of the forms of a table."""
    frame, path = pl.DataFrame(ROWS), tmp_path / f"new.{request.param}"
    if request.param == "parquet":
        frame.write_parquet(path)
    elif request.param == "folder":
        path.mkdir()
        for number, part in enumerate((frame[:1], frame[1:])):
            part.write_parquet(path / f"part-{number}.parquet")
    elif request.param == "csv.gz":
        import gzip  # noqa: PLC0415 - for this form alone

        path.write_bytes(gzip.compress(frame.write_csv().encode()))
    else:
        frame.write_csv(path, separator="\t" if request.param == "tsv" else ",")
    return path


def test_tables_are_read_by_their_columns_names(predict, table):
    """In any order, with missing values filled as in training; answers and accuracy are the user's."""
    rows, prediction = predict(NAMED, table)

    assert ["row", "class"] == list(rows[0])
    assert ["1", "2", "3", "4"] == [row["row"] for row in rows]
    assert ANSWERS == [row["class"] for row in rows]
    assert (4, 1.0, []) == (prediction.rows, prediction.accuracy, prediction.notes)


def test_probabilities_are_columns_of_their_labels(predict, tmp_path):
    """They are written on request."""
    (tmp_path / "new.csv").write_text("size,colour\n6,red\n")

    rows, prediction = predict(NAMED, tmp_path / "new.csv", detail="probabilities")

    assert ["row", "class", "probability_cat", "probability_dog"] == list(rows[0])
    assert float(rows[0]["probability_dog"]) == pytest.approx(1 / (1 + np.exp(-11)), rel=1e-5)
    assert prediction.accuracy is None


def test_parquet_holds_what_csv_holds(tmp_path):
    """By the name of the output, with types."""
    pl.DataFrame(ROWS).write_csv(tmp_path / "new.csv")

    predict_data(NAMED, str(tmp_path / "new.csv"), tmp_path / "out.parquet", detail="probabilities")

    found = pl.read_parquet(tmp_path / "out.parquet")
    assert ANSWERS == found["class"].to_list()
    assert [pl.Int64, pl.String, pl.Float32, pl.Float32] == found.dtypes


def test_rows_that_training_would_leave_out_keep_the_numbers_of_the_others(predict, tmp_path):
    """A row without a value has no answer where training dropped such rows."""
    columns = [Column(name=name, kind="numeric", missing="drop") for name in "abc"]
    trained = trained_model(schema=Schema(task="classification", label=None, classes=["x", "y"], columns=columns))
    (tmp_path / "new.csv").write_text("a,b,c\n1,0,0\n,0,0\n0,1,0\n")

    rows, prediction = predict(trained, tmp_path / "new.csv")

    assert [("1", "y"), ("3", "x")] == [(row["row"], row["class"]) for row in rows]
    assert ["1 rows with missing values are left out"] == prediction.notes


def test_columns_and_categories_that_the_model_never_saw_are_told(predict, tmp_path):
    """They are ignored."""
    (tmp_path / "new.csv").write_text("id,size,colour,kind\n7,6,green,wolf\n8,6,red,dog\n")

    rows, prediction = predict(NAMED, tmp_path / "new.csv")

    assert ["dog", "dog"] == [row["class"] for row in rows]
    assert 1.0 == prediction.accuracy
    assert "columns that the model never saw are ignored: `id`" == prediction.notes[0]
    assert prediction.notes[1].startswith("column `colour`: categories that the model never saw")


def test_a_table_without_a_column_of_the_model_is_refused(predict, tmp_path):
    """Missing and unknown columns are named, and nothing is written."""
    (tmp_path / "new.csv").write_text("size,color\n6,red\n")

    with pytest.raises(InputError, match="the data lacks `colour`, and has `color` beyond them"):
        predict(NAMED, tmp_path / "new.csv")

    assert not (tmp_path / "answers.csv").exists()


@pytest.mark.parametrize("form", ["npy", "npz", "csv"])
def test_arrays_are_read_by_position_where_the_model_has_no_names(predict, tmp_path, form):
    """The labels of an npz are compared."""
    x, y = np.array([[5, 0, 0], [0, 5, 0]], np.float32), np.array([1, 1], np.float32)
    path = tmp_path / f"new.{form}"
    if form == "npy":
        np.save(path, x)
    elif form == "npz":
        np.savez(path, x=x, y=y)
    else:
        path.write_text("5,0,0\n0,5,0\n")

    rows, prediction = predict(trained_model(), path)

    assert ["1", "0"] == [row["class"] for row in rows]
    assert (0.5 if form == "npz" else None) == prediction.accuracy


def test_libsvm_text_has_the_users_labels(predict, tmp_path):
    """As with --file, without the scores."""
    (tmp_path / "new.txt").write_text("4 1:5\n2 2:5\n")

    rows, prediction = predict(trained_model(labels=np.array([2, 4], np.float32)), tmp_path / "new.txt")

    assert [{"row": "1", "class": "4"}, {"row": "2", "class": "2"}] == rows
    assert 1.0 == prediction.accuracy


def test_a_regression_is_compared_with_its_targets(predict, tmp_path):
    """By the root of the mean squared error."""
    columns = [Column(name=name, kind="numeric") for name in "abc"]
    schema = Schema(task="regression", label="price", classes=None, columns=columns)
    trained = trained_model(model="linear", loss_name="squared", n_classes=1, schema=schema)
    (tmp_path / "new.csv").write_text("a,b,c,price\n1,0,0,2\n0,1,0,-2\n")

    rows, prediction = predict(trained, tmp_path / "new.csv")

    assert [{"row": "1", "prediction": "1"}, {"row": "2", "prediction": "-1"}] == rows
    assert (None, 1.0) == (prediction.accuracy, prediction.rmse)


@pytest.mark.parametrize("missing", [None, "drop"])
def test_rows_without_a_target_are_predicted_and_left_out_of_the_error(predict, tmp_path, missing):
    """They do not count as 0, and the user is told."""
    columns = [Column(name=name, kind="numeric", missing=missing or "refuse") for name in "abc"]
    schema = Schema(task="regression", label="price", classes=None, columns=columns)
    trained = trained_model(model="linear", loss_name="squared", n_classes=1, schema=schema)
    (tmp_path / "new.csv").write_text("a,b,c,price\n1,0,0,2\n0,1,0,\n")

    rows, prediction = predict(trained, tmp_path / "new.csv")

    assert ["1", "-1"] == [row["prediction"] for row in rows]
    assert 1.0 == prediction.rmse
    assert ["1 of 2 rows have no target; the error leaves them out"] == prediction.notes


def test_labels_that_the_model_never_saw_are_told(predict, tmp_path):
    """The accuracy is that of the other rows."""
    (tmp_path / "new.csv").write_text("size,colour,kind\n6,red,wolf\n6,red,dog\n6,red,\n")

    _, prediction = predict(NAMED, tmp_path / "new.csv")

    assert 1.0 == prediction.accuracy
    assert ["2 of 3 rows have no label that the model knows; the accuracy leaves them out"] == prediction.notes


def test_a_large_prediction_keeps_its_digits(predict, tmp_path):
    """As single precision has them, without those that only double precision would show."""
    weights = np.array([1436383.4, 0.1, 16777216, 0], np.float32)
    trained = trained_model(model="linear", loss_name="squared", n_classes=1, parameters=weights)
    (tmp_path / "new.csv").write_text("a,b,c\n1,0,0\n0,1,0\n0,0,1\n")

    rows, _ = predict(trained, tmp_path / "new.csv")

    assert ["1436383.4", "0.1", "16777216"] == [row["prediction"] for row in rows]


@pytest.fixture
def images(tmp_path):
    """A model of the mean colour, and a folder with two classes."""
    schema = Schema(
        task="classification", label=None, classes=["dark", "light"], columns=[], image=ImageShape(32, 32, 3)
    )
    for name, colour in (("dark", "black"), ("light", "white")):
        (tmp_path / "photos" / name).mkdir(parents=True)
        Image.new("RGB", (50, 40), colour).save(tmp_path / "photos" / name / "1.png")
    weights = np.append(np.full(3072, 1 / 3072, np.float32), np.float32(-100))
    return trained_model(n_features=3072, data_type="cifar10", parameters=weights, schema=schema), tmp_path / "photos"


def test_folders_of_images_and_single_images_are_predicted(predict, images):
    """Subfolders are labels where they are classes of the model; the table has the path of each image."""
    trained, folder = images

    rows, prediction = predict(trained, folder)
    single, alone = predict(trained, folder / "light" / "1.png")

    assert ["dark", "light"] == [row["class"] for row in rows]
    assert [str(folder / name / "1.png") for name in ("dark", "light")] == [row["file"] for row in rows]
    assert 1.0 == prediction.accuracy
    assert ["light"] == [row["class"] for row in single]
    assert alone.accuracy is None


@pytest.mark.parametrize(
    ("model", "data", "message"),
    [
        (NAMED, "new.txt", "has no column names, and the model was trained on columns with names"),
        (NAMED, "photos", "holds images, and model lr was trained on dense_libsvm"),
        (trained_model(), "wide.csv", "has 4 columns, and the model 3 features without names"),
        (trained_model(n_features=3072, data_type="cifar10"), "wide.csv", "is a table, and model lr was trained on im"),
        (trained_model(), "s3://bucket/folder", "holds no tables"),
        (trained_model(), "none.csv", "no such file"),
    ],
)
@pytest.mark.usefixtures("images")
def test_data_of_another_form_than_the_models_is_refused(tmp_path, model, data, message):
    """The message says what the model was trained on."""
    (tmp_path / "new.txt").write_text("1 1:5\n")
    (tmp_path / "wide.csv").write_text("a,b,c,d\n1,2,3,4\n")

    with pytest.raises(InputError, match=message):
        predict_data(model, data if data.startswith("s3") else str(tmp_path / data), tmp_path / "out.csv")


def test_a_model_without_probabilities_says_so(tmp_path):
    """A support vector machine has margins."""
    (tmp_path / "new.txt").write_text("1 1:5\n")

    with pytest.raises(InputError, match="--proba: model svm has no probabilities"):
        predict_data(trained_model(model="svm"), str(tmp_path / "new.txt"), None, detail="probabilities")

"""Scoring new rows: labels of the user, columns that the model never saw, memory that does not grow with the file."""

import csv

import numpy as np
import pytest

from harness.runs.predict import predict_file
from tests.support.trained import trained_model
from training.errors import InputError
from training.run.model_file import decode_model, encode_model


@pytest.fixture
def predict(tmp_path):
    """Scores a text, and returns the lines of the table and what came of it."""

    def call(trained, text, **options):
        data, output = tmp_path / "new.txt", tmp_path / "out.csv"
        data.write_bytes(text)
        prediction = predict_file(trained, data, output, **options)
        return list(csv.reader(output.read_text().splitlines())), prediction

    return call


def test_classes_have_the_users_labels(predict):
    """Class, scores and accuracy are those of the labels that the model was trained on."""
    trained = trained_model(labels=np.array([2, 4], np.float32))

    table, prediction = predict(decode_model(encode_model(trained), "model"), b"4 1:5\n2 2:5\n2 1:1\n")

    assert ["row", "class", "score_2", "score_4"] == table[0]
    assert [["1", "4"], ["2", "2"], ["3", "4"]] == [line[:2] for line in table[1:]]
    assert (3, pytest.approx(2 / 3), []) == (prediction.rows, prediction.accuracy, prediction.notes)


def test_usual_labels_are_not_stored():
    """The bytes of a model of classes from 0 are those that earlier versions wrote."""
    names = decode_model(encode_model(trained_model()), "model")

    assert names.labels is None
    assert [0, 1] == names.class_labels
    assert b"labels" not in encode_model(trained_model())
    assert b"zero_based" not in encode_model(trained_model())
    assert b"labels" in encode_model(trained_model(labels=np.array([-1, 1], np.float32)))


@pytest.mark.parametrize(
    ("text", "accuracy", "note"),
    [
        (b"7 1:5\n8 2:5\n", None, "no accuracy: the labels of new.txt (7, 8) are none of the model's (0, 1)"),
        (b"1 1:5\n8 2:5\n", 1.0, "1 of 2 rows have labels that are none of the model's (0, 1): 8; the accuracy leaves"),
        (b"-1 1:5\n1 1:5\n", 1.0, "1 of 2 rows have labels that are none of the model's (0, 1): -1"),
    ],
)
def test_labels_that_the_model_does_not_know_are_no_errors_of_it(predict, text, accuracy, note):
    """The accuracy is never silently that of other labels."""
    _, prediction = predict(trained_model(), text)

    assert accuracy == prediction.accuracy
    assert [True] == [line.startswith(note) for line in prediction.notes]


def test_features_that_the_model_never_saw_are_ignored(predict):
    """They are counted, and named as the file has them; fewer columns than the model's are zero."""
    table, prediction = predict(trained_model(), b"1 1:5 4:100 5000000:1\n0 2:5\n")

    assert ["1", "0"] == [line[1] for line in table[1:]]
    assert ["2 features that the model never saw are ignored: 4, 5000000"] == prediction.notes


def test_a_file_goes_by_the_base_of_the_training_data(predict):
    """Also where none of its rows happens to have an index 0."""
    text = b"1 0:5\n0 1:5\n"

    assert [] == predict(trained_model(zero_based=True), text)[1].notes
    assert ["1", "0"] == [line[1] for line in predict(trained_model(zero_based=True), text)[0][1:]]
    assert ["0"] == [line[1] for line in predict(trained_model(zero_based=True), b"0 1:5\n")[0][1:]]
    table, prediction = predict(trained_model(), text)
    assert ["1", "0"] == [line[1] for line in table[1:]]
    assert prediction.notes[0].startswith("feature indices of new.txt start at 0, those of the training data at 1")
    with pytest.raises(InputError, match="feature index 0"):
        predict(trained_model(), text, zero_based="no")


def test_nothing_is_written_when_the_file_is_not_read_to_its_end(predict, tmp_path):
    """What was there before stays."""
    predict(trained_model(), b"1 1:5\n")
    before = (tmp_path / "out.csv").read_text()

    for text in (b"1 1:5\n" * 1000 + b"1 1:x\n", b"", b"a,b\n1,2\n"):
        with pytest.raises(InputError, match=r"line 1001|holds no rows|CSV"):
            predict(trained_model(), text)

    assert before == (tmp_path / "out.csv").read_text()


def test_many_features_that_the_model_never_saw_are_counted(predict):
    """All are counted, over all blocks of rows, and the first are named."""
    wide = b"".join(b"1 1:1 %d:1 %d:1\n" % (10 + 2 * row, 11 + 2 * row) for row in range(5))

    _, prediction = predict(trained_model(), wide)

    assert ["10 features that the model never saw are ignored: 10, 11, 12, 13, 14, 15 and 4 more"] == prediction.notes

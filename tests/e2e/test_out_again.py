"""A user's data in, and the model out again: run, predict and export, by the commands."""

import csv
import json

import numpy as np
import onnxruntime
import pytest
from PIL import Image

import harness

TREES = "length,width,colour,kind\n" + "".join(
    f"{row % 7},{'' if row == 5 else row % 3},{('red', 'blue')[row % 2]},{('elm', 'oak')[row % 7 > 3]}\n"
    for row in range(140)
)


@pytest.mark.slow
def test_a_table_with_text_labels(run_harness, tmp_path):
    """The model answers with the user's labels: by command, in Python and in ONNX Runtime."""
    (tmp_path / "trees.csv").write_text(TREES)
    assert 0 == run_harness("up", "--s3", "moto").returncode
    ran = run_harness("run", "--data", "trees.csv", "--n-workers", "2", "--json", "--model-file", "trees.npz")
    assert 0 == ran.returncode, ran.stderr

    predicted = run_harness("predict", json.loads(ran.stdout)["run_id"], "--data", "trees.csv", "--output", "out.csv")
    exported = run_harness("export", "trees.npz", "--to", "onnx")

    assert 0 == predicted.returncode, predicted.stderr
    assert "140 rows, accuracy 1.0000" in predicted.stderr
    answers = [row["class"] for row in csv.DictReader((tmp_path / "out.csv").read_text().splitlines())]
    assert {"elm", "oak"} == set(answers)
    columns = {name: [row[name] for row in csv.DictReader(TREES.splitlines())] for name in ("colour", "length")}
    columns["width"] = [None if row == 5 else row % 3 for row in range(140)]
    model = harness.load_model(tmp_path / "trees.npz")
    assert answers == model.predict(columns).tolist()
    assert 0 == exported.returncode, exported.stderr
    session = onnxruntime.InferenceSession(tmp_path / "trees.onnx", providers=["CPUExecutionProvider"])
    assert json.loads(session.get_modelmeta().custom_metadata_map["features"]) == model.features


@pytest.mark.slow
@pytest.mark.torch
def test_a_folder_of_images(run_harness, tmp_path):
    """Subfolders are classes, by name; no other flag is needed."""
    for name, colour in (("day", 200), ("night", 40)):
        (tmp_path / "photos" / name).mkdir(parents=True)
        for number in range(20):
            noise = np.random.default_rng(number).integers(-30, 30, (30 + number, 40, 3))
            pixels = np.clip(colour + noise, 0, 255).astype(np.uint8)
            Image.fromarray(pixels).save(tmp_path / "photos" / name / f"{number}.png")
    assert 0 == run_harness("up", "--s3", "moto").returncode
    ran = run_harness("run", "--data", "photos", "--n-workers", "2", "--json", "--model-file", "photos.npz")
    assert 0 == ran.returncode, ran.stderr

    predicted = run_harness("predict", "photos.npz", "--data", "photos/night/3.png")

    assert predicted.stdout.splitlines()[1].endswith(",night"), predicted.stderr
    assert ["day", "night"] == harness.load_model(tmp_path / "photos.npz").labels

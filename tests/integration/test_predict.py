"""The memory that `harness predict` takes."""

import subprocess
import sys

import numpy as np

from tests.support.trained import trained_model
from training.run.model_file import encode_model


def test_memory_does_not_grow_with_the_file(tmp_path):
    """A file of 32 MB takes little more than one of 8 MB."""

    def peak_mb(lines):
        data, trained = tmp_path / "rows", tmp_path / "model.npz"
        data.write_bytes((b"1 " + b" ".join(b"%d:0.125" % i for i in range(1, 301)) + b"\n") * lines)
        parameters = np.zeros(301, np.float32)
        trained.write_bytes(encode_model(trained_model(n_features=300, parameters=parameters)))
        script = (
            "import sys, resource; from pathlib import Path\n"
            "from harness.runs.predict import model_of_file, predict_file\n"
            "predict_file(model_of_file(Path(sys.argv[1])), Path(sys.argv[2]), Path(sys.argv[3]))\n"
            "print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024)"
        )
        command = [sys.executable, "-c", script, trained, data, tmp_path / "out"]
        return int(subprocess.run(command, check=True, capture_output=True, text=True).stdout)

    small, large = peak_mb(3_000), peak_mb(12_000)

    assert large < small + 60

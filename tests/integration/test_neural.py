"""Neural networks in several processes."""

import hashlib
import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from tests.support.networks import NAMES, network, one_thread, striped_images

pytestmark = pytest.mark.torch

ROOT = Path(__file__).parents[2]


@pytest.fixture(autouse=True)
def single_thread():
    """Every test runs torch in one thread."""
    with one_thread():
        yield


def digests():
    """The bits of each network's start, and of a gradient of rows at odd addresses."""
    found = {}
    for name in NAMES:
        model = network(name)
        for offset in (0, 1, 52):
            x, y = striped_images(9, 0)
            x = np.concatenate((np.zeros(offset, np.uint8), x.ravel()))[offset:].reshape(x.shape)
            gradient = model.loss_and_gradient(model.initial(5), x, y).gradient
            found[f"{name} gradient {offset}"] = hashlib.sha256(gradient.tobytes()).hexdigest()
        found[f"{name} start"] = hashlib.sha256(model.initial(5).tobytes()).hexdigest()
    return found


def digests_of_another_process(**variables):
    """The same, computed by a new process."""
    code = "import torch; from tests.integration.test_neural import digests; torch.set_num_threads(1); print(digests())"
    output = subprocess.check_output([sys.executable, "-c", code], cwd=ROOT, env=os.environ | variables, text=True)
    return dict(re.findall(r"'([^']+)': '([^']+)'", output))


def test_the_same_inputs_give_the_same_bits():
    """In this process and in another, wherever the rows lie in memory."""
    here = digests()

    assert here == digests_of_another_process()
    assert len(NAMES) == len({value for key, value in here.items() if "gradient" in key})


def test_ranks_on_different_processors_start_from_the_same_bits():
    """The start does not depend on which instructions torch finds."""
    plain = digests_of_another_process(ATEN_CPU_CAPABILITY="default")

    assert {key: value for key, value in digests().items() if "start" in key}.items() <= plain.items()


@pytest.mark.parametrize("module", ["training.model.linear", "linear_ec_2", "linear_ec_1"])
def test_torch_is_imported_by_neural_networks_alone(module):
    """A cold start without a neural network does not pay for torch."""
    code = f"import sys, {module}; sys.exit('torch' in sys.modules)"
    paths = os.pathsep.join(str(ROOT / "lambdas" / folder) for folder in ("worker", "coordinator"))
    variables = {"PYTHONPATH": paths, "AWS_DEFAULT_REGION": "us-east-1", "AWS_REGION": "us-east-1"}

    result = subprocess.run(
        [sys.executable, "-c", code], env=os.environ | variables, capture_output=True, text=True, check=False
    )

    assert 0 == result.returncode, result.stderr

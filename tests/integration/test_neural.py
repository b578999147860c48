"""Neural networks in several processes."""

import hashlib
import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from training.model.catalogue import make_model
from training.model.neural import IMAGE_FEATURES

pytestmark = pytest.mark.torch

ROOT = Path(__file__).parents[2]


NAMES = ["mlp", "mobilenet", "resnet"]
CLASSES = 4


@pytest.fixture(autouse=True)
def one_thread():
    """Sums in another number of threads have other bits, and threads that wait for a busy core spin."""
    import torch  # noqa: PLC0415 - absent where the tests marked `torch` are left out

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def network(name):
    """The network of a name, for small tests."""
    return make_model(name, n_features=IMAGE_FEATURES, n_classes=CLASSES, hidden_units=16)


def striped_images(rows, seed):
    """Noisy images in CIFAR's layout; the class is the stripes' direction (2) and colour (red or blue)."""
    random = np.random.default_rng(seed)
    images = random.integers(0, 128, (rows, 3, 32, 32), dtype=np.uint8)
    classes = np.arange(rows) % CLASSES
    for image, kind in zip(images, classes.tolist(), strict=True):
        channel = image[0] if kind < 2 else image[2]
        stripes = channel[::4] if kind % 2 else channel[:, ::4]
        stripes += 127
    return images.reshape(rows, IMAGE_FEATURES), classes


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

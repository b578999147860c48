"""Small neural networks for tests, and images that they can learn."""

from contextlib import contextmanager

import numpy as np

from training.model.catalogue import make_model
from training.model.neural import IMAGE_FEATURES

NAMES = ["mlp", "mobilenet", "resnet"]
CLASSES = 4


@contextmanager
def one_thread():
    """Let torch use one thread: the bits of a sum depend on their number, and threads that wait for a core spin."""
    import torch  # noqa: PLC0415 - absent where the tests marked `torch` are left out

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def network(name):
    """Return the network of a name."""
    return make_model(name, n_features=IMAGE_FEATURES, n_classes=CLASSES, hidden_units=16)


def striped_images(rows, seed):
    """Return noisy images in CIFAR's layout and their classes: the stripes' direction (2) and colour (red or blue)."""
    random = np.random.default_rng(seed)
    images = random.integers(0, 128, (rows, 3, 32, 32), dtype=np.uint8)
    classes = np.arange(rows) % CLASSES
    for image, kind in zip(images, classes.tolist(), strict=True):
        channel = image[0] if kind < 2 else image[2]
        stripes = channel[::4] if kind % 2 else channel[:, ::4]
        stripes += 127
    return images.reshape(rows, IMAGE_FEATURES), classes

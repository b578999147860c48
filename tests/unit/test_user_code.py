"""Users' code as a model runs it: its errors name the user's line, and generators go on as before."""

import random

import numpy as np
import pytest
import torch

from training.errors import InputError
from training.model.user_code import drawn_from, user_code

pytestmark = pytest.mark.torch


def test_generators_go_on_where_they_were():
    """A program that predicts draws what it would have drawn without the prediction."""

    def draw():
        return random.random(), np.random.random(), torch.rand(()).item()  # noqa: NPY002 - users' code draws from it

    random.seed(1)
    np.random.seed(1)  # noqa: NPY002
    torch.manual_seed(1)
    wanted = draw()
    random.seed(1)
    np.random.seed(1)  # noqa: NPY002
    torch.manual_seed(1)
    with drawn_from(7):
        first = draw()
    with drawn_from(7):
        again = draw()

    assert first == again != wanted
    assert wanted == draw()


def test_a_file_in_a_folder_named_training_is_the_users(tmp_path):
    """Only our own folder of this name is passed over."""
    (tmp_path / "training").mkdir()
    file = tmp_path / "training" / "net.py"
    file.write_text("\n\nraise ValueError('no')\n")

    with pytest.raises(InputError, match=r"model=net:Net raised ValueError when it was made \(net.py line 3\): no"):  # noqa: SIM117
        with user_code("net:Net", "was made"):
            exec(compile(file.read_text(), str(file), "exec"), {})  # noqa: S102 - the test's own file

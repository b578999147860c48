"""The image of a user's own model: the worker's image, what the model adds, and its source."""

import subprocess
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

import docker
import pytest

from harness.errors import HarnessError
from harness.runs.declared import declared
from harness.runs.images import current_image
from harness.runs.model_function import ModelFunction, function_of
from harness.runs.model_image import current_model_image
from harness.runs.own_model import own_model
from harness.settings import Settings
from tests.support.containers import forget_name
from tests.support.own_models import SOFTMAX

pytestmark = [pytest.mark.timeout(300), pytest.mark.usefixtures("base")]

Write = Callable[[str], ModelFunction]
BLOCK = '# /// script\n# dependencies = ["toolz==1.0.0", "numpy==2.0.0"]\n# ///\nimport toolz\n'


@pytest.fixture
def write(engine: docker.DockerClient, settings: Settings, tmp_path: Path) -> Iterator[Write]:
    """Writes the model's file, and returns the function that trains it; its image's name is the test's own."""
    file = tmp_path / f"model_{uuid.uuid4().hex[:8]}.py"
    names = set()

    def written(code: str) -> ModelFunction:
        file.write_text(code)
        function = function_of(own_model(f"{file}:Softmax", settings), settings)
        names.add(function.name)
        return function

    yield written
    for name in names:
        forget_name(engine, name)


def test_the_digest_covers_the_model(engine: docker.DockerClient, write: Write, settings: Settings):
    """Equal files have one image, other code another; below them is the worker's image, as it is."""
    log: list[str] = []
    first = current_model_image(write(SOFTMAX), settings, log=log.append)
    built = len(log)
    again = current_model_image(write(SOFTMAX), settings, log=log.append)
    other = current_model_image(write(f"{SOFTMAX}# another\n"), settings, log=log.append)
    worker = current_image("linear_ec_2", declared(settings, "linear_ec_2"), log=log.append)

    assert first == again != other
    assert 1 == sum("out of date" in line for line in log[built:])
    layers = [engine.images.get(image).attrs["RootFS"]["Layers"] for image in (worker, first)]
    assert layers[0] == layers[1][: len(layers[0])]


def test_requirements_are_added_and_replace_nothing(write: Write, settings: Settings):
    """A package that the worker lacks is there; one that it has stays in its version."""
    image = current_model_image(write(BLOCK + SOFTMAX), settings, log=print)
    worker = current_image("linear_ec_2", declared(settings, "linear_ec_2"), log=print)
    code = "import numpy, importlib.util as u; print(numpy.__version__, u.find_spec('toolz') is not None)"

    assert ["True", "False"] == [_printed(one, code).split()[1] for one in (image, worker)]
    assert 1 == len({_printed(one, code).split()[0] for one in (image, worker)})


@pytest.mark.parametrize(
    ("code", "said"),
    [
        ("import missing_thing\n", r"imports missing_thing, which its function lacks"),
        ("1 / 0\n", r"cannot be imported: ZeroDivisionError"),
    ],
)
def test_a_model_that_cannot_be_imported_has_no_image(write: Write, settings: Settings, code: str, said: str):
    """The build says what is wrong, as process mode does."""
    with pytest.raises(HarnessError, match=said):
        current_model_image(write(code + SOFTMAX), settings, log=print)


def _printed(image: str, code: str) -> str:
    command = ["docker", "run", "--rm", "--entrypoint", "python3", image, "-c", code]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout

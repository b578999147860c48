"""Check a user's own model before a run, in a process of its own and with the packages of its function."""

import json
import subprocess
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from harness.errors import HarnessError
from harness.gateway.unpacking import unpack
from harness.models import checking
from harness.models.rows import SampleRows
from harness.runs.functions import package_with_libraries
from harness.runs.model_function import function_of
from harness.runs.own_model import own_model
from harness.runtimes.environments import environment_folder, python_in
from harness.settings import Settings
from harness.stack.plan import Log

TIMEOUT_S = 600.0
# The function's packages come first, as in its environments.
_START = """
import runpy, sys
sys.path.insert(0, sys.argv[1])
runpy.run_path(sys.argv[2], run_name="__main__")
"""


class CheckFinding(msgspec.Struct, frozen=True):
    """What was checked (`name`), how it ended (`state`: ok, note or failed), and one line about it (`message`)."""

    name: str
    state: str
    message: str


class ArraySize(msgspec.Struct, frozen=True):
    """A parameter or buffer."""

    name: str
    shape: list[int]
    dtype: str


class ModelSizes(msgspec.Struct, frozen=True):
    """Sizes of a model; a model that could not be made has zeros.

    Attributes:
        trained: Parameters with a gradient.
        averaged: Numbers in averaged buffers.
        frozen: Parameters without a gradient.
        bytes: Of all of them in a model file and in a snapshot.
        round_bytes: Of a worker's part in a round, by `optim`, as float32.
        arrays: Parameters and buffers.
        step_ms: Time of a step on the checked rows, milliseconds.
        max_rss_mb: Memory of the check, MB.
    """

    trained: int = 0
    averaged: int = 0
    frozen: int = 0
    bytes: int = 0
    round_bytes: dict[str, int] = {}
    arrays: list[ArraySize] = []
    step_ms: float = 0.0
    max_rss_mb: int = 0


class ModelReport(msgspec.Struct, frozen=True):
    """The outcome of a check.

    Attributes:
        model: The model, as in a job.
        ok: Whether nothing failed.
        findings: In the order of the checks.
        sizes: The model's sizes.
    """

    model: str
    ok: bool
    findings: list[CheckFinding]
    sizes: ModelSizes


def check_model(
    text: str, settings: Settings, facts: Mapping[str, Any], sample: SampleRows | None, rows: int, *, log: Log
) -> ModelReport:
    """Check a model.

    Args:
        text: As in `--model`.
        settings: The project's settings.
        facts: What it is made from; see `training.model.own.facts_of`.
        sample: Rows of a data set; None for random rows.
        rows: Number of random rows.
        log: Called when libraries are installed.

    Raises:
        HarnessError: There is no such model, its packages cannot be installed, or the check does not end.
    """
    model = own_model(text, settings)
    function = function_of(model, settings).settings
    code = package_with_libraries(function, settings.cache_dir, log=log)
    with tempfile.TemporaryDirectory(prefix="lambda-harness-check-") as folder:
        task, rows_file = Path(folder) / "task", Path(folder) / "rows.npz"
        unpack(code.arguments["ZipFile"], task, settings.cache_dir)
        if sample is not None:
            np.savez(rows_file, x=sample.x, y=sample.y)
        request = {
            "model": model.job_name,
            "facts": {**facts, **(sample.facts if sample else {})},
            "rows_file": str(rows_file) if sample else None,
            "rows": rows,
        }
        python = python_in(environment_folder(settings.cache_dir, function.python))
        return _answer(text, [str(python), "-I", "-c", _START, str(task), checking.__file__], request, folder)


def _answer(text: str, command: list[str], request: Mapping[str, Any], folder: str) -> ModelReport:
    try:
        done = subprocess.run(
            command,
            cwd=folder,
            input=json.dumps(request),
            capture_output=True,
            text=True,
            check=False,
            timeout=TIMEOUT_S,
        )
    except subprocess.TimeoutExpired as error:
        raise HarnessError(
            f"the check of {text} takes more than {TIMEOUT_S:.0f} s", remedy="check it on fewer rows: --rows 32"
        ) from error
    try:
        return msgspec.json.decode((done.stdout.strip().splitlines() or [""])[-1], type=ModelReport)
    except msgspec.DecodeError as error:
        said = (done.stderr.strip().splitlines() or ["it printed nothing"])[-1]
        raise HarnessError(
            f"the check of {text} ended with status {done.returncode}",
            said,
            "run the model in a script of your own to see where it ends",
        ) from error

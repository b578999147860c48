"""The import of a user's own model as its function will import it, before a run: with the same packages, and no others.

An import runs the user's code, so it has a process of its own.
A package that passed is not imported again.
"""

import hashlib
import json
import subprocess
import tempfile
from pathlib import Path
from typing import Any

from harness.errors import HarnessError
from harness.gateway.unpacking import unpack
from harness.runs.own_model import OwnModel
from harness.runtimes.environments import environment_folder, python_in
from harness.runtimes.import_probe import PROBE
from harness.stack.plan import Log
from harness.system.private_files import private_folder, write_private

IMPORT_TIMEOUT_S = 120.0


def check_import(model: OwnModel, package: bytes, runtime: str, cache: Path, *, log: Log) -> None:
    """Import a model from the package of its function, once for each content.

    Args:
        model: The model.
        package: The function's deployment package, whose comment names its libraries.
        runtime: The function's Python.
        cache: The user's cache folder.
        log: Called before the import.

    Raises:
        HarnessError: A module is missing, the name is not defined, or the import fails; nothing was started.
    """
    digest = hashlib.sha256(f"{runtime}\0{model.job_name}\0".encode() + package).hexdigest()[:32]
    passed = cache / "models" / f"{digest}.json"
    if passed.is_file():
        return
    log(f"importing {model.path.name} (once for each content)")
    python = python_in(environment_folder(cache, runtime))
    with tempfile.TemporaryDirectory(prefix="lambda-harness-model-") as folder:
        task = Path(folder) / "task"
        unpack(package, task, cache)
        command = [str(python), "-I", "-c", PROBE, str(task), model.module, model.name]
        try:
            done = subprocess.run(
                command,
                cwd=folder,
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                check=False,
                timeout=IMPORT_TIMEOUT_S,
            )
        except subprocess.TimeoutExpired as error:
            raise HarnessError(
                f"{model.path} takes more than {IMPORT_TIMEOUT_S:.0f} s to import",
                remedy="compute in the model's methods, not at the top of the file",
            ) from error
    last = (done.stdout.strip().splitlines() or [""])[-1]
    refuse_answer(model, last, f"the process ended with status {done.returncode}")
    private_folder(passed.parent)
    write_private(passed, b"{}")


def refuse_answer(model: OwnModel, answer: str, otherwise: str) -> None:
    """Raise unless the probe's answer says that the import went well.

    Args:
        model: The model.
        answer: The last line that the probe printed.
        otherwise: What happened if that line is no answer.

    Raises:
        HarnessError: The import failed.
    """
    try:
        found: Any = json.loads(answer)
    except ValueError:
        found = {"error": otherwise, "where": ""}
    if "missing" in found:
        raise HarnessError(
            f"{model.path} imports {found['missing']}, which its function lacks",
            "a worker has NumPy, scipy.sparse and, if the model imports it, PyTorch",
            add_requirement(model, found["missing"]),
        )
    if found.get("absent"):
        raise HarnessError(f"{model.path} has no {model.name}", remedy="correct the name after the `:`")
    if "error" in found:
        raise HarnessError(f"{model.path} cannot be imported: {found['error']}", found.get("where", ""), "correct it")


def add_requirement(model: OwnModel, module: str) -> str:
    """Return where to name a package that a model needs."""
    top = module.partition(".")[0]
    if model.requirements:
        return f"add the package of {top} to {model.requirements[-1]}"
    if model.path.is_dir():
        return f"add the package of {top} to {model.path / 'requirements.txt'}"
    block = f'`# /// script`, `# dependencies = ["{top}"]`, `# ///`'
    return f"name its package at the top of the file ({block}), or by `requirements` in [models.NAME]"

"""The image of a user's own model: the worker's image, the packages that the model adds, and its source.

    /var/task        the worker's packages and code; then packages that it lacks; then the model's file or folder

A package that the worker has stays as it is, as in process mode, where the first of several folders wins.
The packages are built outside, as those of process mode are: they are made for Lambda's platform.
"""

import hashlib
import json
import time
from collections.abc import Mapping
from contextlib import closing
from pathlib import Path
from tempfile import TemporaryDirectory

import docker
import msgspec

from harness.bundle import BUNDLE
from harness.errors import HarnessError
from harness.gateway.unpacking import unpack
from harness.images.build import Base, Built, build_arguments, find_base, name_image, run_build
from harness.images.catalogue import BASE_DIGEST, BASE_NAME, RECIPES, REQUIREMENTS, REVISION, SOURCE, STAGE, Recipe
from harness.images.catalogue import source_sha256 as source_of_image
from harness.images.facts import is_current
from harness.images.pull import Log, ignore
from harness.runs.declared import declared
from harness.runs.images import ready_image
from harness.runs.model_function import ModelFunction, functions_of_models
from harness.runs.model_import import refuse_answer
from harness.runs.model_source import checksum_of, pack_source
from harness.runs.package_image import merge
from harness.runtimes.import_probe import PROBE
from harness.runtimes.libraries import ensure_libraries
from harness.runtimes.requirements import Requirements, requirements_of
from harness.settings import Settings
from harness.system.engine import connect, find_image

# Removes what the worker has already; then the import, as the user that functions have.
_REMOVE = """
import shutil
from pathlib import Path
for added in Path("/libraries").iterdir():
    if (Path("/var/task") / added.name).exists():
        shutil.rmtree(added) if added.is_dir() else added.unlink()
"""


def recipe_of(function: ModelFunction, settings: Settings) -> Recipe:
    """Return the recipe of a model's image.

    Args:
        function: The function of the model, which has an image.
        settings: The project's settings.

    Raises:
        HarnessError: The worker's image is none of the harness's.
    """
    image = declared(settings, function.base).image
    if (worker := RECIPES.get(image)) is None:
        raise HarnessError(
            f"{function.name} cannot be built: image {image} of its worker is not one of the harness's",
            f"[functions.{function.base}] in harness.toml",
            f"name {' or '.join(RECIPES)}, or build an image with the model and name its function in worker_function",
        )
    model = function.model
    lines = [line for each in _requirements(function) for line in each.lines]
    parts = (checksum_of(pack_source(model), model.module), model.job_name, *lines)
    return Recipe(
        name=function.name,
        dockerfile=worker.dockerfile,
        code=worker.code,
        requirements=worker.requirements,
        packages=f"{worker.packages}\nimport {model.module}\n{model.module}.{model.name}\n",
        arguments={**worker.arguments, "TITLE": function.name},
        added_sha256=hashlib.sha256("\0".join(parts).encode()).hexdigest(),
    )


def recipes_of_models(settings: Settings) -> dict[str, Recipe]:
    """Return the recipes of the images of a project's own models, by the image's name.

    Raises:
        HarnessError: A model is not valid.
    """
    functions = [function for function in functions_of_models(settings) if function.settings.image]
    return {function.name: recipe_of(function, settings) for function in functions}


def build_model_image(
    client: docker.DockerClient,
    root: Path,
    recipe: Recipe,
    function: ModelFunction,
    base: Base,
    settings: Settings,
    *,
    log: Log,
    build_output: Log = ignore,
) -> Built:
    """Build the image of a model on the worker's, which is built first if it is not current.

    Args:
        client: The engine.
        root: The folder with the worker's sources.
        recipe: The image.
        function: The function of the model.
        base: The base of the worker's image.
        settings: The project's settings.
        log: Called when the worker's image or libraries are built.
        build_output: Called with each line that the engine's build prints.

    Raises:
        BuildFailed: A step failed; an older image keeps the name.
        HarnessError: The model cannot be imported in the image; the message says why.
    """
    started, model = time.monotonic(), function.model
    worker = ready_image(client, function.base, declared(settings, function.base), base=base, log=log)
    asked = msgspec.structs.replace(function.settings, requirements=model.requirements)
    libraries = ensure_libraries(asked, settings.cache_dir, log=log)
    lines: list[str] = []

    def output(line: str) -> None:
        lines.append(line)
        build_output(line)

    with TemporaryDirectory(prefix="lambda-harness-") as folder:
        context = Path(folder)
        unpack(pack_source(model), context / "code")
        merge(reversed(libraries), context / "libraries")
        (context / "probe.py").write_text(PROBE, encoding="utf-8")
        (context / "remove.py").write_text(_REMOVE, encoding="utf-8")
        labels = _labels(root, recipe, base)
        (context / "Dockerfile").write_text(_dockerfile(worker, function, labels), encoding="utf-8")
        options = {"path": folder, "platform": f"linux/{base.architecture}"}
        try:
            image_id = run_build(client, recipe.name, options, build_output=output)
        except HarnessError:
            answer = next((line for line in reversed(lines) if line.startswith('{"')), None)
            if answer is not None:
                refuse_answer(model, answer, "")
            raise
    name_image(client, image_id, recipe.name)
    return Built(recipe.name, image_id, base, time.monotonic() - started)


def _requirements(function: ModelFunction) -> list[Requirements]:
    return requirements_of(msgspec.structs.replace(function.settings, requirements=function.model.requirements))


def _labels(root: Path, recipe: Recipe, base: Base) -> dict[str, str]:
    arguments = build_arguments(root, recipe, base)
    return {
        "org.opencontainers.image.title": recipe.name,
        REVISION: arguments["REVISION"],
        BASE_NAME: base.name,
        BASE_DIGEST: base.digest,
        SOURCE: source_of_image(root, recipe),
        REQUIREMENTS: arguments["REQUIREMENTS_SHA256"],
    }


def _dockerfile(worker: str, function: ModelFunction, labels: Mapping[str, str]) -> str:
    """Return the Dockerfile; its first stage imports the model as a function would."""
    model, said = function.model, " ".join(f"{key}={json.dumps(value)}" for key, value in labels.items())
    return (
        f"FROM {worker} AS added\n"
        f"LABEL {STAGE}=model\n"
        "USER 0:0\n"
        "COPY probe.py remove.py /build/\n"
        "COPY libraries/ /libraries/\n"
        "RUN python3 /build/remove.py\n"
        "COPY code/ /code/\n"
        "RUN python3 -m compileall -q --invalidation-mode unchecked-hash /code\n"
        "RUN chmod -R u=rwX,go=rX /code /libraries\n"
        "USER 1000:1000\n"
        f"RUN python3 /build/probe.py /code:/var/task:/libraries:/var/runtime {model.module} {model.name}\n"
        f"FROM {worker}\n"
        "COPY --from=added /libraries/ /var/task/\n"
        "COPY --from=added /code/ /var/task/\n"
        f"LABEL {said}\n"
        f"CMD {json.dumps([function.settings.handler])}\n"
    )


def current_model_image(function: ModelFunction, settings: Settings, *, log: Log) -> str:
    """Return the digest of a model's image; build it if it is missing, or anything in it has changed.

    Args:
        function: The function of the model, whose worker has an image.
        settings: The project's settings.
        log: Called when an image is built.

    Raises:
        HarnessError: The image cannot be built, or the model cannot be imported in it.
    """
    with closing(connect()) as client:
        recipe = recipe_of(function, settings)
        built = find_image(client, recipe.name)
        if built is not None and is_current(built, BUNDLE, recipe):
            return str(built.id)
        log(f"building image {recipe.name} ({'not built' if built is None else 'out of date'})")
        base = find_base(client, None)
        return build_model_image(client, BUNDLE, recipe, function, base, settings, log=log).image_id

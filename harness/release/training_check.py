"""The last check of an image: a whole training run in containers that uses exactly this image."""

import math
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager

import msgspec

from harness.aws.clients import Clients, clients_for
from harness.errors import HarnessError
from harness.release.verify import ImageCheck, ImageUnderTest
from harness.runs.declared import COORDINATOR, declared
from harness.runs.launch import run
from harness.runs.model_function import trainer_of
from harness.runs.prepared import PreparedRun, prepare_run
from harness.runs.run_target import stack_target
from harness.runs.summary import Summary
from harness.runs.worker import worker_function
from harness.settings import Settings
from harness.stack import StackState, start_private_stack
from harness.system.engine import find_image
from training.errors import TrainingError

Log = Callable[[str], None]

# Each function's image takes part in one of these jobs: small, with several rounds, a loss to check, and validation.
_N_WORKERS = 2
_JOBS = (
    ("synthetic:rows=4000,features=10", {"model": "lr", "n_epochs": 3, "batch_size": 100}),
    ("synthetic-images:rows=240,classes=3", {"model": "mlp", "n_epochs": 3, "batch_size": 20}),
)


@contextmanager
def training_check(settings: Settings, *, log: Log) -> Iterator[ImageCheck]:
    """Yield the check; the first image to be checked starts its stack, which is stopped at the end of the block.

    Args:
        settings: The project's settings; they name the image of each function.
        log: Called before each step that takes long.
    """
    with ExitStack() as stacks:
        started: list[StackState] = []

        def train(image: ImageUnderTest) -> str:
            prepared, on_these = _run_for(image, settings)
            if not started:
                log("starting a stack in containers")
                started.append(stacks.enter_context(start_private_stack(settings, mode="container", log=log)))
            (stack,) = started
            log(f"training on {image.facts.name}")
            clients = clients_for(stack.endpoints)
            try:
                summary = run(prepared, on_these, stack_target(stack, clients), report=_silent, watch=_silent)
            except TrainingError as error:
                raise HarnessError(str(error)) from error
            _check_digests(clients, summary)
            return _format_result(summary)

        yield ImageCheck("training run", train)


def _run_for(image: ImageUnderTest, settings: Settings) -> tuple[PreparedRun, Settings]:
    """Return a run in which the image's function takes part, and settings in which every function names a digest.

    Raises:
        HarnessError: No function uses the image, or another image that the job needs is not built.
    """
    name, trainer = image.recipe.name, trainer_of(image.recipe.name, settings)
    for data, event in _JOBS:
        prepared = prepare_run(data, None, {"n_workers": _N_WORKERS, **event})
        worker = worker_function(settings, prepared.job)
        # The image of a user's own model has all that its worker's has; which rows the model takes is not known.
        if trainer is not None and trainer.base == worker:
            worker = name
            prepared = prepare_run(data, None, {"n_workers": _N_WORKERS, **event, "worker_function": worker})
        functions = {key: declared(settings, key) for key in (COORDINATOR, worker)}
        if name in {function.image for function in functions.values()}:
            digests = {key: _digest(image, function.image) for key, function in functions.items()}
            pinned = {key: msgspec.structs.replace(function, image=digests[key]) for key, function in functions.items()}
            return prepared, msgspec.structs.replace(settings, functions=pinned)
    raise HarnessError(
        f"no function of the training runs from image {name}",
        "harness.toml",
        f'name it in a function\'s table: image = "{name}"',
    )


def _digest(image: ImageUnderTest, name: str) -> str:
    if name == image.recipe.name:
        return image.facts.image_id
    beside = find_image(image.client, name)
    if beside is None:
        raise HarnessError(
            f"image {name}, which a run needs too, is not built", remedy=f"run `harness images build {name}`"
        )
    return str(beside.id)


def _check_digests(clients: Clients, summary: Summary) -> None:
    """Check that the Lambda service returns the digests of the images that the run should have used."""
    for name, digest in summary.images.items():
        found = clients.management.get_function_configuration(FunctionName=name)["CodeSha256"]
        if found != digest.removeprefix("sha256:"):
            raise HarnessError(f"function {name} ran from sha256:{found}", f"expected {digest}")


def _format_result(summary: Summary) -> str:
    """Return one line for the record.

    Raises:
        HarnessError: The run succeeded, but the loss did not fall.
    """
    first, last = summary.epochs[0]["loss"], summary.loss
    if not math.isfinite(last) or last >= first:
        raise HarnessError(f"the loss did not fall: {first:.4f} after the first epoch, {last:.4f} at the end")
    on = ", ".join(f"{name} {digest.removeprefix('sha256:')[:12]}" for name, digest in sorted(summary.images.items()))
    return f"{len(summary.workers)} workers, {summary.rounds} rounds, loss {first:.4f} to {last:.4f}; on {on}"


def _silent(_progress: object) -> None:
    """Ignore progress: a check reports only its result."""

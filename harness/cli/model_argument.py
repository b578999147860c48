"""The argument that names a trained model: a run, or the file of a model."""

from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from harness.cli._waiting import waiting
from harness.cli.run_argument import named_run
from harness.cli.target_options import Where, refuse_account_without_target

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from training.run.model_file import TrainedModel

Decorated = TypeVar("Decorated", bound="Callable[..., Any]")


def source_option(function: Decorated) -> Decorated:
    """Add `--model`, the source of a user's own model."""
    return click.option(
        "--model",
        "source",
        metavar="FILE:NAME",
        help="Import a model of your own from this file, such as my_model.py:Net; a model file needs it, and a run "
        "has its source.",
    )(function)


@contextmanager
def named_model(
    named: str | Path,
    where: Where,
    source: str | None,
) -> "Iterator[tuple[TrainedModel, str]]":
    """Yield the model of a file or of a run, and the name of the file or the run.

    Within the block, PyTorch is installed and the model's source importable if it needs them.

    Args:
        named: The path of a model file, or a text that is one or a run.
        where: Where a run took place that is not kept.
        source: FILE:NAME of the source of a model of the user's own, in place of the run's; None for none.

    Raises:
        HarnessError: There is no such run or file, or the source of a user's own model is missing.
        InputError: It is no model.
    """
    from harness.runs.own_source import source_of_run, source_of_user, with_source
    from harness.runs.places import is_shared
    from harness.runs.predict import model_of_file, model_of_run
    from harness.settings import load_settings
    from harness.stack.pytorch import ensure_pytorch
    from training.model.catalogue import row_of

    path = Path(named)
    with ExitStack() as held:
        with waiting("reading the model") as log:
            if isinstance(named, Path) or path.suffix == ".npz" or path.is_file():
                refuse_account_without_target(where.expect_account)
                model, name = model_of_file(path), str(named)
                archive = source_of_user(model.model, source, load_settings())
            else:
                folder = named_run(named, where, load_settings())
                model, name = model_of_run(folder), folder.run_id
                own = None if source is None else source_of_user(model.model, source, load_settings())
                archive = source_of_run(folder, model.model, own, shared=is_shared(folder))
            if row_of(model.model).needs_pytorch:
                ensure_pytorch(log)
            held.enter_context(with_source(model.model, archive, log))
        yield model, name

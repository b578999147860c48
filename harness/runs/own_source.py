"""The source of a user's own model where its trained parameters are used: from the run's folder, or from the user."""

from collections.abc import Iterator
from contextlib import contextmanager

from harness.errors import HarnessError
from harness.history.folder import RunRecords
from harness.runs.model_source import SOURCE_OBJECT, checksum_of, importable, pack_source, top_of, unpacked
from harness.runs.own_model import TORCH, imports_of, own_model
from harness.settings import Settings
from harness.stack.plan import Log
from harness.stack.pytorch import ensure_pytorch
from training.model.catalogue import row_of
from training.run.results import JobRecord


def source_of_run(folder: RunRecords, model: str, own: bytes | None = None, *, shared: bool = False) -> bytes:
    """Return the zip with the source of the model that a run trained; empty for a model of the catalogue.

    Args:
        folder: The run's folder, in S3 or kept.
        model: The model in the file that the run stored.
        own: A zip with the user's source, to take in place of the run's: nothing of the bucket is imported then.
        shared: Whether others may have written into the run's bucket; `own` is needed then, so that nobody else's
            code is imported.

    Raises:
        HarnessError: The source is not named where it has to be, is gone, is not the one that the run's workers had, or
            is that of another model.
    """
    if not row_of(model).own:
        return b""
    run_id, record = folder.run_id, folder.read_as("job.json", JobRecord)
    expected = record.job.get("model_sha256") if record is not None else None
    if shared and own is None:
        raise HarnessError(
            f"run {run_id} has a model of your own, {model}, and whoever may write into its bucket can change its code",
            folder.location(SOURCE_OBJECT),
            "name the file that you trust: --model FILE:NAME; it is compared with the run's",
        )
    if own is not None and expected is None:
        return own  # its function was the user's own too, and nothing is known of its source
    # Without this, the name in the model file would decide which module of this machine is imported.
    if record is None or expected is None or record.job.get("model") != model:
        raise HarnessError(
            f"run {run_id} stored parameters of {model}, and its job does not name the source of that model",
            folder.location("job.json"),
            "save the model with `--model-file`, and name its source: --model FILE:NAME",
        )
    archive, where = (folder.read(SOURCE_OBJECT), folder.location(SOURCE_OBJECT)) if own is None else (own, "--model")
    if archive is None:
        raise HarnessError(
            f"run {run_id} has no source of its model {model}",
            folder.location(SOURCE_OBJECT),
            "save the model with `--model-file`, and name its source: --model FILE:NAME",
        )
    found = checksum_of(archive, model.partition(":")[0], where)
    if found != expected:
        raise HarnessError(
            f"the source is not that of run {run_id}: sha256 {found}, expected {expected}",
            where,
            "put the source back as it was, or train again" if own is None else "leave --model out, or train again",
        )
    return archive


def source_of_user(model: str, named: str | None, settings: Settings) -> bytes:
    """Return the zip with the source that a user names for a model file; empty for a model of the catalogue.

    Args:
        model: The model in the file, as its job named it.
        named: The value of `--model`; None for none.
        settings: The project's settings.

    Raises:
        HarnessError: A model of a user's own comes without a source, or with that of another model.
    """
    if not row_of(model).own:
        if named is not None:
            raise HarnessError(f"the model file holds {model}, which is built in", remedy="leave --model out")
        return b""
    if named is None:
        raise HarnessError(
            f"the model file holds parameters of {model}, and not its source",
            remedy=f"name the file that defines it: --model {model.partition(':')[0].replace('.', '/')}.py:"
            f"{model.partition(':')[2]}",
        )
    found = own_model(named, settings)
    if found.job_name != model:
        raise HarnessError(
            f"the model file holds parameters of {model}", f"--model {named} is {found.job_name}", "name its source"
        )
    return pack_source(found)


@contextmanager
def with_source(model: str, archive: bytes, log: Log) -> Iterator[None]:
    """Let the block make and use a model; its module is imported from its source.

    Args:
        model: The model, as its job named it.
        archive: The zip with its source; empty for a model of the catalogue.
        log: Called before PyTorch is installed.

    Raises:
        HarnessError: PyTorch is needed, and cannot be installed.
    """
    if not archive:
        yield
        return
    with unpacked(archive, SOURCE_OBJECT) as folder, importable(folder, module := model.partition(":")[0]):
        if TORCH & set(imports_of(top_of(folder, module))):
            ensure_pytorch(log)
        yield

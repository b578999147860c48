"""The model that `--init-from` names: read and compared before a run, and copied into the run's folder."""

from pathlib import Path

from harness.errors import HarnessError
from harness.runs.data import Data
from harness.runs.places import run_folder
from harness.runs.predict import model_bytes_of_run
from harness.runs.prepared import START_OBJECT
from harness.runs.run_target import RunTarget
from harness.settings import Settings
from training.job import Job
from training.run.results import RunFolder, get_object
from training.run.warm_start import Start, check_fits, check_labels, check_schema, read_start


class WarmStart:
    """The model that a run begins with.

    Args:
        named: A run, a file, or an address in S3.
        job: The job as the user asks for it.
        target: Where the run takes place.
        settings: The project's settings.

    Raises:
        HarnessError: There is no such run or file.
        InputError: It is no model, or not one that the job trains.
    """

    def __init__(self, named: str, job: Job, target: RunTarget, settings: Settings) -> None:
        self._body = _read(named, target, settings)
        self._start: Start = read_start(self._body, named)
        check_fits(self._start, job)

    def check(self, job: Job, data: Data) -> None:
        """Compare the model with the job that is complete, and with the labels and columns of its data.

        Raises:
            InputError: They do not fit.
        """
        check_fits(self._start, job)
        if data.manifest is not None and job.task == "classification":
            check_labels(self._start, data.manifest.classes(job.n_classes, data.name))
        if data.manifest is not None:
            check_schema(self._start, data.manifest.schema)

    def store(self, folder: RunFolder) -> None:
        """Copy the model into the run's folder, which the run's functions may read."""
        folder.write(START_OBJECT, self._body)


def _read(named: str, target: RunTarget, settings: Settings) -> bytes:
    if named.startswith("s3://"):
        bucket, _, key = named.removeprefix("s3://").partition("/")
        return get_object(target.clients.s3, bucket, key)
    path = Path(named)
    if path.suffix == ".npz" or path.is_file():
        try:
            return path.read_bytes()
        except OSError as error:
            raise HarnessError(f"the model cannot be read: {error.strerror}", named) from error
    return model_bytes_of_run(run_folder(named, settings, lambda: target))

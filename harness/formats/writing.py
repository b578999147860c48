"""The formats that a run is written in, checked before it begins: at its end the results would be lost."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from harness.errors import HarnessError
from harness.insight.view import RunView


@dataclass(frozen=True, slots=True, kw_only=True)
class Formats:
    """Where a run is written to, one field for each flag; None where a format is not wanted.

    Attributes:
        tensorboard: The folder of TensorBoard's event files.
        trace: Perfetto's file.
        otlp: A file of OpenTelemetry spans, or the address of a collector.
        csv: The folder of tables.
        mlflow: The folder of MLflow's store.
    """

    tensorboard: Path | None = None
    trace: Path | None = None
    otlp: str | None = None
    csv: Path | None = None
    mlflow: Path | None = None

    def __bool__(self) -> bool:
        """Return whether any format is wanted."""
        return any(value is not None for value in (self.tensorboard, self.trace, self.otlp, self.csv, self.mlflow))

    def check(self, report: Path | None = None) -> None:
        """Check that everything can be written.

        Args:
            report: The file of the HTML report that is written beside; None for none.

        Raises:
            HarnessError: A folder is a file, a file's folder does not exist, an address is none, a library is missing.
        """
        self._check_apart(report)
        for flag, folder in (("--tensorboard", self.tensorboard), ("--csv", self.csv), ("--mlflow", self.mlflow)):
            if folder is not None and folder.exists() and not folder.is_dir():
                raise HarnessError(
                    f"{flag} {folder} is a file", remedy="name a folder; it is made if it does not exist"
                )
        if self.trace is not None:
            _check_file("--trace", self.trace)
        if self.otlp is not None:
            _check_otlp(self.otlp)
        if self.mlflow is not None:
            from harness.formats.mlflow_store import check_mlflow, check_store  # noqa: PLC0415 - takes a second

            check_store(self.mlflow)
            check_mlflow()

    def _check_apart(self, report: Path | None) -> None:
        """Check that no format overwrites another; event files and tables may share a folder."""
        seen: dict[Path, str] = {}
        for flag, place in (
            ("--output", report),
            ("--trace", self.trace),
            ("--otlp", None if self.otlp is None or "://" in self.otlp else Path(self.otlp)),
            ("--mlflow", self.mlflow),
            ("--csv", self.csv),
            ("--tensorboard", None if self.tensorboard == self.csv else self.tensorboard),
        ):
            if place is not None and (other := seen.setdefault(place.absolute(), flag)) != flag:
                raise HarnessError(f"{other} and {flag} both name {place}", remedy="name a place for each")

    def write(self, view: RunView, model: Path | None = None) -> Iterator[str]:
        """Write a run in every format that is wanted, and yield each place as it is done.

        Args:
            view: The run.
            model: The model file, for the formats that carry one; None for none.

        Raises:
            HarnessError: One cannot be written; those before it are.
        """
        # The libraries take time to import, so each is imported only where it is used.
        if self.csv is not None:
            from harness.formats.tables import write_tables  # noqa: PLC0415

            with _named("--csv", self.csv):
                write_tables(view, self.csv)
            yield f"tables in {self.csv / view.run_id}"
        if self.tensorboard is not None:
            from harness.formats.tensorboard import write_tensorboard  # noqa: PLC0415

            with _named("--tensorboard", self.tensorboard):
                write_tensorboard(view, self.tensorboard)
            yield f"event files in {self.tensorboard / view.run_id}: tensorboard --logdir {self.tensorboard}"
        if self.trace is not None:
            from harness.formats.perfetto_trace import write_trace  # noqa: PLC0415

            with _named("--trace", self.trace):
                write_trace(view, self.trace)
            yield f"trace in {self.trace}: open it at ui.perfetto.dev"
        if self.mlflow is not None:
            from harness.formats.mlflow_store import write_mlflow  # noqa: PLC0415

            with _named("--mlflow", self.mlflow):
                write_mlflow(view, self.mlflow, model)
            yield f"MLflow's store in {self.mlflow}"
        if self.otlp is not None:
            from harness.formats.otlp import write_otlp  # noqa: PLC0415

            with _named("--otlp", self.otlp):
                write_otlp(view, self.otlp)
            yield f"spans to {self.otlp}"


@contextmanager
def _named(flag: str, place: Path | str) -> Iterator[None]:
    """Name the flag whose format the block could not write."""
    try:
        yield
    except OSError as error:
        raise HarnessError(f"{flag} {place} cannot be written: {error.strerror}") from error


def _check_file(flag: str, path: Path) -> None:
    if path.is_dir():
        raise HarnessError(f"{flag} {path} is a folder", remedy="name a file")
    if not path.parent.is_dir():
        raise HarnessError(f"the folder of {flag} {path} does not exist", remedy="make it first")


def _check_otlp(target: str) -> None:
    scheme, separator, _ = target.partition("://")
    if not separator:
        _check_file("--otlp", Path(target))
    elif scheme not in {"http", "https"} or not _has_host(target):
        raise HarnessError(f"--otlp {target} is neither a file nor an address", remedy="http://127.0.0.1:4318, say")


def _has_host(address: str) -> bool:
    """Return whether an address has a host, and a port from 1 to 65,535 or none."""
    try:
        parts = urlsplit(address)
        return bool(parts.hostname) and parts.port != 0
    except ValueError:  # brackets without an end, or such a port
        return False

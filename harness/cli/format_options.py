"""The flags that write a run for other viewers."""

from collections.abc import Callable, Iterator, MutableMapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

if TYPE_CHECKING:
    from harness.formats.writing import Formats
    from harness.insight.folder import ReadableFolder
    from harness.insight.view import RunView

Command = TypeVar("Command", bound=Callable[..., Any])


class PlaceOfFormat(click.Path):
    """A file or a folder that a format is written to."""

    def __init__(self) -> None:
        super().__init__(path_type=Path)

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:  # noqa: ANN401 - click's signature
        """Return the path.

        Raises:
            click.BadParameter: It is empty, or an address.
        """
        if isinstance(value, str) and (not value or "://" in value):
            self.fail(f"{value!r} is no path: give a file or a folder of this machine", param, ctx)
        return super().convert(value, param, ctx)


_FOLDER = PlaceOfFormat()
_OPTIONS = (
    click.option("--tensorboard", type=_FOLDER, help="Write event files for TensorBoard into this folder."),
    click.option("--trace", type=_FOLDER, help="Write a trace to this file, for ui.perfetto.dev."),
    click.option(
        "--otlp", help="Write OpenTelemetry spans to this file, or send them to a collector: http://HOST:4318."
    ),
    click.option("--csv", type=_FOLDER, help="Write tables into this folder: epochs, rounds, ranks, events."),
    click.option("--mlflow", type=_FOLDER, help="Write the run into MLflow's file store in this folder."),
)
# Bars for the rounds of each attempt: a trace can be looked into more closely than a page; TensorBoard shows as many
# points of a curve.
BUCKETS = 1_000
_NAMES = ("tensorboard", "trace", "otlp", "csv", "mlflow")


def format_options(command: Command) -> Command:
    """Add the flags to a command."""
    for option in reversed(_OPTIONS):
        command = option(command)
    return command


def formats_of(flags: MutableMapping[str, Any], report: Path | None = None) -> "Formats":
    """Take the formats out of a command's flags, and check that they can be written, also beside a report.

    Raises:
        HarnessError: One cannot be.
    """
    from harness.formats.writing import Formats

    if flags["otlp"] == "":
        raise click.BadParameter("'' is neither a file nor an address", param_hint="--otlp")
    formats = Formats(**{name: flags.pop(name) for name in _NAMES})
    formats.check(report)
    return formats


@contextmanager
def exporting(formats: "Formats") -> "Iterator[Callable[[ReadableFolder], None]]":
    """Write the run of the block in the formats that are wanted, also if it fails; tell each place on standard error.

    The block calls what it is given with the run's folder, as soon as the run is over.

    Raises:
        HarnessError: The run has succeeded, and one format cannot be written.
    """
    from harness.errors import HarnessError
    from harness.insight.folder import read_view

    views: list[tuple[RunView, ReadableFolder]] = []

    def ended(folder: "ReadableFolder") -> None:
        if formats:
            views.append((read_view(folder, buckets=BUCKETS), folder))

    try:
        yield ended
    except BaseException:
        with suppress(HarnessError):
            for view, folder in views:
                write_formats(formats, view, folder)
        raise
    for view, folder in views:
        write_formats(formats, view, folder)


def write_formats(formats: "Formats", view: "RunView", folder: "ReadableFolder") -> None:
    """Write a run in the formats that are wanted, and tell each place on standard error.

    Args:
        formats: The formats.
        view: The run.
        folder: Its folder; one of the formats carries its model.

    Raises:
        HarnessError: One cannot be written.
    """
    from harness.history.folder import KeptFolder
    from harness.system.console import notice

    model = folder.path / "model.npz" if isinstance(folder, KeptFolder) else None
    for place in formats.write(view, model if model is not None and model.is_file() else None):
        notice(f"wrote {place}")

"""A run in MLflow's local file store: parameters, metrics by epoch and round, tags, and the model as an artifact.

`mlflow ui --backend-store-uri DIR` shows it. MLflow is no dependency of the harness: `pip install mlflow-skinny`.
https://mlflow.org/docs/latest/ml/tracking/backend-stores/
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from harness.errors import HarnessError
from harness.formats.scalars import final_metrics, flat_job
from harness.insight.view import RunView

if TYPE_CHECKING:
    from mlflow.entities import Metric

EXPERIMENT = "lambda-harness"
# The most that one call of MLflow's takes.
_METRICS_PER_CALL, _PARAMETERS_PER_CALL, _LONGEST_PARAMETER = 1000, 100, 6000
_STATUS = {"succeeded": "FINISHED", "running": "RUNNING", "stopped": "KILLED"}
# Folders of a store that are no experiments.
_OWN = frozenset({".trash", "models"})
# MLflow 3 takes a folder as a store only where this is set; it recommends a database.
_ALLOWED = "MLFLOW_ALLOW_FILE_STORE"


def check_mlflow() -> None:
    """Check that MLflow is installed.

    Raises:
        HarnessError: It is not.
    """
    try:
        import mlflow.tracking  # noqa: F401, PLC0415 - takes a second, and nobody else needs it
    except ImportError as error:
        raise HarnessError(
            "--mlflow needs MLflow, which is not installed", remedy="pip install mlflow-skinny"
        ) from error


def check_store(directory: Path) -> None:
    """Check that a folder is empty, or a store: MLflow takes each folder in it for an experiment.

    Raises:
        HarnessError: It has other folders.
    """
    try:
        folders = [path for path in directory.iterdir() if path.is_dir()]
    except OSError:  # it does not exist yet
        return
    others = sorted(path.name for path in folders if path.name not in _OWN and not (path / "meta.yaml").is_file())
    if others:
        raise HarnessError(
            f"--mlflow {directory} is no store of MLflow's: it has the folder {others[0]}",
            remedy="name a folder of its own",
        )


def write_mlflow(view: RunView, directory: Path, model: Path | None = None) -> None:
    """Write a run into a file store.

    Args:
        view: The run.
        directory: The store's folder; it is made if it does not exist.
        model: The model file, which becomes an artifact; None for none.

    Raises:
        HarnessError: MLflow is not installed, or the folder is no store of its own.
    """
    check_mlflow()
    with _file_store_allowed():
        from mlflow.entities import Param, RunTag  # noqa: PLC0415
        from mlflow.exceptions import MlflowException  # noqa: PLC0415
        from mlflow.tracking import MlflowClient  # noqa: PLC0415

        try:
            client = MlflowClient(tracking_uri=directory.resolve().as_uri())
            known = client.get_experiment_by_name(EXPERIMENT)
            experiment = known.experiment_id if known else client.create_experiment(EXPERIMENT)
            started, ended = _ms(view, 0.0), _ms(view, view.seconds)
            run = client.create_run(experiment, start_time=started, run_name=view.run_id).info.run_id
            tags = {"run_id": view.run_id, "target": view.target, "mode": view.mode, **view.versions}
            client.log_batch(run, tags=[RunTag(name, value) for name, value in tags.items() if value])
            parameters = [Param(key, str(value)[:_LONGEST_PARAMETER]) for key, value in flat_job(view).items()]
            for first in range(0, len(parameters), _PARAMETERS_PER_CALL):
                client.log_batch(run, params=parameters[first : first + _PARAMETERS_PER_CALL])
            metrics = list(_metrics(view))
            for first in range(0, len(metrics), _METRICS_PER_CALL):
                client.log_batch(run, metrics=metrics[first : first + _METRICS_PER_CALL])
            if model is not None:
                client.log_artifact(run, str(model))
            client.set_terminated(run, _STATUS.get(view.status, "FAILED"), end_time=ended)
        except MlflowException as error:
            raise HarnessError(f"--mlflow {directory} cannot be written", str(error).splitlines()[0]) from error


def _metrics(view: RunView) -> Iterator["Metric"]:
    from mlflow.entities import Metric  # noqa: PLC0415

    for epoch in view.epochs:
        at = _ms(view, view.seconds if epoch.at is None else epoch.at)
        yield Metric("train_loss", epoch.loss, at, epoch.epoch)
        for name, value in epoch.metrics.items():
            yield Metric(f"train_{name}", value, at, epoch.epoch)
        for name, value in (epoch.validation or {}).items():
            yield Metric(f"validation_{name}", value, at, epoch.epoch)
    for batch in view.batches:
        yield Metric("batch_loss", batch.loss, _ms(view, batch.at), batch.round)
    for number, at_s, ms in view.rounds.series:
        yield Metric("round_ms", ms, _ms(view, at_s), number)
    for name, value in final_metrics(view).items():
        yield Metric(f"final_{name}", value, _ms(view, view.seconds), 0)


def _ms(view: RunView, at: float) -> int:
    return round(1000 * (view.started_at + at))


@contextmanager
def _file_store_allowed() -> Iterator[None]:
    before = os.environ.get(_ALLOWED)
    os.environ[_ALLOWED] = "true"
    try:
        yield
    finally:
        if before is None:
            del os.environ[_ALLOWED]
        else:
            os.environ[_ALLOWED] = before

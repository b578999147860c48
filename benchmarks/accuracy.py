"""Compare the loss of `harness run --data DATA`, with no other flag, with that of scikit-learn or torch.

    python -m benchmarks.accuracy --only iris.csv

Both train on the same rows, those of the partitions without the validation rows, and both minimise the same: the mean
loss of a row and the run's penalty. scikit-learn's solvers end at the least loss; torch's loop makes as many steps.
The exit code is 1 when a run is more than 2 % above.
"""

import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click
import numpy as np
import numpy.typing as npt
from PIL import Image
from sklearn import datasets
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.preprocessing import StandardScaler

from benchmarks.screen import print_table
from benchmarks.stage import Run, Stage, stage
from training.data.dataset import Dataset, decode_npz

TOLERANCE = 0.02
HEADINGS = ("data", "rows", "features", "model", "rounds", "loss", "reference", "its loss", "above", "within 2 %")

Array = npt.NDArray[Any]


@dataclass(frozen=True)
class Comparison:
    """One run beside its reference.

    Attributes:
        run: The run.
        rows: Its training rows.
        reference: What the loss is compared with.
        loss: The reference's loss.
    """

    run: Run
    rows: int
    reference: str
    loss: float

    @property
    def above(self) -> float:
        """Return the share by which the run's loss is above the reference's; negative where it is below."""
        return float(self.run.summary["loss"]) / self.loss - 1

    @property
    def within(self) -> bool:
        """Return whether the run reached the reference."""
        return self.above <= TOLERANCE


def compare(own: Stage, case: str, folder: Path) -> Comparison:
    """Run one case without flags, and train its reference on the same rows.

    Args:
        own: A stage.
        case: A key of `CASES`.
        folder: An empty folder for the case's data.
    """
    run = own.run("--data", CASES[case](folder))
    job, parts = run.summary["job"], _parts(own, run)
    if job["model"] == "mlp":
        return Comparison(run, sum(part.rows for part in parts), "torch", _torch_loss(job, parts))
    x, y = _together(parts)
    if job["standardise"]:
        x = StandardScaler().fit_transform(x)
    if job["model"].endswith("linear"):
        return Comparison(run, len(y), "Ridge", _ridge_loss(job, x, y))
    return Comparison(run, len(y), "LogisticRegression", _logistic_loss(job, x, y))


def _parts(own: Stage, run: Run) -> list[Dataset]:
    """Return the training rows of each rank, as the partitions hold them."""
    job, parts = run.summary["job"], []
    for worker in run.workers:
        key = f"{job['data_prefix']}{worker['rank']}_{job['n_workers']}"
        body = own.clients.s3.get_object(Bucket=job["data_bucket"], Key=key)["Body"].read()
        found = decode_npz(body, source=key, n_features=job["n_features"])[1]
        parts.append(Dataset(found.x[: worker["rows"]], found.y[: worker["rows"]]))
    return parts


def _together(parts: list[Dataset]) -> tuple[Any, Array]:
    from scipy.sparse import vstack  # noqa: PLC0415 - for sparse rows alone

    xs = [part.x for part in parts]
    dense = isinstance(xs[0], np.ndarray)
    x: Any = np.concatenate(xs).astype(np.float64) if dense else vstack(xs, format="csr").astype(np.float64)
    return x, np.concatenate([part.y for part in parts])


def _logistic_loss(job: dict[str, Any], x: Any, y: Array) -> float:  # noqa: ANN401 - NumPy's or scipy's
    penalty = job["lambda"]
    best = LogisticRegression(C=1 / (penalty * len(y)), tol=1e-8, max_iter=50_000).fit(x, y)
    chances = best.predict_proba(x)[np.arange(len(y)), np.searchsorted(best.classes_, y)]
    return float(-np.log(chances).mean() + penalty / 2 * np.square(best.coef_).sum())


def _ridge_loss(job: dict[str, Any], x: Any, y: Array) -> float:  # noqa: ANN401 - NumPy's or scipy's
    """Return half the mean squared error of targets with variance 1, and the penalty."""
    penalty, y = job["lambda"], (y - y.mean(dtype=np.float64)) / y.std(dtype=np.float64)
    best = Ridge(alpha=penalty * len(y)).fit(x, y)
    return float(np.square(y - best.predict(x)).mean() / 2 + penalty / 2 * np.square(best.coef_).sum())


def _torch_loss(job: dict[str, Any], parts: list[Dataset]) -> float:
    """Return the loss of a loop in torch alone, from the same start over the same global batches."""
    import torch  # noqa: PLC0415 - takes two seconds

    from training.model.catalogue import make_model  # noqa: PLC0415 - imports torch, too

    labels = np.unique(np.concatenate([part.y for part in parts]))
    xs = [torch.from_numpy((np.asarray(part.x, np.float32) / 255 - 0.5) / 0.25) for part in parts]
    ys = [torch.from_numpy(np.searchsorted(labels, part.y)) for part in parts]
    units, features = job["hidden_units"], job["n_features"]
    network = torch.nn.Sequential(
        torch.nn.Linear(features, units), torch.nn.ReLU(), torch.nn.Linear(units, len(labels))
    )
    model = make_model(
        "mlp", n_features=features, n_classes=len(labels), hidden_units=units, loss="cross_entropy", huber_delta=1.0
    )
    torch.nn.utils.vector_to_parameters(torch.from_numpy(model.initial(job["seed"])), network.parameters())
    steps = torch.optim.SGD(network.parameters(), lr=job["lr"], momentum=job["momentum"])
    size = job["batch_size"]
    # The tail of an epoch joins the last batch if it is at most half of one.
    count = max(1, -((size // 2 - max(map(len, ys))) // size))
    batches = [slice(n * size, (n + 1) * size if n < count - 1 else None) for n in range(count)]
    for _ in range(job["n_epochs"]):
        for rows in batches:
            steps.zero_grad()
            outputs = network(torch.cat([x[rows] for x in xs]))
            torch.nn.functional.cross_entropy(outputs, torch.cat([y[rows] for y in ys])).backward()
            steps.step()
    with torch.no_grad():
        return float(torch.nn.functional.cross_entropy(network(torch.cat(xs)), torch.cat(ys)))


def _libsvm(folder: Path) -> str:
    """Write breast cancer's measurements as they are."""
    found = datasets.load_breast_cancer()
    datasets.dump_svmlight_file(found.data, found.target, str(folder / "cancer.txt"), zero_based=False)
    return str(folder / "cancer.txt")


def _sparse(folder: Path) -> str:
    """Write documents of a few words each out of 2,000."""
    random = np.random.default_rng(0)
    weights, lines = random.normal(size=2_000), []
    for _ in range(1_000):
        words = np.sort(random.choice(2_000, 40, replace=False))
        label = int(weights[words].sum() + random.normal() > 0)
        lines.append(f"{label} " + " ".join(f"{word + 1}:{1 / 40**0.5:.6f}" for word in words))
    (folder / "documents.txt").write_text("\n".join(lines) + "\n")
    return str(folder / "documents.txt")


def _csv(folder: Path) -> str:
    """Write iris with the names of its species, and one value missing."""
    found = datasets.load_iris()
    rows = [[f"{value:.1f}" for value in row] for row in found.data]
    rows[7][2] = ""
    lines = [",".join([*row, found.target_names[label]]) for row, label in zip(rows, found.target, strict=True)]
    names = [name.removesuffix(" (cm)").replace(" ", "_") for name in found.feature_names]
    (folder / "iris.csv").write_text("\n".join([",".join([*names, "species"]), *lines]) + "\n")
    return str(folder / "iris.csv")


def _parquet(folder: Path) -> str:
    """Write diabetes as a folder of two files."""
    import polars as pl  # noqa: PLC0415 - takes a third of a second

    found = datasets.load_diabetes(scaled=False)
    table = pl.DataFrame({**dict(zip(found.feature_names, found.data.T, strict=True)), "target": found.target})
    (folder / "diabetes").mkdir()
    table[:200].write_parquet(folder / "diabetes" / "0.parquet")
    table[200:].write_parquet(folder / "diabetes" / "1.parquet")
    return str(folder / "diabetes")


def _npz(folder: Path) -> str:
    """Write digits as arrays."""
    found = datasets.load_digits()
    np.savez(folder / "digits.npz", x=found.data, y=found.target)
    return str(folder / "digits.npz")


def _images(folder: Path) -> str:
    """Write noisy images of three colours, each colour in a folder."""
    random = np.random.default_rng(0)
    for channel, name in enumerate(("red", "green", "blue")):
        (folder / "images" / name).mkdir(parents=True)
        for number in range(100):
            pixels = random.integers(0, 200, (32, 32, 3))
            pixels[..., channel] += random.integers(0, 30)
            Image.fromarray(pixels.astype(np.uint8)).save(folder / "images" / name / f"{number}.png")
    return str(folder / "images")


def _shipped(name: str) -> Callable[[Path], str]:
    return lambda _folder: f"sklearn:{name}"


CASES: dict[str, Callable[[Path], str]] = {
    **{name: _shipped(name) for name in ("breast_cancer", "digits", "wine", "iris", "diabetes")},
    "cancer.txt": _libsvm,
    "documents.txt": _sparse,
    "iris.csv": _csv,
    "diabetes/*.parquet": _parquet,
    "digits.npz": _npz,
    "images/": _images,
}


@click.command()
@click.option("--only", "chosen", type=click.Choice(list(CASES)), multiple=True, help="A case; may be given again.")
def main(*, chosen: tuple[str, ...]) -> None:
    """Print each run beside its reference; exit code 1 when one is more than 2 % above."""
    found = {}
    with stage() as own, tempfile.TemporaryDirectory(prefix="accuracy-") as temporary:
        for number, case in enumerate(chosen or CASES):
            folder = Path(temporary) / str(number)
            folder.mkdir()
            found[case] = compare(own, case, folder)
            click.echo(case, err=True)
    print_table(HEADINGS, (_cells(case, one) for case, one in found.items()))
    sys.exit(0 if all(one.within for one in found.values()) else 1)


def _cells(case: str, one: Comparison) -> tuple[str, ...]:
    summary, job = one.run.summary, one.run.summary["job"]
    sizes = (f"{one.rows:,}", f"{job['n_features']:,}", job["model"], f"{summary['rounds']:,}")
    losses = (f"{summary['loss']:.5f}", one.reference, f"{one.loss:.5f}", f"{one.above:+.2%}")
    return (case, *sizes, *losses, "yes" if one.within else "no")


if __name__ == "__main__":
    main()

"""`make bench-compare BASE=<rev>`: measure the same figures on two revisions, side by side.

    python -m benchmarks.compare main --only exchange

The benchmarks are this tree's. They measure the packages (`harness`, `training`) of this tree and of BASE,
which is checked out into its own worktree and run by an interpreter that finds BASE's packages first. Both use the
libraries that are installed here. The two take turns, topic by topic.
If modules have moved since BASE, these benchmarks cannot import its packages: `--own-benchmarks` runs BASE's own there.
"""

import subprocess
import sys
import sysconfig
import tempfile
import venv
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import click

from benchmarks.__main__ import TOPICS
from benchmarks.comparison import Comparison, compare
from benchmarks.figure import BenchmarkError, Figure
from benchmarks.results import load, number
from benchmarks.screen import print_table

ROOT = Path(__file__).resolve().parents[1]


class Tree(NamedTuple):
    """A tree to measure.

    Attributes:
        folder: The tree.
        python: The interpreter that imports its packages.
    """

    folder: Path
    python: Path


@click.command()
@click.argument("base")
@click.option("--only", "chosen", type=click.Choice(list(TOPICS)), multiple=True, help="A topic; may be given again.")
@click.option("--passes", type=click.IntRange(1), default=2, show_default=True, help="Turns of each tree per topic.")
@click.option("--own-benchmarks", is_flag=True, help="Measure BASE with its own benchmarks instead of this tree's.")
def main(*, base: str, chosen: tuple[str, ...], passes: int, own_benchmarks: bool) -> None:
    """Measure this tree and the revision BASE in turns and print their ratio for every figure."""
    figures: dict[str, list[Figure]] = {"base": [], "ours": []}
    try:
        with _trees(base, own_benchmarks=own_benchmarks) as trees:
            for topic in chosen or TOPICS:
                for turn in range(passes):
                    # The second may benefit from warm caches, so the order alternates too.
                    for name in ("base", "ours") if turn % 2 == 0 else ("ours", "base"):
                        click.echo(f"{topic}, {name}", err=True)
                        figures[name].extend(_measure(trees[name], topic))
    except BenchmarkError as error:
        click.echo(f"error: {error}", err=True)
        sys.exit(1)
    headings = ("figure", base, "this tree", "ratio", "so it is", "floor's ratio")
    print_table(headings, map(_row, compare(figures["base"], figures["ours"])))


@contextmanager
def _trees(revision: str, *, own_benchmarks: bool) -> Iterator[dict[str, Tree]]:
    """Yield this tree and a worktree of the revision, which is removed afterwards.

    Raises:
        BenchmarkError: There is no such revision.
    """
    with tempfile.TemporaryDirectory(prefix="bench-base-") as temporary:
        folder = Path(temporary) / "tree"
        _git("worktree", "add", "--detach", str(folder), revision)
        try:
            # The harness looks for LocalStack's separate environment in its own tree.
            (folder / ".venv-localstack").symlink_to(ROOT / ".venv-localstack")
            # A folder with only the benchmarks; otherwise the revision's own would be found first.
            tool = Path(temporary) / "tool"
            tool.mkdir()
            (tool / "benchmarks").symlink_to(ROOT / "benchmarks")
            trees = {"base": (folder, folder if own_benchmarks else tool), "ours": (ROOT, tool)}
            yield {
                name: Tree(tree, _interpreter(Path(temporary) / name, benchmarks, tree))
                for name, (tree, benchmarks) in trees.items()
            }
        finally:
            _git("worktree", "remove", "--force", str(folder))


def _interpreter(environment: Path, tool: Path, tree: Path) -> Path:
    """Return an interpreter that finds the tree's packages before those that are installed here.

    The harness starts its services with its own interpreter and without the user's variables, so the order of packages
    must be built into the interpreter.
    """
    venv.create(environment, symlinks=True)
    (packages,) = (environment / "lib").glob("python*/site-packages")
    folders = (tool, tree, tree / "lambdas", Path(sysconfig.get_path("purelib")))
    (packages / "bench.pth").write_text("".join(f"{folder}\n" for folder in folders))
    return environment / "bin" / "python"


def _measure(tree: Tree, topic: str) -> list[Figure]:
    """Measure the figures of one topic in a process of the tree's interpreter.

    Raises:
        BenchmarkError: The process failed; the message quotes its last lines.
    """
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        json = Path(folder) / "figures.json"
        command = [str(tree.python), "-P", "-m", "benchmarks", "--only", topic, "--no-readme", "--json", str(json)]
        done = subprocess.run(command, cwd=tree.folder, capture_output=True, text=True, check=False)
        if done.returncode != 0:
            raise BenchmarkError(f"{topic} of {tree.folder}: {done.stderr.strip()[-800:]}")
        return list(load(json).figures)


def _row(one: Comparison) -> tuple[str, ...]:
    better = f"{one.improvement:.2f} times as good"
    name = f"{one.name}, {one.unit}"
    return (name, number(one.base), number(one.ours), f"{one.ratio:.2f}", better, f"{one.floor_ratio:.2f}")


def _git(*arguments: str) -> None:
    done = subprocess.run(["git", "-C", str(ROOT), *arguments], capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise BenchmarkError(f"git {' '.join(arguments)}: {done.stderr.strip()}")


if __name__ == "__main__":
    main()

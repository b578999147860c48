"""The images of the functions, and the sources of each.

An image is named after its function.
One SHA-256 over the files that the Dockerfile copies identifies its source, so that an image can be compared with the
working tree; the label `revision` names the commit that last changed these files.
"""

import hashlib
import re
import subprocess
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path

from harness.bundle import BUNDLE, DISTRIBUTION, IS_CLONE
from harness.errors import HarnessError

REVISION = "org.opencontainers.image.revision"
BASE_NAME = "org.opencontainers.image.base.name"
BASE_DIGEST = "org.opencontainers.image.base.digest"
SOURCE = "source.sha256"
REQUIREMENTS = "requirements.sha256"
# Marks a stage of a Dockerfile; the builder keeps its layers as an unnamed cache.
STAGE = "lambda-harness.stage"

_SHARED = ("lambdas/training", "images/slim.py")


@dataclass(frozen=True)
class Recipe:
    """The recipe of one image.

    Attributes:
        name: The name of the image and of its function.
        dockerfile: The path of the Dockerfile; like all paths here, relative to the project's root.
        code: Files and folders that the Dockerfile copies.
        requirements: Files of pinned packages that it installs.
        packages: Python statements with which the smoke test imports and exercises the packages.
        arguments: Build arguments in addition to those of every image.
        added_sha256: The checksum of what the image has beside these files, for a user's own model; else empty.
    """

    name: str
    dockerfile: str
    code: tuple[str, ...]
    requirements: tuple[str, ...]
    packages: str
    arguments: Mapping[str, str] = field(default_factory=dict)
    added_sha256: str = ""


_COORDINATOR_PACKAGES = """
import boto3, msgspec
for service in ("s3", "lambda"):
    boto3.client(service)
assert msgspec.json.decode(msgspec.json.encode({"a": 1})) == {"a": 1}
"""
_WORKER_PACKAGES = (
    _COORDINATOR_PACKAGES
    + """
import numpy as np
from scipy.sparse import csr_array
from zlib_ng.zlib_ng import crc32
matrix = np.random.default_rng(0).random((64, 64))
assert np.allclose(np.linalg.inv(matrix) @ matrix, np.eye(64), atol=1e-6)
assert crc32(b"123456789") == 0xCBF43926
assert np.allclose(csr_array(matrix) @ matrix, matrix @ matrix)
"""
)
_TORCH_PACKAGES = (
    _WORKER_PACKAGES
    + """
import torch
from torch.nn import functional
assert torch.version.cuda is None, "this is PyTorch's CUDA build; set TORCH_INDEX to the index of its CPU builds"
weights = torch.ones(3, 3, requires_grad=True)
functional.cross_entropy(torch.from_numpy(matrix[:5, :3].astype("float32")) @ weights, torch.zeros(5).long()).backward()
functional.conv2d(torch.ones(1, 3, 8, 8), torch.ones(4, 3, 3, 3))
assert weights.grad.shape == (3, 3)
"""
)

_WORKER_FILES = ("lambdas/worker/linear_ec_2.py", "lambdas/worker/Dockerfile", *_SHARED)
RECIPES = {
    recipe.name: recipe
    for recipe in (
        Recipe(
            "linear_ec_1",
            "lambdas/coordinator/Dockerfile",
            ("lambdas/coordinator/linear_ec_1.py", "lambdas/coordinator/Dockerfile", *_SHARED),
            ("requirements/coordinator.txt",),
            _COORDINATOR_PACKAGES,
        ),
        Recipe(
            "linear_ec_2",
            "lambdas/worker/Dockerfile",
            _WORKER_FILES,
            ("requirements/worker.txt",),
            _WORKER_PACKAGES,
        ),
        Recipe(
            "linear_ec_2_nn",
            "lambdas/worker/Dockerfile",
            _WORKER_FILES,
            ("requirements/worker.txt", "requirements/torch.txt"),
            _TORCH_PACKAGES,
            {"TITLE": "linear_ec_2_nn", "TORCH": "yes"},
        ),
    )
}


def recipes(names: tuple[str, ...], own: Mapping[str, Recipe] | None = None) -> list[Recipe]:
    """Return the recipes of those names; all recipes if no name is given.

    Args:
        names: The images.
        own: The images of a project's own models.

    Raises:
        HarnessError: There is no such image.
    """
    known = {**RECIPES, **(own or {})}
    for name in names:
        if name not in known:
            raise HarnessError(f"there is no image {name}", remedy=f"choose from {', '.join(known)}")
    return [known[name] for name in names or known]


# What is made from the sources, and copied into no image; see .dockerignore.
_BUILT = re.compile(r"(^|/)__pycache__/|^harness/page/static/")


def sha256_of(root: Path, paths: tuple[str, ...]) -> str:
    """Return one SHA-256 over the names and contents of files, including all files below folders.

    Raises:
        HarnessError: A file or folder is missing.
    """
    digest = hashlib.sha256()
    for path in _files(root, paths):
        content = path.read_bytes()
        # The length separates a name from the content before it.
        digest.update(f"{path.relative_to(root).as_posix()}\0{len(content)}\0".encode())
        digest.update(content)
    return digest.hexdigest()


def _files(root: Path, paths: tuple[str, ...]) -> Iterator[Path]:
    for name in paths:
        path = root / name
        if path.is_file():
            yield path
        elif path.is_dir():
            yield from sorted(
                file
                for file in path.rglob("*")
                if file.is_file() and file.suffix != ".pyc" and not _BUILT.search(file.relative_to(root).as_posix())
            )
        else:
            raise HarnessError(f"{name} is missing", str(root), "restore it, or install the harness again")


def source_sha256(root: Path, recipe: Recipe) -> str:
    """Return the checksum that identifies an image's source: its code, its packages, and a user's own model."""
    own = sha256_of(root, (*recipe.code, *recipe.requirements))
    return hashlib.sha256(f"{own}\0{recipe.added_sha256}".encode()).hexdigest() if recipe.added_sha256 else own


def revision_of(root: Path, recipe: Recipe) -> str:
    """Return the commit that last changed the image's source, with `-dirty` if files were changed since.

    Other commits do not affect the image.
    Return the harness's version for the files that an installed harness ships, and `unknown` for others without git.
    """
    paths = (*recipe.code, *recipe.requirements)
    commit = _git(root, "log", "-1", "--format=%H", "--", *paths)
    if not commit:
        return "unknown" if IS_CLONE or root != BUNDLE else version(DISTRIBUTION)
    return f"{commit}-dirty" if _git(root, "status", "--porcelain", "--", *paths) else commit


def _git(root: Path, *arguments: str) -> str:
    try:
        done = subprocess.run(["git", "-C", root, *arguments], capture_output=True, text=True, check=False)
    except FileNotFoundError:
        return ""
    return done.stdout.strip() if done.returncode == 0 else ""

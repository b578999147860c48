"""Stand-ins for images that cannot be pulled, built from Debian and PyPI packages.

    debian                       the root of all: debian:bookworm-slim, or the result of debootstrap
    ├── lambda-python-build      Python, pip and the wheels of all functions
    ├── lambda-python            has the contract of AWS's base image for Python
    ├── memcached, registry      from Debian packages
    └── python                   Debian's Python, in place of the official image
        ├── localstack           LocalStack's S3, as process mode runs it
        └── services             gateway, moto and configuration endpoint: our own, always built

A label of each image holds the checksum of its inputs, so that a second run builds nothing.
"""

import os
import shutil
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import docker
from docker.models.images import Image

from harness.images.build import AWS_BASE, STAND_IN_BASE, STAND_IN_BUILD, name_image, run_build
from harness.images.catalogue import BASE_DIGEST, BASE_NAME, sha256_of
from harness.images.packages import download_wheels, install_packages, run
from harness.images.pull import Log, Registries, ignore
from harness.settings import Settings
from harness.system.engine import BaseUnavailable, engine_architecture, failure, find_image, translated
from harness.system.rie import fetch_rie

DEBIAN = "lambda-harness/debian:bookworm"
PYTHON = "lambda-harness/python:3.11"
LOCALSTACK = "lambda-harness/localstack:4.13.1"
MEMCACHED = "lambda-harness/memcached:1.6"
REGISTRY = "lambda-harness/registry:2"
SERVICES = "lambda-harness/services"

# Each stand-in, with the image that it replaces; all are pinned, and can be pulled without an account.
PUBLISHED = {
    STAND_IN_BASE: AWS_BASE,
    PYTHON: "python:3.11.13-slim-bookworm",
    # The last LocalStack image that requires no token.
    LOCALSTACK: "localstack/localstack:4.14.0",
    MEMCACHED: "memcached:1.6.38-bookworm",
    REGISTRY: "registry:2.8.3",
}
PUBLISHED_DEBIAN = "debian:bookworm-slim"

INPUTS = "inputs.sha256"
# The prefix of names that only the harness gives.
OWN_NAMES = "lambda-harness/"
_LAMBDA_PYTHON = "images/lambda-python"
_PACKAGES = "images/packages"
_RUNTIME = "requirements/lambda-base.txt"
_HASHED = (_RUNTIME, "requirements/coordinator.txt", "requirements/worker.txt")
_TORCH = "requirements/torch.txt"
_DEBOOTSTRAP = ("debootstrap", "--variant=minbase", "--include=ca-certificates", "bookworm")


@dataclass(frozen=True)
class Bases:
    """Find, pull or build base images.

    Attributes:
        client: The engine.
        settings: The project's settings, whose root has the sources.
        registries: The registries of published images.
        log: Called with what the harness itself is about to do, line by line.
        build_output: Called with each line that the engine's builds print, which are many.
        torch_index: The package index of PyTorch's CPU builds; empty for pip's default.
    """

    client: docker.DockerClient
    settings: Settings
    registries: Registries
    log: Log
    build_output: Log = ignore
    torch_index: str = ""
    _made: dict[str, str] = field(default_factory=dict)

    def find(self, stand_in: str) -> tuple[str, str]:
        """Return the name and the ID of the stand-in if it was built, and otherwise of the published image.

        An existing stand-in is kept up to date; a new one is built only if the published image cannot be pulled.

        Raises:
            BaseUnavailable: The published image cannot be pulled, and the stand-in cannot be built here.
            HarnessError: Building the stand-in failed.
        """
        if find_image(self.client, stand_in) is None:
            reference = PUBLISHED[stand_in]
            try:
                return reference, str(self.registries.find_or_pull(reference, log=self.log).id)
            except BaseUnavailable as refusal:
                self.log(f"{refusal.what} ({refusal.where})")
        return stand_in, self.make(stand_in)

    def make(self, stand_in: str) -> str:
        """Return the ID of the stand-in; build it if it is missing or out of date.

        Raises:
            BaseUnavailable: Debian can neither be pulled nor built.
            HarnessError: Building the stand-in failed.
        """
        # Build once per command, because several images share a base.
        if stand_in not in self._made:
            recipes = {
                STAND_IN_BASE: self._lambda_python,
                PYTHON: self._python,
                LOCALSTACK: self._localstack,
                MEMCACHED: lambda: self._from_debian(MEMCACHED, "images/memcached"),
                REGISTRY: lambda: self._from_debian(REGISTRY, "images/registry"),
                SERVICES: self._services,
            }
            self._made[stand_in] = recipes[stand_in]()
        return self._made[stand_in]

    def _lambda_python(self) -> str:
        debian = self._debian()
        inputs = sha256_of(self.settings.root, (_LAMBDA_PYTHON, *_HASHED, _TORCH))
        targets = {STAND_IN_BUILD: "build", STAND_IN_BASE: "base"}
        labels = _labels(DEBIAN, debian, inputs)
        if all(self._current(name, labels) for name in targets):
            return str(self._current(STAND_IN_BASE, labels))
        with tempfile.TemporaryDirectory(prefix="lambda-python-") as scratch:
            context = Path(scratch) / "context"
            shutil.copytree(self.settings.root / _LAMBDA_PYTHON, context)
            shutil.copy(self.settings.root / _RUNTIME, context)
            shutil.copy(fetch_rie(self.settings), context / "aws-lambda-rie")
            self.log("downloading the wheels of all functions")
            architecture = engine_architecture(self.client)
            for name in _HASHED:
                hashed = ("--require-hashes", "--no-deps")
                download_wheels(self.settings.root / name, context / "wheels", architecture, *hashed)
            index = ("--index-url", self.torch_index) if self.torch_index else ()
            download_wheels(self.settings.root / _TORCH, context / "wheels", architecture, *index)
            arguments = {"DEBIAN": debian}
            ids = [self._build(name, context, arguments, labels, target=target) for name, target in targets.items()]
        return ids[-1]

    def _python(self) -> str:
        debian = self._debian()
        labels = _labels(DEBIAN, debian, sha256_of(self.settings.root, (f"{_LAMBDA_PYTHON}/Dockerfile",)))
        folder = self.settings.root / _LAMBDA_PYTHON
        return self._current(PYTHON, labels) or self._build(PYTHON, folder, {"DEBIAN": debian}, labels, target="python")

    def _from_debian(self, name: str, folder: str) -> str:
        debian = self._debian()
        labels = _labels(DEBIAN, debian, sha256_of(self.settings.root, (folder,)))
        return self._current(name, labels) or self._build(name, self.settings.root / folder, {"DEBIAN": debian}, labels)

    def _localstack(self) -> str:
        files = ("images/localstack", "harness/stack/localstack_launcher.py", "harness/guard.py")
        return self._on_packages(LOCALSTACK, "requirements/localstack.txt", files)

    def _services(self) -> str:
        return self._on_packages(SERVICES, "requirements/services.txt", ("images/services", "harness"))

    def _on_packages(self, name: str, requirements: str, sources: tuple[str, ...]) -> str:
        """Build an image in two layers, our files on the packages, so that a change of our files rebuilds quickly."""
        python_name, python = self.find(PYTHON)
        packages_name = f"{name.partition(':')[0]}-packages"
        labels = _labels(python_name, python, sha256_of(self.settings.root, (_PACKAGES, requirements)))
        packages = self._current(packages_name, labels) or self._packages(packages_name, requirements, python, labels)
        labels = _labels(packages_name, packages, sha256_of(self.settings.root, sources))
        dockerfile = f"{sources[0]}/Dockerfile"
        return self._current(name, labels) or self._build(
            name, self.settings.root, {"PACKAGES": packages}, labels, dockerfile=dockerfile
        )

    def _packages(self, name: str, requirements: str, python: str, labels: Mapping[str, str]) -> str:
        with tempfile.TemporaryDirectory(prefix="packages-") as scratch:
            context = Path(scratch)
            shutil.copy(self.settings.root / _PACKAGES / "Dockerfile", context)
            self.log(f"downloading the packages of {requirements}")
            architecture = engine_architecture(self.client)
            install_packages(self.settings.root / requirements, context / "packages", architecture)
            return self._build(name, context, {"PYTHON": python}, labels)

    def _current(self, name: str, labels: Mapping[str, str]) -> str | None:
        """Return the ID of the image of that name if it was built from exactly these inputs."""
        image = find_image(self.client, name)
        return str(image.id) if image is not None and labels.items() <= image.labels.items() else None

    def _build(
        self, name: str, context: Path, arguments: Mapping[str, str], labels: Mapping[str, str], **options: str
    ) -> str:
        self.log(f"building {name}")
        image_id = run_build(
            self.client,
            name,
            {
                "path": str(context),
                "buildargs": arguments,
                "labels": labels,
                # With the host's network, apt-get works wherever it works on the host.
                "network_mode": "host",
                **options,
            },
            build_output=self.build_output,
        )
        name_image(self.client, image_id, name)
        return image_id

    def _debian(self) -> str:
        present = find_image(self.client, DEBIAN)
        if present is None:
            try:
                present = self.registries.find_or_pull(PUBLISHED_DEBIAN, log=self.log)
            except BaseUnavailable:
                return str(self._bootstrapped_debian().id)
            name_image(self.client, present.id, DEBIAN)
        return str(present.id)

    def _bootstrapped_debian(self) -> Image:
        """Build Debian from its package archive; requires root, because root owns the tree."""
        if os.geteuid() != 0 or shutil.which("debootstrap") is None:
            raise BaseUnavailable(
                f"{PUBLISHED_DEBIAN} cannot be pulled, and building Debian requires root and debootstrap",
                remedy="check the network; or run, as root: apt-get install debootstrap, then `harness images bases`",
            )
        self.log("building Debian with debootstrap (a minute or more)")
        with tempfile.TemporaryDirectory(prefix="debian-") as scratch:
            tree, archive = Path(scratch) / "tree", Path(scratch) / "tree.tar"
            run([*_DEBOOTSTRAP, str(tree)], "debootstrap cannot build Debian")
            for leftover in ("var/cache/apt/archives", "var/lib/apt/lists"):
                shutil.rmtree(tree / leftover)
                (tree / leftover / "partial").mkdir(parents=True)
            run(["tar", "-C", str(tree), "-cf", str(archive), "."], "Debian's tree cannot be packed")
            repository, _, tag = DEBIAN.partition(":")
            with translated("Debian cannot be imported"):
                answer = self.client.api.import_image_from_file(str(archive), repository, tag)
        image = find_image(self.client, DEBIAN)
        if image is None:  # the engine reports this failure in a response of status 200
            raise failure("Debian cannot be imported", answer)
        return image


def _labels(base_name: str, base_id: str, inputs: str) -> dict[str, str]:
    return {BASE_NAME: base_name, BASE_DIGEST: base_id, INPUTS: inputs}


def build_bases(bases: Bases, *, everything: bool = False) -> dict[str, str]:
    """Build stand-ins for images that cannot be pulled, and update existing stand-ins.

    Args:
        bases: The engine, settings and registries to use.
        everything: Whether to build all stand-ins, even of images that can be pulled.

    Returns:
        The ID of each image, by its name.

    Raises:
        HarnessError: An image can neither be pulled nor built.
    """
    if everything:
        return {stand_in: bases.make(stand_in) for stand_in in PUBLISHED}
    return dict(bases.find(stand_in) for stand_in in PUBLISHED)

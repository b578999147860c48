"""Layers: archives with libraries, which functions find unpacked below /opt.

    <root>/<name>/<number>-<random>/         the content of a version
    <root>/<name>/<number>-<random>.zip      its archive, as it was published

A version is never changed, and its number is given again only after a reset.
A deleted version stays on the disk while a function has it, or an environment runs with it.
https://docs.aws.amazon.com/lambda/latest/dg/chapter-layers.html
"""

import base64
import hashlib
import re
import shutil
import threading
import uuid
from collections.abc import Collection, Iterable
from datetime import UTC, datetime
from pathlib import Path

import msgspec

from harness.gateway import limits
from harness.gateway.errors import (
    code_and_layers_too_large,
    layer_version_absent,
    layers_too_large,
    no_room,
    not_found,
    other_account_layer,
    too_many_layers,
    two_versions_of_a_layer,
    wrong_region_of_layers,
)
from harness.gateway.layer_policies import LayerPolicies
from harness.gateway.records import LayerVersion
from harness.gateway.unpacking import unpack

_ARN = re.compile(
    r"arn:[a-zA-Z-]+:lambda:(?P<region>[^:]*):(?P<account>[^:]*):(?:layer|awslayer):(?P<name>[^:]+)(?::(?P<number>\d+))?"
)


class LayerDetails(msgspec.Struct, frozen=True, kw_only=True):
    """What a publisher says about a version; see `LayerVersion`."""

    description: str
    license_info: str | None
    runtimes: list[str] | None
    architectures: list[str] | None


class LayerStore:
    """All layers of the account.

    Args:
        root: Contains them; the remains of a gateway that was killed are removed.

    Attributes:
        policies: Who may use them.
    """

    def __init__(self, root: Path) -> None:
        self._root = root
        self._versions: dict[str, dict[int, LayerVersion]] = {}
        self._published: dict[str, int] = {}
        self._deleted: set[LayerVersion] = set()
        self._publishing = threading.Lock()
        self.policies = LayerPolicies()
        shutil.rmtree(root, ignore_errors=True)
        root.mkdir(parents=True)

    def publish(self, name: str, archive: bytes, details: LayerDetails) -> LayerVersion:
        """Unpack an archive as the next version of a layer; may take long.

        Raises:
            LambdaApiError: Lambda would not accept the archive.
        """
        digest = base64.b64encode(hashlib.sha256(archive).digest()).decode()
        with self._publishing:
            number = self._published.get(name, 0) + 1
            folder = self._root / name / f"{number}-{uuid.uuid4().hex[:8]}"
            file = folder.with_suffix(".zip")
            unpack(archive, folder)
            try:
                file.write_bytes(archive)
            except OSError as error:
                shutil.rmtree(folder, ignore_errors=True)
                raise no_room(str(self._root)) from error
            version = LayerVersion(
                name=name,
                number=number,
                folder=folder,
                archive=file,
                sha256=digest,
                size=len(archive),
                unzipped_bytes=unzipped_bytes(folder),
                created=datetime.now(UTC),
                description=details.description,
                license_info=details.license_info,
                runtimes=None if details.runtimes is None else tuple(details.runtimes),
                architectures=None if details.architectures is None else tuple(details.architectures),
            )
            self._published[name] = number
            self._versions.setdefault(name, {})[number] = version
        return version

    def get(self, name: str, number: int) -> LayerVersion:
        """Return a version.

        Raises:
            LambdaApiError: It does not exist.
        """
        found = self.find(name, number)
        if found is None:
            raise not_found("The resource you requested does not exist.")
        return found

    def find(self, name: str, number: int) -> LayerVersion | None:
        """Return a version; None if it does not exist."""
        return self._versions.get(name, {}).get(number)

    def names(self) -> list[str]:
        """Return the names of all layers that have a version."""
        return sorted(name for name, versions in self._versions.items() if versions)

    def versions(self, name: str) -> list[LayerVersion]:
        """Return the versions of a layer, the newest first; none of a layer that does not exist."""
        return list(self._versions.get(name, {}).values())[::-1]

    def delete(self, name: str, number: int) -> None:
        """Delete a version, if it exists; functions that have it keep it."""
        deleted = self._versions.get(name, {}).pop(number, None)
        if deleted is not None:
            self._deleted.add(deleted)
            self.policies.remove(deleted.arn)

    def delete_all(self) -> None:
        """Delete every version, and begin to count again."""
        for name, versions in self._versions.items():
            for number in list(versions):
                self.delete(name, number)
        self._published.clear()

    def code_size(self) -> int:
        """Return the size of all archives, which counts as the account's code."""
        return sum(version.size for versions in self._versions.values() for version in versions.values())

    def of_function(self, arns: list[str]) -> tuple[LayerVersion, ...]:
        """Return the versions that a function names, in its order.

        Raises:
            LambdaApiError: A version does not exist or is of another region or account, two are of the same layer, or
                there are too many.
        """
        if len(arns) > limits.MOST_LAYERS:
            raise too_many_layers()
        found: dict[str, LayerVersion] = {}
        for arn in arns:
            name, number = parse_version(arn)
            version = self.find(name, number)
            if version is None:
                raise layer_version_absent(arn, status=400)
            if name in found:
                raise two_versions_of_a_layer(found[name].arn, arn)
            found[name] = version
        return tuple(found.values())

    def remove_unneeded(self, needed: Collection[Path]) -> None:
        """Remove the files of deleted versions that nobody needs any more.

        Args:
            needed: The folders of layers that functions have, or that environments run with.
        """
        for version in [version for version in self._deleted if version.folder not in needed]:
            shutil.rmtree(version.folder, ignore_errors=True)
            version.archive.unlink(missing_ok=True)
            self._deleted.discard(version)


def parse_layer(name_or_arn: str) -> str:
    """Return the name of the layer that a name or an ARN without version names.

    Raises:
        LambdaApiError: The ARN is of another region or account.
    """
    match = _ARN.fullmatch(name_or_arn)
    if match is None:
        return name_or_arn
    if match["region"] != limits.REGION or match["account"] != limits.ACCOUNT_ID:
        raise other_account_layer(name_or_arn)
    return match["name"]


def parse_version(arn: str, *, of_function: bool = True) -> tuple[str, int]:
    """Return the name and the number in the ARN of a version, which the service model has checked.

    Args:
        arn: The ARN.
        of_function: Whether a function is to have it; AWS has words of its own for that.

    Raises:
        LambdaApiError: The ARN is of another region or account.
    """
    match = _ARN.fullmatch(arn)
    if match is None or match["account"] != limits.ACCOUNT_ID or match["number"] is None:
        raise other_account_layer(arn)
    if match["region"] != limits.REGION:
        raise wrong_region_of_layers() if of_function else other_account_layer(arn)
    return match["name"], int(match["number"])


def unzipped_bytes(folder: Path) -> int:
    """Return the size of the files in a folder, without following links."""
    return sum(entry.lstat().st_size for entry in folder.rglob("*") if not entry.is_dir() or entry.is_symlink())


def check_size(code: Path | None, layers: Iterable[LayerVersion]) -> None:
    """Refuse layers that are too large together, or together with a function's code.

    Args:
        code: The folder of the function's code; None for an image.
        layers: Its layers.

    Raises:
        LambdaApiError: They have more than 250 MB.
    """
    size = sum(version.unzipped_bytes for version in layers)
    if size >= limits.UNZIPPED_BYTES:
        raise layers_too_large()
    if size and code is not None and (size := size + unzipped_bytes(code)) >= limits.UNZIPPED_BYTES:
        raise code_and_layers_too_large(size)

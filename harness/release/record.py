"""The record of a release: which images passed which checks, and where they were pushed.

It lies in `release/images.json` and travels with the release: commit it, or attach it.
An image is known by its ID, the digest of its configuration, which a rebuild changes and nothing else.
A registry gives it a second name when it is pushed there: the digest of its manifest.
"""

from datetime import UTC, datetime
from pathlib import Path

import msgspec

from harness.errors import HarnessError
from harness.images.facts import Facts
from harness.system import records

FILE_NAME = "release/images.json"


class Unverified(HarnessError):
    """The image is not one that passed its checks."""


class CheckResult(msgspec.Struct, frozen=True):
    """One check that an image passed: what it found, and how long it took."""

    name: str
    found: str
    seconds: float


class Push(msgspec.Struct, frozen=True):
    """One place that an image was pushed to; `repository@digest` is what AWS creates a function from."""

    repository: str
    tag: str
    digest: str
    time: datetime


class Verified(msgspec.Struct, frozen=True):
    """An image that passed all its checks."""

    image: Facts
    checks: tuple[CheckResult, ...]
    time: datetime
    pushes: tuple[Push, ...] = ()


class Release(msgspec.Struct, frozen=True):
    """The verified images, one of each name and architecture: the newest."""

    images: tuple[Verified, ...] = ()

    def find(self, image_id: str) -> Verified | None:
        """The record of that very image; None when it did not pass."""
        return next((entry for entry in self.images if entry.image.image_id == image_id), None)

    def with_entry(self, entry: Verified) -> "Release":
        """The release with this image in the place of an older one."""
        key = (entry.image.name, entry.image.architecture)
        others = [other for other in self.images if (other.image.name, other.image.architecture) != key]
        return Release(tuple(sorted((*others, entry), key=lambda one: (one.image.name, one.image.architecture))))

    def without(self, image_id: str) -> "Release":
        """The release without that image, which failed since."""
        return Release(tuple(entry for entry in self.images if entry.image.image_id != image_id))


def load_release(root: Path) -> Release:
    """The project's record; an empty one when there is none yet.

    Raises:
        HarnessError: The file is damaged.
    """
    path = root / FILE_NAME
    try:
        return records.decode(path.read_bytes(), Release)
    except FileNotFoundError:
        return Release()
    except msgspec.DecodeError as error:
        raise HarnessError(
            f"the record of verified images is damaged: {error}", str(path), "restore or remove it, then verify again"
        ) from error


def save_release(root: Path, release: Release) -> None:
    """Replaces the project's record."""
    path = root / FILE_NAME
    path.parent.mkdir(exist_ok=True)
    records.save(release, path)


def check_verified(facts: Facts, release: Release, source_sha256: str) -> Verified:
    """The image's record, when it passed its checks and was built from the source as it is now.

    Args:
        facts: The image.
        release: What passed.
        source_sha256: Of the working tree, as `catalogue.source_sha256` has it.

    Raises:
        Unverified: It did not pass, or its source was changed since.
    """
    if facts.source_sha256 != source_sha256:
        raise Unverified(
            f"image {facts.name} was built from other sources than those in the working tree",
            f"{facts.image_id}, revision {facts.revision or 'unknown'}",
            f"run `harness images build {facts.name}` and `harness images verify {facts.name}`",
        )
    verified = release.find(facts.image_id)
    if verified is None:
        raise Unverified(
            f"image {facts.name} has not been verified",
            facts.image_id,
            f"run `harness images verify {facts.name}`",
        )
    return verified


def now() -> datetime:
    """The time, to the second, as records keep it."""
    return datetime.now(UTC).replace(microsecond=0)

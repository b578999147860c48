"""The record of a release: which images passed which checks, and where they were pushed.

It is stored in `release/images.json` and is part of the release: commit it, or attach it.
An image is identified by its ID, the digest of its configuration, which only a rebuild changes.
A registry identifies a pushed image by another digest, that of its manifest.
"""

from datetime import UTC, datetime
from pathlib import Path

import msgspec

from harness.errors import HarnessError
from harness.images.facts import Facts
from harness.system import records

FILE_NAME = "release/images.json"


class Unverified(HarnessError):
    """The image has not passed its checks."""


class CheckResult(msgspec.Struct, frozen=True):
    """A check that an image passed: its finding, and how long it took."""

    name: str
    found: str
    seconds: float


class Push(msgspec.Struct, frozen=True):
    """A push of an image; AWS creates a function from `repository@digest`."""

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
    """The verified images: the newest of each name and architecture."""

    images: tuple[Verified, ...] = ()

    def find(self, image_id: str) -> Verified | None:
        """Return the record of exactly this image; None if it has not passed."""
        return next((entry for entry in self.images if entry.image.image_id == image_id), None)

    def with_entry(self, entry: Verified) -> "Release":
        """Return the release with this image in place of an older one."""
        key = (entry.image.name, entry.image.architecture)
        others = [other for other in self.images if (other.image.name, other.image.architecture) != key]
        return Release(tuple(sorted((*others, entry), key=lambda one: (one.image.name, one.image.architecture))))

    def without(self, image_id: str) -> "Release":
        """Return the release without this image, which has failed since."""
        return Release(tuple(entry for entry in self.images if entry.image.image_id != image_id))


def load_release(root: Path) -> Release:
    """Return the project's record; an empty one if there is none yet.

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
    """Replace the project's record."""
    path = root / FILE_NAME
    path.parent.mkdir(exist_ok=True)
    records.save(release, path)


def check_verified(facts: Facts, release: Release, source_sha256: str) -> Verified:
    """Return the image's record, if it has passed its checks and was built from the current source.

    Args:
        facts: The image.
        release: The record of verified images.
        source_sha256: The hash of the working tree, from `catalogue.source_sha256`.

    Raises:
        Unverified: It has not passed, or its source has changed since.
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
    """Return the current time to the second, the precision of records."""
    return datetime.now(UTC).replace(microsecond=0)

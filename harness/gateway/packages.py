"""What functions are created from in process mode: deployment packages, unpacked into folders."""

import base64
import binascii
import hashlib
import io
import shutil
import uuid
import zipfile
import zlib
from pathlib import Path

from harness.gateway import limits
from harness.gateway.errors import invalid_parameter
from harness.gateway.records import Package, Packages
from harness.gateway.requests import Code, ImageConfig


def folder_packages(root: Path) -> Packages:
    """Takes deployment packages, and unpacks each into a folder below `root`."""

    def unpack(name: str, code: Code, config: ImageConfig, architecture: str) -> Package:
        del config
        if code.image_uri or code.s3_bucket or code.zip_file is None:
            raise invalid_parameter("Process mode takes deployment packages as Code.ZipFile only.")
        if architecture != limits.ARCHITECTURE:
            raise invalid_parameter(f"This machine runs functions of {limits.ARCHITECTURE} only, not {architecture}.")
        try:
            package = base64.b64decode(code.zip_file, validate=True)
            archive = zipfile.ZipFile(io.BytesIO(package))
        except (binascii.Error, zipfile.BadZipFile) as error:
            raise invalid_parameter(
                "Could not unzip uploaded file. Please check your file, then try to upload again."
            ) from error
        digest = hashlib.sha256(package)
        folder = root / name / digest.hexdigest()[:16]
        if not folder.exists():
            _extract(archive, folder)
        return Package(folder=folder, sha256=base64.b64encode(digest.digest()).decode(), size=len(package))

    return unpack


def _extract(archive: zipfile.ZipFile, folder: Path) -> None:
    """Unpacks into a folder that appears whole or not at all."""
    partial = folder.with_suffix(f".{uuid.uuid4().hex}")
    try:
        archive.extractall(partial)
        partial.rename(folder)
    except (zipfile.BadZipFile, zlib.error) as error:
        shutil.rmtree(partial, ignore_errors=True)
        raise invalid_parameter(f"Could not unzip uploaded file: {error}") from error
    except FileExistsError:
        shutil.rmtree(partial)  # another call with the same package was quicker

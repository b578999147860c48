"""The store of layers: what stays on the disk, and what a reset leaves."""

import io
import zipfile
from pathlib import Path

import pytest

from harness.gateway.errors import LambdaApiError
from harness.gateway.layer_store import LayerDetails, LayerStore, check_size, parse_layer, parse_version

NOTHING = LayerDetails(description="", license_info=None, runtimes=None, architectures=None)


def archive() -> bytes:
    """Return an archive with one file of 3 bytes."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as package:
        package.writestr("python/alpha.py", "a=1")
    return buffer.getvalue()


@pytest.fixture
def layers(tmp_path: Path) -> LayerStore:
    """A store without layers."""
    return LayerStore(tmp_path / "layers")


def files(folder: Path) -> list[str]:
    """Return the names of the files in a folder."""
    return sorted(path.name for path in folder.rglob("*") if path.is_file())


def test_a_deleted_version_stays_as_long_as_somebody_needs_it(layers: LayerStore, tmp_path: Path) -> None:
    """Its content and its archive are removed afterwards, those of other versions are not."""
    one, two = (layers.publish("alpha", archive(), NOTHING) for _ in range(2))
    layers.delete("alpha", 1)
    layers.remove_unneeded({one.folder})
    assert files(one.folder) == ["alpha.py"]
    layers.remove_unneeded(set())
    assert not one.folder.exists()
    assert not one.archive.exists()
    assert files(tmp_path) == sorted(["alpha.py", two.archive.name])


def test_a_reset_begins_to_count_again(layers: LayerStore) -> None:
    """Files that are still needed do not stand in the way."""
    before = layers.publish("alpha", archive(), NOTHING)
    layers.delete_all()
    assert layers.names() == []
    after = layers.publish("alpha", archive(), NOTHING)
    assert (before.number, after.number) == (1, 1)
    assert before.folder != after.folder


def test_a_refused_archive_leaves_no_version(layers: LayerStore, tmp_path: Path) -> None:
    """Nor does it use a number."""
    with pytest.raises(LambdaApiError, match="Could not unzip"):
        layers.publish("alpha", b"no archive", NOTHING)
    assert files(tmp_path) == []
    assert layers.publish("alpha", archive(), NOTHING).number == 1


def test_sizes_are_those_of_the_content(layers: LayerStore, tmp_path: Path) -> None:
    """A link counts as itself."""
    (tmp_path / "link").symlink_to("/usr")
    version = layers.publish("alpha", archive(), NOTHING)
    assert version.unzipped_bytes == 3
    check_size(tmp_path, [version])


def test_layers_of_others_are_refused(layers: LayerStore) -> None:
    """Only this account's layers of this region exist here, and the error says so."""
    del layers
    assert parse_layer("arn:aws:lambda:us-east-1:123456789012:layer:alpha") == "alpha"
    for name in (
        "arn:aws:lambda:us-east-1:999999999999:layer:alpha",
        "arn:aws:lambda:sa-east-1:123456789012:layer:alpha",
    ):
        with pytest.raises(LambdaApiError, match="publish a copy"):
            parse_layer(name)
    with pytest.raises(LambdaApiError, match="publish a copy"):
        parse_version("arn:aws:lambda:us-east-1:017000801446:layer:AWSLambdaPowertoolsPythonV3-python311-x86_64:7")

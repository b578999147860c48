"""Deployment packages: unpacked as by Lambda, or refused in its words without leaving anything behind."""

import base64
import hashlib
import io
import os
import random
import stat
import struct
import warnings
import zipfile
from datetime import UTC, datetime

import pytest

from harness.gateway import limits
from harness.gateway.errors import LambdaApiError
from harness.gateway.packages import CodeFolders
from harness.gateway.records import Function
from harness.gateway.requests import FunctionCode, ImageConfig

FILE, PROGRAM, LINK, FOLDER, PIPE = 0o100644, 0o100755, 0o120777, 0o040755, 0o010644
APP = ("app.py", "def handler(event, context): return 1", FILE)
COULD_NOT_UNZIP = "Could not unzip uploaded file. Please check your file, then try to upload again."


@pytest.fixture
def folders(tmp_path):
    """Return an empty code store."""
    return CodeFolders(tmp_path / "functions")


@pytest.fixture
def unpack(folders):
    """Return a function that unpacks a package of function `f`."""
    return lambda data: folders.package(
        "f", FunctionCode(base64.b64encode(data).decode()), ImageConfig(), limits.ARCHITECTURE
    )


def zipped(*entries, method=zipfile.ZIP_DEFLATED):
    """Return a zip of (name, content, mode)."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # two entries have the same name
        for name, content, mode in entries:
            info = zipfile.ZipInfo(name)
            info.create_system, info.external_attr = 3, mode << 16
            archive.writestr(info, content, method)
            info.external_attr = mode << 16  # zipfile would replace no mode by 600
    return buffer.getvalue()


def changed(data, offset, new, *, in_directory):
    """Return the zip with other bytes in its first header, and at the same place of the central directory's."""
    altered = bytearray(data)
    for signature, at in ((b"PK\3\4", offset), (b"PK\1\2", in_directory)):
        place = data.index(signature) + at
        altered[place : place + len(new)] = new
    return bytes(altered)


def refusal(unpack, data):
    """Return the status, code and message with which a package is refused."""
    with pytest.raises(LambdaApiError) as caught:
        unpack(data)
    return caught.value.status, caught.value.type_, caught.value.message


def function_of(package, **changes):
    """Return a function with that code."""
    values = {
        "name": "f", "role": "", "runtime": "python3.11", "handler": "app.handler", "description": "", "timeout_s": 3,
        "memory_mb": 128, "environment": None, "package": package, "modified": datetime.now(UTC), "revision": "1",
    }  # fmt: skip
    return Function(**(values | changes))


def test_modes_and_links_are_kept(unpack):
    """A program stays executable, and a library is found by the names that link to it, folders included."""
    data = zipped(
        APP,
        ("bin/tool", "#!/bin/sh", PROGRAM),
        ("lib/libx.so.1", "ELF", PROGRAM),
        ("lib/libx.so", "libx.so.1", LINK),
        ("lib64", "lib", LINK),
        ("locked/", "", 0o040555),
        ("secret", "", 0o104600),
    )

    package = unpack(data)

    folder = package.folder
    modes = {name: oct(os.lstat(folder / name).st_mode) for name in ("app.py", "bin/tool", "lib/libx.so", "secret")}
    assert {
        "app.py": "0o100644",
        "bin/tool": "0o100755",
        "lib/libx.so": "0o120777",
        "secret": "0o100600",
    } == modes
    assert "ELF" == (folder / "lib64" / "libx.so").read_text()
    assert (len(data), base64.b64encode(hashlib.sha256(data).digest()).decode()) == (package.size, package.sha256)


@pytest.mark.parametrize("name", ["./sub//mod.py", "sub/mod.py"])
def test_names_are_taken_as_the_usual_tools_write_them(unpack, name):
    """They may start with `./`, and non-ASCII names may lack the flag for UTF-8."""
    data = zipped(APP, (name, "x = 1", FILE), ("mödul.py", "x = 2", FILE))
    for signature, at in ((b"PK\3\4", 6), (b"PK\1\2", 8)):
        place = data.rindex(signature) + at
        data = data[:place] + b"\0\0" + data[place + 2 :]

    folder = unpack(data).folder

    assert ["x = 1", "x = 2"] == [(folder / path).read_text() for path in ("sub/mod.py", "mödul.py")]


def test_a_package_of_no_modes_is_readable(unpack):
    """Tools of other systems store no modes: files get 644, folders 755."""
    folder = unpack(zipped(("app.py", "", 0), ("d/", "", 0))).folder

    assert (0o644, 0o755) == tuple(stat.S_IMODE((folder / name).stat().st_mode) for name in ("app.py", "d"))


WHOLE = zipped(APP)
ODD = {
    "a file, then a folder of its name": zipped(("lib", "", FILE), ("lib/x.py", "", FILE)),
    "a folder, then a file of its name": zipped(("lib/x.py", "", FILE), ("lib", "", FILE)),
    "a file in a linked folder": zipped(("lib", "/x", LINK), ("lib/x.py", "", FILE)),
    "a file of a link's name": zipped(("lib", "/x/x", LINK), ("lib", "", FILE)),
    "two entries of one name": zipped(APP, APP),
    "two ways to write one name": zipped(APP, ("./app.py", "", FILE)),
    "above the root": zipped(("../evil.py", "", FILE)),
    "above the root, further in": zipped(("a/../../evil.py", "", FILE)),
    "an absolute name": zipped(("/evil.py", "", FILE)),
    "a backslash": zipped(("sub\\mod.py", "", FILE)),
    "a long name": zipped(("n" * 300, "", FILE)),
    "a long name in UTF-8": zipped(("ü" * 200, "", FILE)),
    "a long path": zipped(("/".join(["d" * 200] * 25), "", FILE)),
    "a deep folder": zipped(("d/" * 1000 + "f", "", FILE)),
    "a pipe": zipped(("pipe", "", PIPE)),
    "a link to nothing": zipped(("link", "", LINK)),
    "a link with a NUL": zipped(("link", "a\0b", LINK)),
    "the root itself": zipped((".", "", FILE)),
    "encrypted": changed(WHOLE, 6, b"\1", in_directory=8),
    "zstandard": changed(WHOLE, 8, struct.pack("<H", 93), in_directory=10),
    "a damaged byte": WHOLE[:40] + bytes([WHOLE[40] ^ 0xFF]) + WHOLE[41:],
    "cut off": WHOLE[:-30],
    "a NUL in a name": WHOLE.replace(b"app.py", b"ap\0.py"),
    "something else": b"\x1f\x8b" + bytes(200),
}  # fmt: skip


@pytest.mark.parametrize("data", ODD.values(), ids=ODD)
def test_what_lambda_cannot_unzip_is_refused(unpack, tmp_path, data):
    """Each error is AWS's `InvalidParameterValueException`, and nothing stays on the disk."""
    status, code, message = refusal(unpack, data)

    assert (400, "InvalidParameterValueException") == (status, code)
    assert message.startswith(COULD_NOT_UNZIP)
    assert [tmp_path / "functions"] == list(tmp_path.rglob("*"))


@pytest.mark.parametrize("data", [b"", zipped()])
def test_an_empty_package_is_refused(unpack, data):
    """The message is AWS's."""
    message = "Uploaded file must be a non-empty zip"

    assert (400, "InvalidParameterValueException", message) == refusal(unpack, data)


def test_any_damage_is_a_refusal(unpack, tmp_path):
    """Whatever bytes are altered, a package is either unpacked or refused, and a refused one leaves nothing behind."""
    chance = random.Random(1)
    data = zipped(APP, ("a/link", "../app.py", LINK), ("d/", "", FOLDER), ("ü.bin", b"x" * 3000, FILE))
    statuses = set()
    for _ in range(200):
        altered = bytearray(data)
        for _ in range(chance.randint(1, 4)):
            altered[chance.randrange(len(data))] = chance.randrange(256)
        try:
            unpack(bytes(altered[: chance.choice((len(data), chance.randrange(len(data))))]))
        except LambdaApiError as error:
            statuses.add(error.status)
    assert {400} == statuses
    left = {path.name for path in (tmp_path / "functions" / "f").iterdir()}
    assert {name.removesuffix(".zip") for name in left} == {name for name in left if "." not in name}


def test_sizes_above_awss_limits_are_refused(unpack, tmp_path, monkeypatch):
    """Zipped, unzipped, and unzipped with headers that claim less: the codes are AWS's, and nothing stays."""
    monkeypatch.setattr(limits, "ZIPPED_BYTES", 10_000)
    monkeypatch.setattr(limits, "UNZIPPED_BYTES", 100_000)
    bomb = zipped(APP, ("big", bytes(200_000), FILE))

    assert (413, "RequestEntityTooLargeException", "Zipped size must be smaller than 10000 bytes") == refusal(
        unpack, zipped(APP, ("big", random.Random(1).randbytes(10_000), FILE))
    )
    too_large = (400, "InvalidParameterValueException", "Unzipped size must be smaller than 100000 bytes")
    assert too_large == refusal(unpack, bomb)
    lying = bomb.replace(struct.pack("<I", 200_000), struct.pack("<I", 50_000))
    assert 400 == refusal(unpack, lying)[0]
    assert [tmp_path / "functions"] == list(tmp_path.rglob("*"))


def test_code_goes_when_no_version_has_it_and_no_environment_runs_it(unpack, folders):
    """An environment keeps the code that it was started with; code that nobody needs is removed."""
    old, new = unpack(zipped(APP)), unpack(zipped(APP, ("more", "", FILE)))
    running = function_of(old)
    folders.hold(running)

    folders.remove_all_but({new.folder})
    assert old.folder.is_dir()
    assert new.folder.is_dir()

    folders.release(running)
    assert folders.unneeded.is_set()
    folders.remove_all_but({new.folder})
    assert not old.folder.exists()
    folders.remove_all_but(set())
    assert not new.folder.parent.exists()

"""What of a function's folder is packed: what runs, with modes and links, and nothing that changes by itself."""

import io
import os
import re
import zipfile

import pytest

from harness.errors import HarnessError
from harness.gateway import limits
from harness.runs.functions import package
from harness.settings import FunctionSettings


@pytest.fixture
def source(tmp_path):
    """A function's folder."""
    folder = tmp_path / "project"
    folder.mkdir()
    (folder / "app.py").write_text("def handler(event, context): return 1")
    return folder


def packed(source, **settings):
    """The package's bytes."""
    return package(FunctionSettings(source=source, handler="app.handler", **settings))


def entries(source, **settings):
    """Mode and content by name."""
    with zipfile.ZipFile(io.BytesIO(packed(source, **settings))) as archive:
        return {
            info.filename: (oct(info.external_attr >> 16), archive.read(info).decode()) for info in archive.infolist()
        }


def write(path, text="", mode=0o644):
    """A file with its folders."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    path.chmod(mode)


def test_programs_and_links_are_packed_as_such(source):
    """A program stays one whatever the umask, and a link within the folder; empty folders are there."""
    write(source / "bin" / "tool", "#!/bin/sh", 0o700)
    write(source / "lib" / "libx.so.1", "ELF", 0o600)
    (source / "lib" / "libx.so").symlink_to("libx.so.1")
    (source / "lib64").symlink_to("lib")
    (source / "lib" / "data").symlink_to("../data")
    (source / "data").mkdir()
    (source / "opt").symlink_to("/opt/no/such/folder")

    found = entries(source)

    del found["app.py"]
    assert {
        "bin/tool": ("0o100755", "#!/bin/sh"),
        "lib/libx.so.1": ("0o100644", "ELF"),
        "lib/libx.so": ("0o120777", "libx.so.1"),
        "lib64": ("0o120777", "lib"),
        "lib/data": ("0o120777", "../data"),
        "data/": ("0o40755", ""),
        "opt": ("0o120777", "/opt/no/such/folder"),
    } == found


def test_what_a_link_finds_elsewhere_is_packed(source, tmp_path):
    """A link that Lambda could not follow is replaced by what it leads to, and links within that stay."""
    write(tmp_path / "shared" / "lib.so.1", "shared")
    (tmp_path / "shared" / "lib.so").symlink_to("lib.so.1")
    write(tmp_path / ".venv" / "pyvenv.cfg")
    write(tmp_path / ".venv" / "lib" / "dep.py", "dep")
    (source / "shared").symlink_to("../shared")
    (source / "absolute.py").symlink_to(source / "app.py")
    (source / "around.py").symlink_to("../project/app.py")
    (source / "dep.py").symlink_to("../.venv/lib/dep.py")
    write(source / "__pycache__" / "x.pyc", "cache")
    (source / "x.pyc").symlink_to("__pycache__/x.pyc")

    found = entries(source)

    code = found.pop("app.py")
    assert {
        "shared/lib.so.1": ("0o100644", "shared"),
        "shared/lib.so": ("0o120777", "lib.so.1"),
        "absolute.py": code,
        "around.py": code,
        "dep.py": ("0o100644", "dep"),
        "x.pyc": ("0o100644", "cache"),
    } == found


def test_a_folder_that_links_to_itself_is_refused(source):
    """Packing would not end; the error names the link."""
    (source / "sub").mkdir()
    (source / "sub" / "up").symlink_to("../..")

    with pytest.raises(HarnessError, match=r"sub/up.*links to a folder around it"):
        packed(source)


def test_what_does_not_run_on_lambda_is_left_out_and_changes_nothing(source):
    """Environments, repositories, caches, the harness's state: with or without them, the bytes are the same."""
    before = packed(source)
    os.utime(source / "app.py", (1, 1))
    (source / "app.py").chmod(0o600)
    for name in (".git/HEAD", ".harness/state.json", "__pycache__/app.pyc", "a/.pytest_cache/x", ".idea/w.xml"):
        write(source / name, "changes by itself")
    write(source / "env" / "pyvenv.cfg")
    write(source / "env" / "lib" / "big.py")
    write(source / "conda" / "conda-meta" / "history")
    os.mkfifo(source / "pipe")
    (source / "a" / "only").mkdir()
    (source / "a" / "only").rmdir()

    assert before == packed(source)


def test_the_same_content_gives_the_same_bytes_in_another_place(source, tmp_path):
    """Neither the place nor the order in which files were made counts."""
    other = tmp_path / "copy"
    for folder, names in ((source, ("a.py", "b/c.py")), (other, ("b/c.py", "a.py", "app.py"))):
        for name in names:
            write(folder / name, "x" if name != "app.py" else (source / "app.py").read_text())

    assert packed(source) == packed(other)


def test_sizes_that_lambda_refuses_are_told_before_the_call(source, monkeypatch):
    """The error names both sizes, and what weighs most."""
    monkeypatch.setattr(limits, "UNZIPPED_BYTES", 10_000)
    monkeypatch.setattr(limits, "ZIPPED_BYTES", 1_000)
    write(source / "vendor" / "torch" / "large.so", "0" * 7_000)
    write(source / "vendor" / "numpy" / "small.so", "0" * 100)
    write(source / "noise.bin", "".join(map(chr, range(32, 127))) * 8)

    packed(source)
    (source / "more.bin").write_bytes(os.urandom(950))
    with pytest.raises(HarnessError, match="bytes zipped; Lambda takes less than 1000") as zipped:
        packed(source)
    (source / "more.bin").unlink()
    write(source / "vendor" / "numpy" / "more.so", "0" * 3_000)
    with pytest.raises(HarnessError, match="bytes unzipped; Lambda takes less than 10000") as unzipped:
        packed(source)

    assert zipped.value.where.startswith("largest: more.bin ")
    assert re.match(r"largest: vendor/torch/ [\d.]+ MB, vendor/numpy/ ", unzipped.value.where)


def test_what_cannot_be_packed_is_named(source):
    """A name that is not UTF-8, and a file that may not be read."""
    (source / os.fsdecode(b"caf\xe9.py")).touch()

    with pytest.raises(HarnessError, match=r"caf\\xe9.py: its name is not UTF-8"):
        packed(source)


def test_a_file_that_cannot_be_read_is_named(source):
    """The error says which, and what the system says of it."""
    (source / "memory.py").symlink_to("/proc/self/mem")

    with pytest.raises(HarnessError, match=r"memory.py cannot be packed: Input/output error"):
        packed(source)


def test_a_projects_root_is_packed_without_its_tests_and_settings(source):
    """They are of the project, not of the function; in a folder below the root they are files like any other."""
    for name in ("harness.toml", "tests/test_app.py", "conftest.py", "requirements-dev.txt", ".github/ci.yml"):
        write(source / name)
        write(source / "inner" / name)

    assert {"app.py"} | {name for name in entries(source) if name.startswith("inner/")} == set(entries(source))
    assert "inner/tests/test_app.py" in entries(source)
    assert {"tests/test_app.py", "app.py"} < set(entries(source, exclude=("!/tests/",)))


def test_patterns_leave_out_as_in_gitignore(source):
    """They match names in the package, those of included folders too, and the last one that matches decides."""
    library = source.with_name("library")
    for name in ("data/rows.csv", "notes.md", "keep.md", "docs/page.md"):
        write(source / name)
        write(library / name)

    found = set(entries(source, include=(library,), exclude=("*.md", "!keep.md", "/data/")))

    assert {"app.py", "keep.md", "library/keep.md", "library/data/rows.csv"} == found


def test_a_pattern_that_is_none_is_named(source):
    """A slip is not ignored."""
    with pytest.raises(HarnessError, match="'!'"):
        entries(source, exclude=("*.md", "!"))

"""What of a function's folder is packed: what runs, with modes and links, and nothing that changes by itself."""

import io
import os
import re
import tempfile
import zipfile
from contextlib import contextmanager
from pathlib import Path

import pytest

from harness.errors import HarnessError
from harness.gateway import limits
from harness.runs.functions import package
from harness.runs.layers import ensure_layers
from harness.runs.packing import is_packed
from harness.settings import FunctionSettings, with_absolute_paths


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


NOBODY = 65_534


@contextmanager
def as_user():
    """Without the rights of root, to whom no folder is closed."""
    if os.geteuid() != 0:
        yield
        return
    os.seteuid(NOBODY)
    try:
        yield
    finally:
        os.seteuid(0)


@pytest.fixture
def closed():
    """A function that makes a folder which nobody may look into."""
    folders = []

    def close(folder):
        folder.mkdir(parents=True, exist_ok=True)
        folder.chmod(0)
        folders.append(folder)
        return folder

    yield close
    for folder in folders:
        folder.chmod(0o700)


@pytest.fixture
def public():
    """A function's folder that every user can reach."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        folder.chmod(0o755)
        source = folder / "project"
        source.mkdir()
        (source / "app.py").write_text("def handler(event, context): return 1")
        packed(source)  # whatever is imported for it is imported as the user who may
        yield source


@pytest.mark.parametrize(
    ("place", "options"),
    [
        ("pgdata", {"exclude": ("pgdata",)}),
        ("pgdata", {"exclude": ("/pgdata/",)}),
        (".venv", {}),
        (".git", {}),
        ("a/.pytest_cache", {}),
    ],
)
def test_a_folder_that_is_left_out_is_not_looked_into(public, closed, place, options):
    """It may be another user's, such as the data of a database."""
    write(public / "a" / "b.py")
    before = packed(public)
    closed(public / place)

    with as_user():
        after = packed(public, **options)

    assert before == after


def test_a_folder_that_cannot_be_read_is_named(public, closed):
    """The error is about the folder, not about a file that may be in it, and tells how to leave it out."""
    folder = closed(public / "db" / "pgdata")

    with as_user(), pytest.raises(HarnessError) as caught:
        packed(public)

    assert f"{folder} cannot be packed: Permission denied" == caught.value.what
    assert '`exclude = ["/db/pgdata"]`' in caught.value.remedy
    with as_user():
        assert is_packed(folder)
        assert {"app.py"} == set(entries(public, exclude=("/db/pgdata",)))


def test_a_source_that_cannot_be_read_is_named_itself(public, closed):
    """Not a file that might be in it."""
    closed(public)

    with as_user(), pytest.raises(HarnessError) as caught:
        packed(public)

    assert f"{public} cannot be packed: Permission denied" == caught.value.what


def test_a_folder_behind_a_link_is_told_with_the_link(public, closed):
    """The link is the user's to remove or to exclude."""
    outside = public.parent / "etc"
    closed(outside / "polkit" / "rules.d")
    (public / "etc").symlink_to(outside)

    with as_user(), pytest.raises(HarnessError) as caught:
        packed(public)

    assert f"{public}/etc/polkit/rules.d cannot be packed: Permission denied" == caught.value.what
    assert f"through the link {public}/etc to {outside}" == caught.value.where
    assert '`exclude = ["/etc"]`' in caught.value.remedy
    with as_user():
        assert {"app.py"} == set(entries(public, exclude=("/etc",)))


def test_a_layers_file_that_cannot_be_read_is_named(source, tmp_path):
    """Layers have no `exclude`."""
    layer = tmp_path / "layer"
    (layer / "python").mkdir(parents=True)
    (layer / "python" / "memory").symlink_to("/proc/self/mem")
    settings = FunctionSettings(source=source, handler="app.handler", layers=(layer,))

    with pytest.raises(HarnessError, match="python/memory cannot be packed: Input/output error") as caught:
        ensure_layers(settings, tmp_path / "cache", log=print)

    assert "exclude" not in caught.value.remedy


@pytest.mark.parametrize(
    ("settings", "what", "remedy"),
    [
        ({"source": "gone"}, "function folder {}/gone does not exist", "correct `source` in harness.toml"),
        ({"include": ("gone",)}, "function folder {}/gone does not exist", "correct `include` in harness.toml"),
        ({"layers": ("gone",)}, "layer {}/gone does not exist", "correct `layers` in harness.toml"),
        ({"source": "app.py"}, "{}/app.py is a file, not a folder", "correct `source`"),
        ({"source": "app.py/f"}, "function folder {}/app.py/f does not exist", "correct `source`"),
        ({"source": "~/f"}, "function folder {}/~/f does not exist", "~ is not your home there"),
    ],
)
def test_a_folder_that_is_none_is_told_with_its_key(source, tmp_path, settings, what, remedy):
    """A missing folder, a file, and a path that only a shell would understand."""
    table = FunctionSettings(**{"source": Path(), "handler": "app.handler"} | settings)
    function = with_absolute_paths(table, source)

    with pytest.raises(HarnessError) as caught:
        package(function, layers=ensure_layers(function, tmp_path / "cache", log=print))

    assert what.format(source) == caught.value.what
    assert remedy in caught.value.remedy


@pytest.mark.parametrize(
    ("handler", "files", "exclude", "remedy"),
    [
        ("app.handler", (), ("*",), "mend `exclude`"),
        ("lib.app.handler", ("lib/app.py",), ("lib/",), "mend `exclude`"),
        ("shared.app.handler", ("../shared/app.py",), ("/shared/",), "mend `exclude`"),
        ("test_it.handler", ("harness.toml", "test_it.py"), (), '`exclude = ["!/test_it.py"]`'),
        ("tests.app.handler", ("harness.toml", "tests/app/__init__.py"), (), '`exclude = ["!/tests/"]`'),
    ],
)
def test_a_handler_that_is_left_out_is_told_so(source, handler, files, exclude, remedy):
    """Its file is there, so neither its name nor its folder is wrong."""
    write(source.parent / "shared" / "other.py")
    for name in files:
        write(source / name)
    function = FunctionSettings(source=source, handler=handler, include=(source.parent / "shared",), exclude=exclude)

    with pytest.raises(HarnessError, match=rf"handler {handler} needs a file ") as caught:
        package(function)

    assert caught.value.where.endswith(".py is left out of the package")
    assert remedy in caught.value.remedy


def test_a_name_with_a_backslash_is_refused_with_its_path(source):
    """The gateway, as other tools that unpack, would take it for a separator, and could not tell where it lies."""
    write(source / "a\\b")

    with pytest.raises(HarnessError, match=r"project/a\\b: its name has a backslash"):
        packed(source)

    assert {"app.py"} == set(entries(source, exclude=("a*b",)))

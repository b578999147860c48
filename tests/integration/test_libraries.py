"""Libraries built by pip: what is built, what it counts, and what cannot be built."""

import io
import re
import zipfile

import pytest

from harness.errors import HarnessError
from harness.gateway import limits
from harness.runs.functions import package
from harness.runtimes import environments, interpreters
from harness.runtimes.environments import ensure_environment
from harness.runtimes.libraries import ensure_libraries, files_of, sizes_of
from harness.runtimes.requirements import requirements_of
from harness.settings import OWN_RUNTIME, FunctionSettings
from tests.support.gateway import CACHE


@pytest.fixture
def source(tmp_path):
    """A function's folder."""
    (tmp_path / "app.py").write_text("def handler(event, context): return 1")
    return tmp_path


def function(source, **settings):
    """Its table in harness.toml."""
    return FunctionSettings(source=source, handler="app.handler", **settings)


def build(source, **settings):
    """The folders of its libraries."""
    return ensure_libraries(function(source, **settings), CACHE, log=print)


def refusal(source, **settings):
    """The lines of the error of a build."""
    with pytest.raises(HarnessError) as caught:
        build(source, **settings)
    lines = str(caught.value).splitlines()
    assert len(lines) <= 3
    return lines


def test_equal_requirements_are_one_build_wherever_they_lie(source, tmp_path_factory):
    """Comments and the folder do not count; a pyproject.toml's dependencies are requirements, too."""
    other = tmp_path_factory.mktemp("other")
    (source / "requirements.txt").write_text("# a comment\niniconfig==2.1.0  # small\n")
    (other / "pyproject.toml").write_text('[project]\nname = "x"\ndependencies = ["iniconfig==2.1.0"]\n')

    assert build(source) == build(other)
    (folder,) = build(source)
    assert {"iniconfig/__init__.py", "iniconfig-2.1.0.dist-info/RECORD"} <= {
        path.relative_to(folder).as_posix() for path in files_of(folder)
    }


def test_no_requirements_are_no_libraries(source):
    """An empty list is none, whatever lies beside the handler."""
    assert [] == build(source)
    (source / "requirements.txt").write_text("# none yet\n")
    assert [] == build(source)
    (source / "requirements.txt").write_text("iniconfig==2.1.0\n")
    assert [] == build(source, requirements=())


def test_scripts_are_left_out_and_the_record_says_so(source):
    """A script names the interpreter of this machine: another machine's package would differ."""
    (source / "requirements.txt").write_text("humanfriendly==10.0\n")

    (folder,) = build(source)

    assert not (folder / "bin").exists()
    (record,) = folder.glob("humanfriendly-*.dist-info/RECORD")
    assert "bin/" not in record.read_text()


@pytest.mark.parametrize(
    ("text", "words", "mend"),
    [
        (
            "no-such-package-at-all==1.0",
            "Could not find a version that satisfies the requirement no-such-package-at-all",
            f"check the package's name and the network; .*{OWN_RUNTIME}",
        ),
        ("iniconfig==99.0", r"iniconfig==99.0 \(from versions: .*2\.1\.0", OWN_RUNTIME),
        ("iniconfig==2.1.0 --hash=sha256:" + 64 * "0", "DO NOT MATCH THE HASHES", OWN_RUNTIME),
        ("pytest==8.3.5\niniconfig==0.1", "The user requested iniconfig==0.1|iniconfig==0.1", OWN_RUNTIME),
        ("a b c", "Invalid requirement: 'a b c'", "correct that line"),
        ("iniconfig ===== 3", "Invalid requirement: 'iniconfig ===== 3'", "correct that line"),
    ],
)
def test_what_pip_cannot_resolve_is_told_with_its_reason(source, text, words, mend):
    """In three lines: pip's reason, the file, and what would be right."""
    (source / "requirements.txt").write_text(text)

    what, where, remedy = refusal(source)

    assert re.search(words, what), what
    assert str(source / "requirements.txt") == where
    assert re.match(mend, remedy) or mend in remedy, remedy


@pytest.mark.parametrize(
    ("name", "text", "words"),
    [
        ("requirements.txt", "./library", "asks for a folder or file of this machine"),
        ("requirements.txt", "-e .", "asks for a folder or file of this machine"),
        ("requirements.txt", "-r missing.txt", "cannot be read"),
        ("requirements.txt", "-r requirements.txt", "includes itself"),
        ("pyproject.toml", "[project", "is not TOML"),
        ("pyproject.toml", '[project]\nname = "x"\ndynamic = ["dependencies"]', "dynamic"),
    ],
)
def test_requirements_that_cannot_be_read_are_refused(source, name, text, words):
    """Before pip is asked."""
    (source / name).write_text(text)

    assert words in refusal(source)[0]


def test_an_include_counts(source):
    """Another content of an included file is another build."""
    (source / "requirements.txt").write_text("-r base.txt\n-c limits.txt\n")
    (source / "limits.txt").write_text("iniconfig<3\n")
    (source / "base.txt").write_text("iniconfig==2.1.0\n")
    (before,) = requirements_of(function(source))
    (source / "base.txt").write_text("iniconfig==2.0.0\n")
    (after,) = requirements_of(function(source))

    assert before.sha256 != after.sha256


def test_libraries_count_against_lambdas_limits(source, monkeypatch):
    """The package is refused when it is built, and the largest library is named; an image has no such limit."""
    (source / "requirements.txt").write_text("iniconfig==2.1.0\n")
    (folder,) = build(source)
    sizes = sizes_of(folder)
    assert 1_000 < sizes.zipped < sizes.unzipped == sum(path.stat().st_size for path in files_of(folder))
    for limit, how in (("UNZIPPED_BYTES", "unzipped"), ("ZIPPED_BYTES", "zipped")):
        with monkeypatch.context() as patch:
            patch.setattr(limits, limit, 2_000)
            with pytest.raises(HarnessError) as caught:
                package(function(source), [folder])
            assert how in caught.value.what
            assert "iniconfig" in caught.value.where
            package(function(source, image="an-image"), [folder])


def test_other_libraries_are_another_package(source):
    """Which it names, and does not carry."""
    (source / "requirements.txt").write_text("iniconfig==2.1.0\n")
    one = package(function(source), build(source))
    (source / "requirements.txt").write_text("iniconfig==2.0.0\n")
    other = package(function(source), build(source))

    assert one != other
    with zipfile.ZipFile(io.BytesIO(one)) as archive:
        assert not [name for name in archive.namelist() if "iniconfig" in name]


def test_a_runtime_that_cannot_be_made_leaves_nothing(tmp_path, monkeypatch):
    """The cache has neither half an environment nor a lock that somebody holds."""
    monkeypatch.setattr(environments, "_FIRST_USE", "import no_such_module")

    with pytest.raises(HarnessError, match="no_such_module"):
        ensure_environment(tmp_path, OWN_RUNTIME, log=print)

    assert [] == [path for path in (tmp_path / "runtimes").iterdir() if path.is_dir()]


def test_a_missing_interpreter_is_one_clear_error(monkeypatch, tmp_path):
    """It says where it was looked for, and how to get it."""
    monkeypatch.setattr(interpreters, "_candidates", lambda _runtime: iter(()))

    with pytest.raises(HarnessError) as caught:
        ensure_environment(tmp_path, "python3.14", log=print)

    assert "python3.14 is not on this machine" == caught.value.what
    assert "uv python install 3.14" in caught.value.remedy

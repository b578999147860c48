"""What makes an image's identity, what the record of a release allows, and how the engine's errors are told."""

from datetime import UTC, datetime
from pathlib import Path

import msgspec
import pytest
import requests
from docker.utils.build import exclude_paths

from harness.errors import HarnessError
from harness.images import catalogue
from harness.images.build import _build_error
from harness.images.catalogue import RECIPES, Recipe, recipes, sha256_of, source_sha256
from harness.images.facts import Facts
from harness.release.push import check_media_type, push_error, push_images
from harness.release.record import (
    CheckResult,
    Push,
    Release,
    Unverified,
    Verified,
    check_verified,
    load_release,
    save_release,
)
from harness.system.engine import EngineUnavailable, RegistryRefused, check_api, failure, messages
from tests.support.image_sources import RECIPE, write_sources

ROOT = Path(__file__).parents[2]
TIME = datetime(2026, 11, 23, tzinfo=UTC)
FACTS = Facts("linear_ec_2", "sha256:aaa", "amd64", "some/base:1", "sha256:base", "c0ffee", "source", "requirements")
PASSED = Verified(FACTS, (CheckResult("packages", "412 modules", 1.0),), TIME)


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A source folder of two files."""
    return write_sources(tmp_path)


@pytest.fixture
def recipe() -> Recipe:
    """An image made from that folder."""
    return RECIPE


class TestSource:
    """What identifies an image's source."""

    @pytest.mark.parametrize("name", ["code/handler.py", "packages.txt"])
    def test_one_byte_changes_it(self, tree: Path, recipe: Recipe, name: str):
        """No file that goes into the image can change without its source becoming another."""
        before = source_sha256(tree, recipe)
        with (tree / name).open("a") as file:
            file.write("#")

        assert before != source_sha256(tree, recipe)

    def test_names_count_too(self, tree: Path, recipe: Recipe):
        """A renamed file is another source, although the contents are the same."""
        before = source_sha256(tree, recipe)
        (tree / "code" / "handler.py").rename(tree / "code" / "other.py")

        assert before != source_sha256(tree, recipe)

    def test_byte_code_and_other_folders_do_not_count(self, tree: Path, recipe: Recipe):
        """Running the code, or writing elsewhere, leaves the source as it is."""
        before = source_sha256(tree, recipe)
        (tree / "code" / "__pycache__").mkdir()
        (tree / "code" / "__pycache__" / "handler.cpython-311.pyc").write_bytes(b"x")
        (tree / "elsewhere.py").write_text("x")

        assert before == source_sha256(tree, recipe)

    def test_missing_file_is_named(self, tree: Path):
        """A source that is incomplete has no identity."""
        with pytest.raises(HarnessError, match=r"gone\.py is missing"):
            sha256_of(tree, ("gone.py",))


class TestRecipes:
    """The images that there are."""

    @pytest.mark.parametrize("recipe", RECIPES.values(), ids=lambda recipe: recipe.name)
    def test_identity_covers_all_that_the_dockerfile_copies(self, recipe: Recipe):
        """Nothing goes into an image that its source's checksum does not see."""
        covered = {*recipe.code, *recipe.requirements, "requirements/torch.txt"}
        instructions = (ROOT / recipe.dockerfile).read_text().splitlines()
        copies = [line.split()[1:-1] for line in instructions if line.startswith("COPY ")]
        copied = {name for names in copies for name in names if not names[0].startswith("--from")}

        assert copied
        assert copied <= covered
        assert recipe.dockerfile in covered

    @pytest.mark.parametrize("recipe", RECIPES.values(), ids=lambda recipe: recipe.name)
    def test_dockerignore_lets_through_what_is_copied(self, recipe: Recipe):
        """The build sees each file that it needs, and no byte code."""
        patterns = (ROOT / ".dockerignore").read_text().splitlines()
        sent = exclude_paths(str(ROOT), [line for line in patterns if line and not line.startswith("#")])
        needed = {name for name in (*recipe.code, *recipe.requirements) if (ROOT / name).is_file()}

        assert needed <= sent
        assert not [name for name in sent if name.endswith(".pyc") or name.startswith((".git", ".venv", "tests"))]

    def test_unknown_name_is_refused_with_the_known_ones(self):
        """A misspelt image is an error that lists what there is."""
        with pytest.raises(HarnessError, match="choose from linear_ec_1, linear_ec_2, linear_ec_2_nn"):
            recipes(("linear_ec_3",))

    def test_no_name_means_all(self):
        """Without a name a command works on every image."""
        assert list(RECIPES.values()) == recipes(())


class TestRelease:
    """What passed, and what may be pushed."""

    def test_what_passed_may_be_pushed(self):
        """The record of that very image and source is handed back."""
        assert PASSED == check_verified(FACTS, Release((PASSED,)), "source")

    def test_another_digest_is_refused(self):
        """A rebuild from the same source is another image, and has to pass by itself."""
        rebuilt = msgspec.structs.replace(FACTS, image_id="sha256:bbb")

        with pytest.raises(Unverified, match="has not been verified"):
            check_verified(rebuilt, Release((PASSED,)), "source")

    def test_changed_source_is_refused(self):
        """An image that passed is not pushed once the working tree holds something else."""
        with pytest.raises(Unverified, match="built from other sources"):
            check_verified(FACTS, Release((PASSED,)), "changed")

    def test_image_without_labels_is_refused(self):
        """What was built by other means says nothing of its source, and is not taken on trust."""
        unlabelled = msgspec.structs.replace(FACTS, source_sha256="")

        with pytest.raises(Unverified, match="built from other sources"):
            check_verified(unlabelled, Release((PASSED,)), "source")

    def test_newer_pass_takes_the_place_of_the_older(self):
        """One image of each name and architecture is the release's."""
        arm = msgspec.structs.replace(PASSED, image=msgspec.structs.replace(FACTS, architecture="arm64"))
        newer = msgspec.structs.replace(PASSED, image=msgspec.structs.replace(FACTS, image_id="sha256:bbb"))
        release = Release().with_entry(PASSED).with_entry(arm).with_entry(newer)

        assert Release((newer, arm)) == release

    def test_image_that_fails_leaves_the_release(self):
        """A pass does not outlive a later failure."""
        assert Release() == Release((PASSED,)).without("sha256:aaa")

    def test_record_is_read_as_it_was_written(self, tmp_path: Path):
        """The file that travels with a release holds all of it."""
        pushed = msgspec.structs.replace(
            PASSED, pushes=(Push("registry.example/linear_ec_2", "aaa", "sha256:m", TIME),)
        )
        save_release(tmp_path, Release((pushed,)))

        assert Release((pushed,)) == load_release(tmp_path)

    def test_no_record_is_an_empty_one(self, tmp_path: Path):
        """Before the first verification nothing may be pushed."""
        assert Release() == load_release(tmp_path)

    def test_damaged_record_is_named(self, tmp_path: Path):
        """A record that cannot be read is an error, never an empty one."""
        (tmp_path / "release").mkdir()
        (tmp_path / "release" / "images.json").write_text("{")

        with pytest.raises(HarnessError, match=r"damaged.*\n.*images\.json\nrestore"):
            load_release(tmp_path)

    @pytest.mark.parametrize("registry", ["https://registry.example", "localhost:5000/Upper", "", "a b"])
    def test_registry_without_an_address_is_refused(self, tmp_path: Path, registry: str):
        """A wrong address is told before anything is asked of the engine."""
        with pytest.raises(HarnessError, match="is no registry's address"):
            push_images(None, tmp_path, [], registry)

    @pytest.mark.parametrize(
        "media_type",
        [
            "application/vnd.oci.image.index.v1+json",
            "application/vnd.docker.distribution.manifest.list.v2+json",
        ],
    )
    def test_an_index_of_images_is_refused(self, media_type: str):
        """Lambda refuses it, too, but only when the function is made of it."""
        with pytest.raises(RegistryRefused, match="index of images") as raised:
            check_media_type("registry.example/linear_ec_2:aaa", media_type)

        assert "--provenance=false" in raised.value.remedy
        check_media_type("registry.example/linear_ec_2:aaa", "application/vnd.oci.image.manifest.v1+json")


class TestErrors:
    """What the engine and registries say, in three lines."""

    @pytest.mark.parametrize("version", ["1.24", "1.40"])
    def test_old_engine_is_refused(self, version: str):
        """An engine older than those that were tried is named with its version."""
        with pytest.raises(EngineUnavailable, match=rf"too old: its API is {version}, at least 1\.41"):
            check_api(version)

    @pytest.mark.parametrize("version", ["1.41", "1.50", "2.0"])
    def test_newer_engine_is_taken(self, version: str):
        """Versions compare as numbers."""
        check_api(version)

    @pytest.mark.parametrize(
        ("cause", "told"),
        [
            ("write /x: no space left on device", "no room left on the disk"),
            ("standard_init_linux.go:228: exec user process caused: exec format error", "another architecture"),
            ("something else", "something else"),
        ],
    )
    def test_engine_failure_says_what_to_do(self, cause: str, told: str):
        """Causes that a user can mend are told by name; all others in the engine's words."""
        error = failure("image a cannot be built", cause)

        assert str(error).startswith("image a cannot be built")
        assert told in str(error)
        assert len(str(error).splitlines()) <= 3

    def test_wheel_that_fits_no_base_is_named(self):
        """A base whose C library is too old for a wheel is an error about the base, not about pip."""
        output = "ERROR: Could not find a version\nERROR: No matching distribution found for numpy==2.4.6\n"
        error = _build_error("image a cannot be built", "returned a non-zero code: 1", output)

        assert "finds no wheel of numpy==2.4.6" in error.what
        assert "--base" in error.remedy

    @pytest.mark.parametrize(
        ("cause", "remedy"),
        [
            ("no basic auth credentials", "log in"),
            ("requested access to the resource is denied", "log in"),
            ("name unknown: The repository with name 'x' does not exist", "create the repository"),
            ("http: server gave HTTP response to HTTPS client", "insecure-registries"),
            ("dial tcp 127.0.0.1:5999: connect: connection refused", "check the address"),
        ],
    )
    def test_registry_refusal_says_what_to_do(self, cause: str, remedy: str):
        """Each way in which a registry refuses has its remedy."""
        assert remedy in push_error("registry.example/a:1", cause).remedy


def test_labels_are_those_of_the_open_container_initiative():
    """Any tool that reads the standard's labels finds revision and base."""
    for label in (catalogue.REVISION, catalogue.BASE_NAME, catalogue.BASE_DIGEST):
        assert label.startswith("org.opencontainers.image.")


def test_an_answer_that_ends_in_an_error_is_read_to_its_end():
    """Otherwise the engine's connection stays open, as long as somebody holds the error."""
    answer = iter([{"status": "Pushing"}, {"error": "broken pipe"}, {"progress": "late"}])

    last = next(message for message in messages(answer) if "error" in message)

    assert {"error": "broken pipe"} == last
    assert [] == list(answer)


def test_an_error_of_the_engine_is_told_though_its_connection_breaks_afterwards():
    """What the engine said is the cause; that it then went away is not."""

    def answer():
        yield {"error": "no space left on device"}
        raise requests.exceptions.ConnectionError("gone")

    assert [{"error": "no space left on device"}] == list(messages(answer()))

"""A project whose deployment can be rehearsed: two functions, whose images are built from it and on record."""

import shutil
import subprocess
from pathlib import Path

from harness.deploy.images import forget_registry
from harness.deploy.rehearsal import standing_rehearsal
from harness.images.build import build_image, find_base
from harness.images.catalogue import RECIPES
from harness.release.record import CheckResult, Release, Verified, now, save_release
from harness.release.verify import image_under_test
from harness.settings import load_settings
from tests.conftest import HARNESS

ROOT = Path(__file__).parents[2]
FUNCTIONS = ("linear_ec_1", "linear_ec_2")


def make_project(engine, root):
    """Copy the project into a folder, with coordinator and worker; build their images, and record them as verified."""
    for name in ("lambdas", "requirements", "images"):
        shutil.copytree(ROOT / name, root / name, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / ".dockerignore", root)
    declared = (ROOT / "harness.toml").read_text().partition("# The same code with PyTorch")[0]
    (root / "harness.toml").write_text(declared.replace("environment = {", "# environment = {"), encoding="utf-8")
    base, release = find_base(engine, None), Release()
    for name in FUNCTIONS:
        build_image(engine, root, RECIPES[name], base)
        facts = image_under_test(engine, RECIPES[name]).facts
        release = release.with_entry(Verified(facts, (CheckResult("assumed", "by this test", 0.0),), now()))
    save_release(root, release)
    return root


def stop_project(root):
    """Stop what is up, and forget the names of its registry."""
    target = standing_rehearsal(load_settings(root))
    subprocess.run([HARNESS, "down"], cwd=root, check=False)
    if target is not None and target.stack.endpoints.registry:
        forget_registry(root, target.stack.endpoints.registry)


def run_harness(root, *arguments, code=0):
    """Run the console script in a project."""
    done = subprocess.run([HARNESS, *arguments], cwd=root, capture_output=True, text=True, check=False)
    assert code == done.returncode, done.stderr
    return done

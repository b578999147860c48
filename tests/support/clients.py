"""Programs by others that speak to AWS, installed from PyPI as their users install them."""

import json
import os
import subprocess
import sys
import venv
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

# What a user gets of each, so that a test fails for a change of ours alone.
VERSIONS = {
    "awscli": "1.46.3",
    "chalice": "1.34.0",
    "aws-sam-cli": "1.170.0",
    "aws-lambda-powertools[tracer]": "3.37.0",
}


def install(package: str, folder: Path) -> Path:
    """Install a program into an environment of its own, and return the folder of its commands."""
    venv.create(folder, symlinks=True)
    _pip("--python", str(folder / "bin" / "python"), "install", f"{package}=={VERSIONS[package]}")
    return folder / "bin"


def install_library(package: str, folder: Path) -> None:
    """Put a library and what it needs into a function's package."""
    _pip("install", "--target", str(folder), f"{package}=={VERSIONS[package]}")


def _pip(*arguments: str) -> None:
    ended = subprocess.run(
        [sys.executable, "-m", "pip", "--quiet", *arguments], capture_output=True, text=True, check=False
    )
    if ended.returncode:
        pytest.fail(f"NOT TESTED, for want of a package from PyPI: {ended.stderr[-1000:]}")


class Client:
    """A program whose environment has the stack's variables, and neither files nor variables of AWS's.

    Args:
        program: Its path.
        variables: What leads it to the stack.
        folder: Its working and home folder.
    """

    def __init__(self, program: Path, variables: Mapping[str, str], folder: Path) -> None:
        own = {name: value for name, value in os.environ.items() if not name.startswith("AWS_")}
        self._program, self._folder = program, folder
        self._environment = {
            **own,
            "HOME": str(folder),
            "AWS_EC2_METADATA_DISABLED": "true",
            "SAM_CLI_TELEMETRY": "0",
            **variables,
        }

    def run(self, *arguments: str, text: str = "") -> str:
        """Run a command that has to succeed, and return what it prints."""
        ended = self.run_any(*arguments, text=text)
        assert ended.returncode == 0, f"{arguments}: {ended.stdout}{ended.stderr}"
        return ended.stdout

    def run_any(self, *arguments: str, text: str = "") -> subprocess.CompletedProcess[str]:
        """Run a command that may fail."""
        return subprocess.run(
            [self._program, *arguments],
            cwd=self._folder,
            env=self._environment,
            input=text,
            capture_output=True,
            text=True,
            check=False,
        )

    def json(self, *arguments: str) -> Any:
        """Run a command that prints JSON; return None where it prints nothing."""
        printed = self.run(*arguments)
        return json.loads(printed) if printed.strip() else None

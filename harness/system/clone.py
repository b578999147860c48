"""The clone that this harness is installed from: requirement files, LocalStack's environment and images' sources."""

from pathlib import Path

PROJECT = Path(__file__).resolve().parents[2]

"""The clone from which this harness is installed: requirement files, LocalStack's environment and image sources."""

from pathlib import Path

PROJECT = Path(__file__).resolve().parents[2]

"""The script that makes an image smaller."""

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]


def test_slimming_keeps_what_runs(tmp_path: Path):
    """Modules, data and licences stay; tests, headers, stubs and other services' descriptions go."""
    kept = [
        "numpy/core.py",
        "numpy/testing/__init__.py",
        "botocore/data/s3/service-2.json",
        "botocore/data/endpoints.json",
    ]
    gone = ["numpy/core.pyi", "numpy/tests/test_core.py", "numpy/include/a.h", "botocore/data/ec2/s.json", "bin/f2py"]
    for name in (*kept, *gone):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("x")
    subprocess.run([sys.executable, ROOT / "images" / "slim.py", tmp_path], check=True, capture_output=True)

    assert sorted(kept) == sorted(str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*") if path.is_file())

"""Memory of a warm worker."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

LAMBDAS = Path(__file__).parents[2] / "lambdas"
# A thread allocates memory; then glibc lists its arenas.
ARENAS = """
import ctypes, sys, threading
thread = threading.Thread(target=bytearray, args=(100_000,))
thread.start()
thread.join()
libc = ctypes.CDLL(None)
libc.fopen.restype = ctypes.c_void_p
file = ctypes.c_void_p(libc.fopen(sys.argv[1].encode(), b"w"))
libc.malloc_info(0, file)
libc.fclose(file)
"""


@pytest.mark.parametrize(("imports", "arenas"), [("import linear_ec_2", 1), ("", 2)])
@pytest.mark.skipif(
    not hasattr(os, "confstr") or "glibc" not in (os.confstr("CS_GNU_LIBC_VERSION") or ""), reason="glibc"
)
def test_threads_of_a_worker_keep_no_memory_of_their_own(tmp_path, imports, arenas):
    """Otherwise a warm environment grows by what the threads of each run have freed."""
    variables = {
        "PYTHONPATH": os.pathsep.join((str(LAMBDAS / "worker"), str(LAMBDAS))),
        "AWS_DEFAULT_REGION": "us-east-1",
    }
    code = f"{imports}\n{ARENAS}"
    subprocess.run([sys.executable, "-c", code, str(tmp_path / "arenas.xml")], env=os.environ | variables, check=True)

    assert (tmp_path / "arenas.xml").read_text(encoding="ascii").count("<heap nr=") == arenas

"""Libraries that a worker imports only for the jobs that need them."""

import subprocess
import sys


def test_dense_rows_need_no_scipy():
    """A worker that trains on dense rows does not pay for importing scipy."""
    program = (
        "import sys; from training.data.dataset import decode_partition; "
        "decode_partition(b'1 1:2\\n', source='s', n_features=1); "
        "sys.exit('scipy' in sys.modules)"
    )

    assert 0 == subprocess.run([sys.executable, "-c", program], check=False).returncode

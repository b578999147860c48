"""PyTorch is installed when it is needed, and never as its CUDA build."""

import pytest

from harness.errors import HarnessError
from harness.runtimes.torch_build import PlannedPackage, check_build, download_size


@pytest.fixture
def wheel(tmp_path):
    """The address of a file of 2.5 MB."""
    path = tmp_path / "torch-2.13.0+cpu.whl"
    path.write_bytes(bytes(2_500_000))
    return path.as_uri()


def test_a_build_for_cpus_is_taken(wheel):
    """What it depends on is the same few packages everywhere."""
    packages = [
        PlannedPackage("torch 2.13.0+cpu", wheel),
        PlannedPackage("sympy 1.14.0", wheel),
        PlannedPackage("filelock 4.3.1", wheel),
    ]

    assert packages == check_build(packages)


@pytest.mark.parametrize("name", ["nvidia-cublas 13.1.0.3", "triton 3.7.0", "cuda-bindings 13.0.3"])
def test_a_build_for_cards_is_refused_before_its_download(wheel, name):
    """Gigabytes that nothing uses are not fetched; the error says how large it is and what to set."""
    packages = [PlannedPackage("torch 2.13.0", wheel), PlannedPackage(name, wheel)]

    with pytest.raises(HarnessError) as refused:
        check_build(packages)
    assert "only PyTorch's CUDA build: 5 MB" in refused.value.what
    assert name in refused.value.where
    assert "TORCH_INDEX" in refused.value.remedy


def test_a_size_that_nobody_names_is_told_as_a_lower_bound(wheel):
    """The user hears of a download's size before it begins, as far as it can be known."""
    gone = PlannedPackage("gone 1", "file:///there/is/no/such.whl")

    assert "2 MB to download" == download_size([PlannedPackage("torch", wheel)])
    assert "over 2 MB to download" == download_size([PlannedPackage("torch", wheel), gone])
    assert "size" in download_size([gone])
    assert "MB" not in download_size([gone])

"""Files that an export writes beside a model's weights: never over a file of the user's."""

from pathlib import Path

from harness.errors import HarnessError


def check_beside(path: Path, mark: str) -> None:
    """Refuse to write over a file beside the model's that no export wrote.

    Args:
        path: The file.
        mark: What is in each file of this kind that an export writes.

    Raises:
        HarnessError: There is another file of that name.
    """
    if path.exists() and mark not in path.read_text(encoding="utf-8", errors="replace"):
        raise HarnessError(
            f"{path} is there already, and an export would write over it",
            "it goes beside the weights, with their name",
            "name other weights with --output, or move the file",
        )

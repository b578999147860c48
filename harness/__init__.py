"""Rehearse distributed training on AWS Lambda on one machine, with the code and the services that run on AWS."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from harness.loaded_model import load_model

__all__ = ["load_model"]


def __getattr__(name: str) -> Any:  # noqa: ANN401 - as of any module
    """Import `load_model` when a program asks for it: the pytest plug-in imports this package in every session."""
    if name != "load_model":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from harness.loaded_model import load_model as found  # noqa: PLC0415 - see above

    return found

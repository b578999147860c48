"""The functions that harness.toml declares, and those that the harness ships."""

from harness.errors import HarnessError
from harness.settings import FunctionSettings, Settings, shipped_functions

COORDINATOR = "linear_ec_1"


def declared(settings: Settings, name: str) -> FunctionSettings:
    """Return the function's table in harness.toml, or a training function that the harness ships.

    Raises:
        HarnessError: The function is neither declared nor shipped.
    """
    found = settings.functions.get(name) or shipped_functions().get(name)
    if found is None:
        raise HarnessError(
            f"function {name} is not declared",
            f"harness.toml declares {', '.join(settings.functions) or 'none'}",
            f"add a table [functions.{name}]",
        )
    return found

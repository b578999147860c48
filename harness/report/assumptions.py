"""What a forecast assumes of AWS: the figures of a preset, the rates of a region, zones, and the cache's nodes."""

from dataclasses import asdict, dataclass

from harness.presets.distribution import ByCount, Constant, Varying
from harness.presets.preset import Preset, load_preset
from harness.presets.prices import load_prices
from harness.presets.writer import value_fields
from harness.report.network import base_bandwidth
from harness.report.rates import Rates, rates_of

# harness.toml's own.
COORDINATOR_MB = 512


@dataclass(frozen=True, slots=True)
class Assumptions:
    """What a forecast assumes.

    Attributes:
        preset: AWS's figures.
        rates: What AWS charges.
        zones: The number of zones that the functions are in; the cache is in the first.
        nodes: The number of the cache's nodes.
        image_mb: By how many MB the worker's image is larger than AWS's base image.
        coordinator_mb: The memory size of the coordinator.
        seed: The seed of all draws.
    """

    preset: Preset
    rates: Rates
    zones: int = 1
    nodes: int = 1
    image_mb: float = 0.0
    coordinator_mb: int = COORDINATOR_MB
    seed: int = 0

    def number(self, name: str) -> float:
        """Return a figure that is a number, or the median of one that varies."""
        return self.preset.typical(name)

    def varying(self, name: str) -> Varying:
        """Return a figure that may vary.

        Raises:
            TypeError: The figure depends on the number of functions.
        """
        value = self.preset.value(name)
        if isinstance(value, ByCount):
            raise TypeError(f"{name} depends on the number of functions")
        return value

    def by_count(self, name: str) -> ByCount | Constant:
        """Return a figure that may depend on the number of functions.

        Raises:
            TypeError: The figure varies.
        """
        value = self.preset.value(name)
        if isinstance(value, ByCount | Constant):
            return value
        raise TypeError(f"{name} varies")

    def described(self) -> dict[str, object]:
        """Return all that is assumed by name, as JSON: values of figures as in a preset's file, and rates in USD."""
        figures = {name: value_fields(figure.value) for name, figure in self.preset.figures.items()}
        single = {name: fields.get("value", fields) for name, fields in figures.items()}
        numbers = {"store_nodes": self.nodes, "zones": self.zones, "image_mb": self.image_mb, "seed": self.seed}
        return {"preset": self.preset.name, **single, **numbers, **asdict(self.rates)}

    def function_bandwidth(self, functions: int) -> float:
        """Return the bandwidth in the long run of each of so many functions in one VPC, MB/s."""
        return base_bandwidth(self.preset, functions)


def default_assumptions() -> Assumptions:
    """Return the default preset in the default region."""
    return Assumptions(load_preset(), rates_of(load_prices()))

"""Options that take a number."""

import math
from typing import Any

import click


class Number(click.FloatRange):
    """A finite number within a range; click's own range lets NaN pass, and infinity where it has no upper end."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:  # noqa: ANN401 - click's signature
        """Parse the number."""
        number = float(super().convert(value, param, ctx))
        if not math.isfinite(number):
            self.fail(f"{value} is not in the range {self._describe_range()}.", param, ctx)
        return number

"""Generate the table of faults in docs/faults.md.

`python -m harness.faults.table` prints it; a test compares the two.
"""

import sys

from harness.faults.plan import CATALOGUE, default_target


def fault_table() -> str:
    """Return the table, one line per action and target."""
    lines = ["| fault | needs | takes | what happens |", "|---|---|---|---|"]
    for (action, target), kind in CATALOGUE.items():
        name = action if default_target(action) == target else f"{action} {target}"
        lines.append(f"| `{name}` | {_keys(kind.needs, ' or ')} | {_keys(kind.takes, ', ')} | {kind.meaning} |")
    return "\n".join(lines)


def _keys(keys: tuple[str, ...], between: str) -> str:
    return between.join(f"`{key}`" for key in keys)


if __name__ == "__main__":
    sys.stdout.write(fault_table() + "\n")

"""Names of runs and of their objects: which are safe as names of files, and which run a user means."""

import re
from collections.abc import Sequence
from difflib import get_close_matches

from harness.errors import HarnessError

# As in the job; a name with a leading dot is never a run's.
_RUN_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,79}")
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
LONGEST_PART_BYTES, MOST_PARTS = 200, 8
NEAR_MATCHES, SHOWN_MATCHES = 3, 5


def is_run_id(name: str) -> bool:
    """Return whether the harness or its coordinator may have given this name to a run."""
    return _RUN_ID.fullmatch(name) is not None


def is_safe(name: str) -> bool:
    """Return whether an object of this name can be a file below a run's folder, and nowhere else.

    Anybody with write access to the bucket chooses the names of objects, such as `../../.bashrc`.
    """
    parts = name.split("/")
    if len(parts) > MOST_PARTS or _CONTROL.search(name) or "\\" in name:
        return False
    try:
        return all(part and not part.startswith(".") and len(part.encode()) <= LONGEST_PART_BYTES for part in parts)
    except UnicodeEncodeError:
        return False


def match_run(name: str, run_ids: Sequence[str], where: str = "") -> str:
    """Return the run that a user means: by its id, by the beginning of it, or the newest by `last`.

    Args:
        name: What the user typed.
        run_ids: The runs that there are, the newest last.
        where: Where they were looked for.

    Raises:
        HarnessError: There is no such run, or several begin so; the message names near ones.
    """
    if name in run_ids:
        return name
    shown_name = name if name.isprintable() and name.strip() == name != "" else ascii(name)
    if name == "last" and run_ids:
        return run_ids[-1]
    found = list(dict.fromkeys(run_id for run_id in run_ids if name and run_id.startswith(name)))
    if len(found) == 1:
        return found[0]
    if found:
        shown = ", ".join(found[-SHOWN_MATCHES:]) + (", ..." if len(found) > SHOWN_MATCHES else "")
        raise HarnessError(f"{len(found)} runs begin with {shown_name}", shown, "write more of the id")
    near = get_close_matches(name, dict.fromkeys(run_ids), n=NEAR_MATCHES, cutoff=0.5)
    remedy = f"did you mean {' or '.join(near)}?" if near else "see `harness runs` for the runs there are"
    raise HarnessError(f"there is no run {shown_name}", where, remedy)

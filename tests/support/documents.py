"""The code blocks of a document, and a shell that runs them as a reader would: in order, in one terminal."""

import os
import re
import shutil
import signal
import socket
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
# The pages whose commands a nightly test follows, in order.
DOCUMENTS = (
    "README.md",
    "docs/quick-start.md",
    "docs/clients.md",
    "docs/command-line.md",
    "docs/debuggers.md",
    "docs/explore.md",
    "docs/faults.md",
    "docs/functions.md",
    "docs/job.md",
    "docs/presets.md",
    "docs/training.md",
    "docs/tuning.md",
    "docs/your-data.md",
)
RIE_PORT = "9000"
# `make` rebuilds environments that lie elsewhere than in the copy; .ci/run calls these targets in the clone itself.
LEFT_OUT = ("make",)

# A comment above a block says why it is not run, or that it needs containers.
_BLOCK = re.compile(r"(?:^<!-- (?P<note>[^\n]+) -->\n)?^```(?P<kind>\w*)\n(?P<text>.*?)^```$", re.MULTILINE | re.DOTALL)
# Lines that a reader runs in a second terminal: the next line needs what they start.
_BESIDE = re.compile(r"^(?P<command>.*?)\s+# in a terminal of its own$")
_PORT = re.compile(r"--port (\d+)")

# What the shell of a block knows: a finished run's id, and a way to wait for a port.
_PRELUDE = """
latest_run() { harness runs --json | python -c 'import json, sys; print(json.load(sys.stdin)[0]["run_id"])'; }
wait_for_port() { python -c '
import socket, sys, time
deadline = time.monotonic() + 30
while time.monotonic() < deadline:
    with socket.socket() as probe:
        if probe.connect_ex(("127.0.0.1", int(sys.argv[1]))) == 0:
            break
    time.sleep(0.05)
else:
    sys.exit(f"nobody listens at port {sys.argv[1]}")
' "$1"; }
trap 'kill $(jobs -p) 2>/dev/null || true' EXIT
set -e
"""


@dataclass(frozen=True)
class Block:
    """One code block.

    Attributes:
        kind: Its language; `sh` for commands.
        note: The comment above it; empty without one.
        text: Its lines.
        line: Where it begins in the document.
    """

    kind: str
    note: str
    text: str
    line: int


def blocks_of(document: Path) -> list[Block]:
    """Return the code blocks of a Markdown file."""
    text = document.read_text()
    return [
        Block(found["kind"], found["note"] or "", found["text"], text[: found.start()].count("\n") + 1)
        for found in _BLOCK.finditer(text)
    ]


def copy_of_the_clone(folder: Path) -> Path:
    """Copy what git tracks, with this clone's environments: a reader's commands then change nothing here."""
    tracked = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, check=True).stdout
    for name in filter(None, os.fsdecode(tracked).split("\0")):
        if (ROOT / name).is_file():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, folder / name)
    environment = Path(sys.prefix)
    for name, there in ((".venv", environment), (".venv-localstack", ROOT / ".venv-localstack")):
        (folder / name).symlink_to(there)
    return folder


def script_of(blocks: list[Block], without: tuple[str, ...] = ()) -> str:
    """Return a shell script of the blocks' commands; it says which block it is in, and stops at the first failure.

    The port that the documents take for `harness rie` may be in use on this machine: a free one stands in for it.

    Args:
        blocks: What a reader would type.
        without: Lines that begin with one of these words are left out.
    """
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    lines = [_PRELUDE]
    for block in blocks:
        lines.append(f"echo '--- the block at line {block.line}'")
        for line in block.text.replace("\\\n", " ").splitlines():
            lines += [] if f"{line} ".startswith(tuple(f"{words} " for words in without)) else _as_run(line)
    return "\n".join(lines).replace(RIE_PORT, str(port))


def run_script(
    script: str, folder: Path, timeout_s: float, *, variables: dict[str, str] | None = None
) -> tuple[int | None, str]:
    """Run a script in a folder, with neither the caller's AWS settings nor its activated environment.

    Args:
        script: For Bash.
        folder: A copy of the clone.
        timeout_s: When it is stopped.
        variables: What else its shell knows.

    Returns:
        The exit code, None when the time was over; and what was printed.
    """
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("AWS_", "VIRTUAL_ENV"))}
    environment |= variables or {}
    printed = folder / "printed.txt"
    with (
        printed.open("ab") as output,  # a program that opens /dev/stdout empties it
        subprocess.Popen(
            ["bash", "-c", script],
            cwd=folder,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        ) as shell,
    ):
        try:
            code = shell.wait(timeout_s)
        except subprocess.TimeoutExpired:
            code = None
            os.killpg(shell.pid, signal.SIGTERM)
        finally:
            subprocess.run([folder / ".venv" / "bin" / "harness", "down"], cwd=folder, capture_output=True, check=False)
    return code, printed.read_text(errors="replace")


def _as_run(line: str) -> list[str]:
    line = re.sub(r"\bRUN_ID\b", '"$(latest_run)"', line)
    beside = _BESIDE.match(line)
    if beside is None:
        return [line]
    port = _PORT.search(beside["command"])
    return [f"{beside['command']} &", *([f"wait_for_port {port[1]}"] if port else [])]

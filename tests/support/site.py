"""A project with a stack, and its page: what a user has after `harness up --open`."""

import os
import re
import signal
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path

HARNESS = Path(sys.executable).with_name("harness")
PROJECT = """\
[stack]
s3 = "moto"

[gateway]
retry_time_scale = 0.01

[functions.greet]
source = "greet"
handler = "app.handler"
"""
FUNCTION = """\
def handler(event, context):
    print("greeting", event["name"])
    if event["name"] == "nobody":
        raise ValueError("there is nobody to greet")
    return {"greeting": f"Hello, {event['name']}!"}
"""
JOB = ("--data", "synthetic:rows=1200,features=5", "--n-workers", "2", "--batch-size", "20")


class Site:
    """A project, and the address of its page.

    Args:
        root: The project's folder, made here.
    """

    def __init__(self, root):
        self.root, self.address, self._serving = root, "", None
        (root / "greet").mkdir(parents=True)
        (root / "harness.toml").write_text(PROJECT)
        (root / "greet" / "app.py").write_text(FUNCTION)

    def harness(self, *arguments, succeeds=True):
        """Runs a command in the project."""
        done = subprocess.run([HARNESS, *arguments], cwd=self.root, capture_output=True, text=True, check=False)
        assert not succeeds or done.returncode == 0, done.stdout + done.stderr
        return done

    def serve(self):
        """Starts the page's server, as long as none runs."""
        command = [HARNESS, "page"]
        environment = {name: value for name, value in os.environ.items() if name not in {"BROWSER", "DISPLAY"}}
        with (self.root / "page.log").open("a") as log:
            self._serving = subprocess.Popen(
                command, cwd=self.root, stdout=subprocess.PIPE, stderr=log, text=True, env=environment
            )
        line = self._serving.stdout.readline()
        found = re.search(r"http://127\.0\.0\.1:\d+/\?token=\S+", line)
        assert found, f"`harness page` printed {line!r}"
        self.address = found[0]

    def end_serving(self):
        """Ends the page's server as Ctrl-C does."""
        self._serving.send_signal(signal.SIGINT)
        self._serving.wait()
        self._serving.stdout.close()

    @contextmanager
    def run_under_way(self, run_id, *arguments):
        """A run that goes on until the block ends."""
        command = [HARNESS, "run", *JOB, "--run-id", run_id, *arguments]
        run = subprocess.Popen(command, cwd=self.root, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            yield
        finally:
            run.send_signal(signal.SIGINT)
            run.wait()


@contextmanager
def running_site(root):
    """A project whose stack is up and whose page is served."""
    site = Site(root)
    site.harness("up")
    try:
        site.serve()
        try:
            yield site
        finally:
            site.end_serving()
    finally:
        site.harness("down")

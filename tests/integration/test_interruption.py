"""Signals that ask a command to end, where the exception that answers them gets lost."""

import signal
import subprocess
import sys

import pytest

# A verb that meets the exception as `doing` says, then waits.
VERB = """
import os, signal, sys, time
import click
from harness.cli import main as command_line
from harness.cli.interruption import LOST_AFTER_S

def wait(seconds):
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        time.sleep(0.01)

@click.command()
def verb():
    {doing}

command_line.VERBS = ("verb",)
command_line.VerbGroup.get_command = lambda group, context, name: verb
sys.argv = ["harness", "verb"]
command_line.main()
"""
DROPPED = """
    try:
        os.kill(os.getpid(), signal.{name})
    except BaseException:
        pass
    wait(100)
"""
LONG_END = """
    try:
        os.kill(os.getpid(), signal.{name})
    finally:
        try:
            raise ValueError
        except ValueError:
            wait(5 * LOST_AFTER_S)
        print("all is in order")
"""
HOLDING = """
    import gc, weakref
    gc.disable()
    held = {{1}}
    weakref.finalize(held, print, "let go").atexit = False
    os.kill(os.getpid(), signal.{name})
"""


@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGHUP, 129)])
def test_an_interruption_that_gets_lost_is_raised_again(number, status):
    """As a C extension drops it that is being imported."""
    ended = run(DROPPED, number)

    assert (status, "") == (ended.returncode, ended.stdout)
    assert "interrupted" in ended.stderr


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_end_in_order_that_takes_long_is_not_interrupted(number):
    """Whatever is raised and caught on the way."""
    assert "all is in order\n" == run(LONG_END, number).stdout


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_what_an_interrupted_command_held_is_let_go(number):
    """An executor that is kept by a cycle of references keeps its thread, and the thread the process."""
    assert "let go\n" == run(HOLDING, number).stdout


def run(doing, number):
    """Runs the verb to its end."""
    program = VERB.format(doing=doing.strip().format(name=number.name))
    return subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=False)

"""Provisioned concurrency in process mode: what becomes of environments that die while they wait."""

import psutil
import pytest

from harness.system.probes import wait_until

OWN_PID = """
import os

def handler(event, context):
    return os.getpid()
"""
WITHIN_S = 60


@pytest.fixture
def functions(fresh):
    """The client of a gateway."""
    return fresh.clients.functions


def numbers(functions, name):
    """The state, and the environments that are ready."""
    config = functions.get_provisioned_concurrency_config(FunctionName=name, Qualifier="1")
    return config["Status"], config["AvailableProvisionedConcurrentExecutions"]


def emulators(service):
    """The pids of all RIEs."""
    return {process.pid for process in service.descendants() if process.name() == "aws-lambda-rie"}


def test_an_environment_that_dies_while_it_waits_is_replaced(fresh, functions, write):
    """Nobody has to invoke it for that, and nothing is left of it when the function is deleted."""
    name = fresh.create(write("own", OWN_PID), "own.handler")
    functions.publish_version(FunctionName=name)
    functions.put_provisioned_concurrency_config(FunctionName=name, Qualifier="1", ProvisionedConcurrentExecutions=1)
    assert wait_until(lambda: numbers(functions, name) == ("READY", 1), WITHIN_S)
    pid = fresh.invoke(f"{name}:1")
    rie = psutil.Process(pid).parent()
    before = emulators(fresh)
    assert rie.pid in before

    rie.kill()

    assert wait_until(lambda: emulators(fresh) - before, WITHIN_S)
    assert wait_until(lambda: numbers(functions, name) == ("READY", 1), WITHIN_S)
    again = fresh.invoke(f"{name}:1")
    assert again != pid
    functions.delete_function(FunctionName=name)
    assert wait_until(lambda: not psutil.pid_exists(again), WITHIN_S)

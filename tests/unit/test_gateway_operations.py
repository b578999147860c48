"""The gateway's table of routes against botocore's description of Lambda's API."""

import re

import botocore.session
import pytest
from starlette.routing import Route

from harness.gateway.app import INVOCATIONS
from harness.gateway.control import control_plane

OWN = "/_harness/"
SERVED = {route.name: route for route in control_plane() if not route.path.startswith(OWN)}


@pytest.fixture(scope="module")
def service():
    """Return botocore's description of Lambda."""
    return botocore.session.Session().get_service_model("lambda")


def form(path):
    """Return a path with uniform parameters and without a trailing slash."""
    return re.sub(r"{[^}]*}", "{}", path).rstrip("/")


@pytest.mark.parametrize("name", SERVED)
def test_an_operation_has_the_method_and_the_path_of_awss(service, name):
    """boto3 and the AWS CLI use exactly these; fault plans refer to the operation's name."""
    expected = service.operation_model(name).http

    assert {expected["method"]} == SERVED[name].methods - {"HEAD"}
    assert form(expected["requestUri"]) == form(SERVED[name].path)


def test_invoke_has_the_method_and_the_path_of_awss(service):
    """The gateway's own route for it precedes the control plane's."""
    expected = service.operation_model("Invoke").http

    assert ("POST", form(expected["requestUri"])) == (expected["method"], form(INVOCATIONS))


def test_every_path_is_served_with_and_without_a_slash_at_its_end():
    """Some clients add one."""
    paths = {
        (route.name, route.path) for route in control_plane() if isinstance(route, Route) and OWN not in route.path
    }

    assert all((name, path.rstrip("/") + end) in paths for name, path in paths for end in ("", "/"))

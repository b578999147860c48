"""The metadata endpoint, by which a function learns its availability zone.

https://docs.aws.amazon.com/lambda/latest/dg/configuration-metadata-endpoint.html
"""

import json
import re

from tests.parity.aws.support import answer_of

ASK = """
import json, os, urllib.error, urllib.request

def ask(method, authorization):
    url = f"http://{os.environ['AWS_LAMBDA_METADATA_API']}/2026-01-15/metadata/execution-environment"
    headers = {"Authorization": authorization} if authorization else {}
    try:
        answer = urllib.request.urlopen(urllib.request.Request(url, headers=headers, method=method), timeout=5)
    except urllib.error.HTTPError as error:
        answer = error
    return {"status": answer.status, "type": answer.headers.get_content_type(),
            "cache": answer.headers["Cache-Control"], "body": answer.read().decode()}

def handler(event, context):
    own = "Bearer " + os.environ["AWS_LAMBDA_METADATA_TOKEN"]
    return {
        "address": os.environ["AWS_LAMBDA_METADATA_API"],
        "token": own[7:],
        "own": ask("GET", own),
        "unauthorized": [ask("GET", "")["status"], ask("GET", own + "x")["status"], ask("GET", own[7:])["status"]],
        "other methods": [ask(method, own)["status"] for method in ("POST", "PUT", "DELETE")],
    }
"""


def test_a_function_learns_its_zone(functions, create):
    """Its own token opens an address of IPv4; the answer is JSON that may be cached for twelve hours."""
    told = answer_of(functions.invoke(FunctionName=create(ASK, Timeout=60)))

    answer = told["own"]
    assert re.fullmatch(r"(\d+\.){3}\d+:\d+", told["address"])
    assert (200, "application/json") == (answer["status"], answer["type"])
    assert "private, max-age=43200, immutable" == answer["cache"]
    assert re.fullmatch(r"[a-z0-9]+-az\d+", json.loads(answer["body"])["AvailabilityZoneID"])


def test_other_tokens_and_methods_are_refused(functions, create):
    """A missing or wrong token, and one without `Bearer`, is 401; any method but GET is 405."""
    told = answer_of(functions.invoke(FunctionName=create(ASK, Timeout=60)))

    assert ([401] * 3, [405] * 3) == (told["unauthorized"], told["other methods"])


def test_each_environment_has_a_token_of_its_own(functions, create):
    """As those of two versions, which never share an environment."""
    name = create(ASK, Timeout=60)
    version = functions.publish_version(FunctionName=name)["Version"]

    latest, published = (
        answer_of(functions.invoke(FunctionName=name, Qualifier=qualifier)) for qualifier in ("$LATEST", version)
    )

    assert latest["token"] != published["token"]

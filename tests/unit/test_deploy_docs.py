"""docs/aws.md and the workflow say what the code does."""

import re
import shlex
from pathlib import Path

import click
import pytest
import yaml

from harness.cli.main import cli
from harness.deploy.prices import total_per_hour
from harness.deploy.template import describe, load_template, parameters_of, with_defaults
from harness.presets.preset import load_preset
from harness.presets.prices import load_prices

ROOT = Path(__file__).parents[2]
DOCS = (ROOT / "docs/aws.md").read_text()
WORKFLOW = (ROOT / ".github/workflows/deploy.yml").read_text()
JOBS = yaml.safe_load(WORKFLOW)["jobs"]

# A command in a block or between backticks, up to a comment, a pipe or the end.
COMMAND = re.compile(r"(?<![\w/-])(?:\.venv/bin/)?harness ((?:deploy|destroy|runs|run|logs|images)\b[^`|;#>\n]*)")


def commands(text: str) -> list[list[str]]:
    """The arguments of every command of ours in a text."""
    plain = re.sub(r"\$EMPTY|\"\$\w+\"", "", text).replace("--stack  --expect-account ", "")
    return [shlex.split(found) for found in COMMAND.findall(plain)]


@pytest.mark.parametrize("text", [DOCS, WORKFLOW], ids=["docs", "workflow"])
def test_every_command_and_every_flag_exists(text: str):
    """What is typed from the page is not refused."""
    found = commands(text)

    assert len(found) >= 4
    for words in found:
        assert flags_of(words) <= known_to(words), words


def flags_of(words: list[str]) -> set[str]:
    """The flags of a command."""
    return {word for word in words if word.startswith("--")}


def known_to(words: list[str]) -> set[str]:
    """The flags that its verb, or the verb below it, takes."""
    command = cli.get_command(click.Context(cli), words[0])
    # `harness runs` is a command, and has one below it.
    if isinstance(command, click.Group) and words[1:2] and not words[1].startswith("-"):
        command = command.get_command(click.Context(command), words[1])
    assert command is not None, f"there is no harness {words[0]}"
    return {name for option in command.params for name in option.opts}


def test_every_parameter_is_on_the_page_and_those_on_the_page_exist():
    """`--parameter NAME=VALUE` of the page is one of the template."""
    known = parameters_of(load_template()).keys()

    assert [name for name in known if f"`{name}`" not in DOCS] == []
    assert set(re.findall(r"--parameter (\w+)=[^V]", DOCS)) <= known


def test_the_price_on_the_page_is_that_of_the_defaults():
    """Per hour and per day, of what stands."""
    body = load_template()
    parameters = with_defaults(body, {"AvailabilityZones": "a,b", "S3PrefixListId": "pl-1"})
    prices = load_prices("us-east-1")
    hour = total_per_hour(describe(body), parameters, prices)

    assert f"| **together** | **{hour:.3f}** | **{24 * hour:.2f}** |" in DOCS
    assert f"`cache.t3.medium` {prices.cache_node('cache.t3.medium'):g}" in DOCS


def test_the_round_trips_of_page_and_help_are_those_of_the_default_preset():
    """`--zones all` is chosen by these two figures."""
    preset = load_preset()
    same, other = (f"{preset.typical(name):.2f}" for name in ("store_latency", "store_latency_other_zone"))
    command = cli.get_command(click.Context(cli), "deploy")
    assert command is not None
    (words,) = [getattr(option, "help", "") for option in command.params if "--zones" in option.opts]

    assert f"| in its zone | {same} |" in DOCS
    assert f"| from another zone | {other} |" in DOCS
    assert f"{other} ms in place of {same}" in words


@pytest.mark.parametrize("path", sorted((ROOT / ".github/workflows").glob("*.yml")), ids=lambda path: path.name)
def test_actions_are_pinned_by_their_commit(path: Path):
    """A tag can be moved, a commit cannot."""
    used = re.findall(r"uses: (\S+)", path.read_text())

    assert used
    assert [action for action in used if not re.fullmatch(r"[\w./-]+@[0-9a-f]{40}", action)] == []


def test_only_a_deployment_that_was_asked_for_gets_credentials():
    """Pushes and pull requests rehearse; credentials are exchanged in the protected environment alone."""
    assert {name for name, job in JOBS.items() if "id-token" in job.get("permissions", {})} == {"aws"}
    assert JOBS["aws"]["if"] == "github.event_name == 'workflow_dispatch'"
    assert JOBS["aws"]["environment"] == "aws"
    assert JOBS["aws"]["needs"] == "rehearse"
    assert "aws-access-key-id" not in WORKFLOW
    assert "secrets." not in WORKFLOW

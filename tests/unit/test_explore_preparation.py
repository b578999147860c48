"""The file of `--prepare`: what it may say, and how it is refused."""

import sys
from pathlib import Path

import pytest

from harness.errors import HarnessError
from harness.explore.prepare_file import Preparation, load_preparation
from harness.explore.stage.preparation import prepare_with


def load(folder: Path, text: str) -> Preparation:
    """What a file with this text says."""
    (folder / "setup.py").write_text(text)
    return load_preparation(folder / "setup.py")


def test_everything_it_says_is_used(tmp_path: Path):
    """Functions are called with the stage's clients, rules are applied."""
    (tmp_path / "names.py").write_text("BUCKET = 'inbox'\n")
    found = load(
        tmp_path,
        """
from names import BUCKET
made = []
def prepare(client):
    client("s3").append(BUCKET)
def invariant(client):
    assert client("s3") == [], f"{client('s3')} is left"
ignore = ["s3://inbox/log/*"]
normalise = [(r"job-\\d+", "<job>")]
may_repeat = ("sqs://q",)
outside = ["*:443"]
retry_after_s = 2
""",
    )
    made: list[str] = []

    assert found.violation(lambda _: made) == ""
    assert found.prepare is not None
    found.prepare(lambda _: made)

    assert made == ["inbox"]
    assert found.violation(lambda _: made) == "['inbox'] is left"
    assert found.rules.ignores("s3://inbox/log/1")
    assert found.rules.text("job-7") == "<job>"
    assert found.rules.repeats("sqs://q")
    assert found.allows("api.example.com:443")
    assert not found.allows("api.example.com:80")
    assert found.retry_after_s == 2.0


@pytest.mark.parametrize(
    ("body", "says"),
    [
        ("return 'too much'", "too much"),
        ("return None", ""),
        ("return True", ""),
        ("return []", ""),
        ("return False", "it returned False"),
        ("return ['a', 'b']", "it returned ['a', 'b']"),
        ("raise SystemExit(3)", "SystemExit: 3"),
        ("assert 1 == 2", "assert 1 == 2"),
        ("{}['total']", "KeyError: 'total'"),
    ],
)
def test_an_invariant_fails_by_raising_or_by_what_it_returns(tmp_path: Path, body: str, says: str):
    """An assertion without a message is quoted; no returned value is taken and ignored."""
    assert load(tmp_path, f"def invariant(client):\n    {body}\n").violation(lambda _: None) == says


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "defines none of prepare, event, invariant"),
        ("prepare = 3", "prepare is 3, no function"),
        ("import no_such_module", r"ModuleNotFoundError: No module named 'no_such_module'\n.*setup.py:1"),
        ("def f(:\n", r"SyntaxError.*\n.*setup.py:1"),
        ("x = '\0'", r"SyntaxError.*null bytes\n.*setup.py"),
        ("raise SystemExit", r"SystemExit: \n.*setup.py:1"),
        ("async def prepare(client): ...", r"prepare is a coroutine function.*\n.*\nwrite `def prepare\(client\):`"),
        ("async def invariant(client): ...", "invariant is a coroutine function"),
        ("def invariant(client):\n    yield 1", "invariant is a generator function"),
        ("ignore = 's3://*'", r"ignore is 's3://\*'\n.*setup.py\nmake it a list"),
        ("ignore = [1]", "ignore has 1"),
        ("normalise = ['x']", "normalise has 'x'"),
        ("normalise = [('(', 'x')]", r"normalise has '\('.*unterminated"),
        ("normalise = [('a', '\\\\1')]", "normalise has 'a'.*invalid group"),
        ("retry_after_s = '2'", r"retry_after_s is '2'\n.*\nmake it 0 to 60 seconds"),
        ("retry_after_s = 61", "retry_after_s is 61"),
        ("outside = ['']", r"outside has ''\n.*\nwrite patterns as texts: 'api.example.com:443'"),
    ],
)
def test_what_is_wrong_is_named(tmp_path: Path, text: str, says: str):
    """Nothing is taken and ignored."""
    with pytest.raises(HarnessError, match=says):
        load(tmp_path, text)


def test_a_missing_file_is_named(tmp_path: Path):
    """Also one that is no Python."""
    with pytest.raises(HarnessError, match=r"nothing.py is no Python file"):
        load_preparation(tmp_path / "nothing.py")


@pytest.mark.parametrize("value", ["float('nan')", "{1, 2}", "exit()"])
def test_an_event_has_to_be_json(tmp_path: Path, value: str):
    """Python's JSON has NaN, and Lambda's has not."""
    found = load(tmp_path, f"def event(client, event):\n    return {value}\n")

    with pytest.raises(HarnessError, match=r"`event\(client, event\)` fails"):
        found.event_of(lambda _: None, {})


def test_a_prepare_that_exits_has_failed():
    """It does not end the harness."""
    with pytest.raises(HarnessError, match=r"prepare\(client\) failed\n.*SystemExit: 5"):
        prepare_with(lambda _: sys.exit(5), lambda _: None)

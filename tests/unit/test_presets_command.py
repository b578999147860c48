"""`harness presets`, and the page that describes it."""

import json
import re
from pathlib import Path

import pytest
from click.testing import CliRunner

from harness.cli.main import cli
from harness.errors import HarnessError
from harness.presets.figures import FIGURES
from harness.presets.preset import load_preset
from harness.presets.prices import PRICES, load_prices, priced_regions
from harness.presets.table import TABLES, describe_value, format_usd, with_tables

PAGE = Path(__file__).parents[2] / "docs/presets.md"


def shown(*arguments: str) -> str:
    """What the command prints into a pipe."""
    answer = CliRunner().invoke(cli, ["presets", *arguments], catch_exceptions=False)
    assert answer.exit_code == 0, answer.output
    return answer.stdout


@pytest.fixture
def terminal(monkeypatch, capsys):
    """A function that returns what the command prints on a terminal of a width."""

    def on_terminal(width: int, *arguments: str) -> list[str]:
        monkeypatch.setenv("COLUMNS", str(width))
        monkeypatch.setenv("TERM", "xterm")
        monkeypatch.setenv("NO_COLOR", "1")
        monkeypatch.setattr("sys.stdout.isatty", lambda: True, raising=False)
        cli.main(["presets", *arguments], standalone_mode=False)
        # Without colours, headings are still bold.
        return re.sub(r"\x1b\[[\d;]*m", "", capsys.readouterr().out).splitlines()

    return on_terminal


def test_presets_and_price_lists_are_listed():
    """With the regions, and the default named."""
    text = shown()

    assert "aws-2026" in text
    assert "(the default)" in text.splitlines()[1]
    assert "lambdaml-2021" in text
    assert all(region in text for region in priced_regions())

    listed = json.loads(shown("--json"))
    assert [one["name"] for one in listed["presets"] if one["default"]] == ["aws-2026"]
    assert listed["price_lists"][0]["regions"] == priced_regions()


def test_a_line_of_a_pipe_has_a_figure_with_all_that_is_known_of_it():
    """So that `grep` finds value, source and doubt together."""
    (line,) = [line for line in shown("aws-2026").splitlines() if line.startswith("store_latency ")]

    figure = load_preset().figures["store_latency"]
    expected = ["min 0.5, p50 0.66, max 0.91 ms", figure.source, figure.measured, figure.doubt]
    assert [text for text in expected if text not in line] == []


@pytest.mark.parametrize("width", [60, 80, 100, 200])
def test_a_terminal_shows_every_figure_whole(width: int, terminal):
    """Nothing is cut, and no line is longer than the terminal."""
    lines = terminal(width, "aws-2026")

    assert max(map(len, lines)) <= width
    words = "".join("".join(line.split()) for line in lines)
    assert [name for name in FIGURES if name not in words] == []
    assert "2026-03-20" in words
    assert "doubt" in words


@pytest.mark.parametrize("arguments", [(), ("--prices", "eu-central-1")])
def test_lists_and_prices_fit_a_terminal(arguments: tuple[str, ...], terminal):
    """80 columns are enough."""
    assert max(map(len, terminal(80, *arguments))) <= 80


def test_json_has_the_fields_of_the_file():
    """A program reads what a user writes, with the meaning."""
    preset = json.loads(shown("aws-2026", "--set", "fan_out=1:0.2,10:0.4", "--json"))

    assert list(preset["figures"]) == list(FIGURES)
    assert preset["figures"]["fan_out"]["by_count"] == [[1, 0.2], [10, 0.4]]
    latency = preset["figures"]["s3_write_latency"]
    assert (latency["unit"], latency["p50"], latency["p99.9"]) == ("ms", 40, 200)
    assert latency["source"] == load_preset().figures["s3_write_latency"].source
    assert latency["meaning"] == FIGURES["s3_write_latency"].meaning


def test_a_file_is_shown_like_a_shipped_preset(tmp_path: Path):
    """A user checks there what the file makes of a forecast."""
    path = tmp_path / "mine.toml"
    figure = r'unit = "x"\nvalue = 1.25\nsource = "me \u001b[31m"\n'.replace(r"\n", "\n")
    path.write_text(f'name = "mine"\nbase = "aws-2026"\n[figures.cpu_factor]\n{figure}')

    (line,) = [line for line in shown(str(path)).splitlines() if line.startswith("cpu_factor")]
    assert "1.25 x" in line
    # A source of somebody else's writes no colours.
    assert "\x1b" not in line


def test_an_override_without_a_name_is_of_the_default():
    """`--set` alone shows the default preset with it."""
    assert "0.3 ms" in shown("--set", "store_latency=0.3")


def test_prices_are_plain_numbers_with_their_source():
    """No exponent, and a number that leads to who says so."""
    lines = shown("--prices", "eu-central-1").splitlines()

    (line,) = [line for line in lines if line.startswith("lambda_gb_s ")]
    assert "0.0000166667" in line
    price = load_prices("eu-central-1").single["lambda_gb_s"]
    assert any(found.startswith(line.split()[-1] + " ") and price.source in found for found in lines)

    listed = json.loads(shown("--prices", "eu-central-1", "--json"))
    assert listed["region"] == "eu-central-1"
    assert {*PRICES, "cache.t3.micro"} <= set(listed["prices"])
    assert listed["prices"]["endpoint_hour"]["usd"] == 0.012


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["aws-2026", "--prices", "us-east-1"], "--prices takes no preset"),
        (["--price-list", "aws-2026-11"], "--price-list needs --prices REGION"),
        (["--prices", "us-east-1", "--set", "cpu_factor=2"], "--set takes a figure of a preset"),
    ],
)
def test_what_does_not_go_together_is_refused(arguments: list[str], message: str):
    """Wrong usage, with what to do."""
    answer = CliRunner().invoke(cli, ["presets", *arguments])

    assert answer.exit_code == 2
    assert message in answer.output


def test_a_wrong_name_reaches_the_user():
    """The preset's own message."""
    answer = CliRunner().invoke(cli, ["presets", "aws-2062"])

    assert isinstance(answer.exception, HarnessError)
    assert "did you mean aws-2026?" in str(answer.exception)


def test_the_tables_of_the_page_are_not_stale():
    """`python -m harness.presets.table` writes them."""
    page = PAGE.read_text()

    assert [name for name, make in TABLES.items() if make() not in page] == []
    assert with_tables(page) == page


def test_the_page_without_its_tables_gets_them_back():
    """And nothing else of it changes."""
    page = "a\n<!-- figures -->\nold\n<!-- /figures -->\nb\n"

    assert with_tables(page) == f"a\n<!-- figures -->\n{TABLES['figures']()}\n<!-- /figures -->\nb\n"


def test_values_are_worded_by_their_kind():
    """A number, quantiles, or a table by count."""
    preset = load_preset()

    assert describe_value(preset.value("s3_bandwidth")) == "99.8"
    assert describe_value(preset.value("s3_latency")) == "p50 27, p99 103"
    assert describe_value(preset.value("vpc_bandwidth")) == "77 at 32, 47 at 128, 24 at 256"
    assert [format_usd(usd) for usd in (0.0000166667, 0.2, 5.0)] == ["0.0000166667", "0.2", "5"]

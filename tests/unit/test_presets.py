"""Presets: figures of AWS from TOML files, with sources; whatever is wrong in one is named."""

from pathlib import Path

import msgspec
import pytest

from harness.errors import HarnessError
from harness.presets.distribution import ByCount, Constant
from harness.presets.emulated_network import EmulatedNetwork
from harness.presets.figure import figure_of
from harness.presets.figures import FIGURES
from harness.presets.preset import check_set_once, load_preset, parse_override, shipped_presets
from harness.presets.writer import format_preset

GOOD = """
[figures.store_latency]
unit = "ms"
p50 = 0.61
p99 = 0.9
source = "measured here"
"""
HEAD = 'name = "mine"\nbase = "aws-2026"\n'


@pytest.fixture
def write(tmp_path: Path):
    """A function that writes a preset's file and returns its path."""

    def to_file(text: str, name: str = "mine.toml") -> str:
        path = tmp_path / name
        path.write_text(text)
        return str(path)

    return to_file


class TestShipped:
    """The presets of the package."""

    def test_the_newest_is_the_default(self):
        """Without a name, a user gets the newest measurements."""
        assert shipped_presets()[0] == load_preset().name == "aws-2026"
        assert {"aws-2026", "lambdaml-2021"} <= set(shipped_presets())

    @pytest.mark.parametrize("name", shipped_presets())
    def test_each_has_every_figure_with_its_source(self, name: str):
        """All that is measured says where and when, and nothing is assumed in silence."""
        preset = load_preset(name)

        assert preset.name == name
        assert list(preset.figures) == list(FIGURES)
        unsaid = [key for key, figure in preset.figures.items() if not (figure.measured or figure.doubt)]
        assert set(unsaid) <= {"start_scale", "cpu_factor"}

    def test_the_cache_in_another_zone_is_slower(self):
        """A trip within the zone takes 0.66 ms, from another one 1.66 ms."""
        preset = load_preset()

        assert preset.typical("store_latency") == pytest.approx(0.66)
        assert preset.typical("store_latency_other_zone") == pytest.approx(1.66)

    def test_one_cold_start_fits_into_the_fan_out_of_one(self):
        """The fan-out contains a cold start from a zip, which is subtracted where both are added."""
        for name in shipped_presets():
            preset = load_preset(name)
            assert preset.value("fan_out").at(10) * 1000 > preset.typical("cold_start_zip")
        assert load_preset().value("fan_out").at(1) * 1000 > load_preset().typical("cold_start_zip")

    def test_lambdaml_started_its_workers_one_after_the_other(self):
        """Its 200 workers began after 35 s; AWS's newest figures say a second."""
        assert load_preset("lambdaml-2021").value("fan_out").at(200) == pytest.approx(35)
        assert load_preset().value("fan_out").at(200) == pytest.approx(0.92)
        assert load_preset("lambdaml-2021").typical("s3_bandwidth") == 65
        assert load_preset("lambdaml-2021").value("function_burst") == load_preset().value("function_burst")

    @pytest.mark.parametrize("name", shipped_presets())
    def test_each_survives_json_and_toml(self, name: str, write):
        """The stack hands figures to its processes as JSON, and calibration writes them as TOML."""
        preset = load_preset(name)
        network = EmulatedNetwork(preset=name, figures={key: preset.value(key) for key in FIGURES}, seed=3)

        assert msgspec.json.decode(msgspec.json.encode(network), type=EmulatedNetwork) == network
        assert load_preset(write(format_preset(name, preset.figures, about=preset.about))) == preset


class TestOwn:
    """A user's own file."""

    def test_it_takes_the_rest_from_its_base(self, write):
        """A file gives what was measured, and all else is the base's."""
        preset = load_preset(write(HEAD + GOOD))

        assert (preset.name, preset.typical("store_latency")) == ("mine", pytest.approx(0.61))
        assert preset.figures["store_latency"].source == "measured here"
        assert preset.figures["s3_latency"] == load_preset().figures["s3_latency"]

    def test_a_base_lies_beside_the_file(self, write, monkeypatch):
        """A relative path does not depend on the working directory."""
        write(HEAD + GOOD, "base.toml")
        path = write('name = "second"\nbase = "base.toml"\n')
        monkeypatch.chdir("/")

        assert load_preset(path).typical("store_latency") == pytest.approx(0.61)

    def test_text_is_kept_as_it_is(self, write):
        """Quotes, backslashes and umlauts come back from the file that calibration writes."""
        source = 'M\u00fcller said "0.6 ms" on C:\\\x7f\u2028'
        figure = figure_of("cpu_factor", {"unit": "x", "value": 1.5, "source": source}, "here")
        text = format_preset("own", {"cpu_factor": figure}, base="aws-2026")

        assert load_preset(write(text)).figures["cpu_factor"].source == source

    def test_one_figure_is_overridden(self):
        """A figure of the command line replaces the preset's, and says so."""
        preset = load_preset("aws-2026", ["store_latency=0.5", "s3_latency=p50:20,p99:80", "fan_out=1:0.1,9:0.2"])

        assert preset.value("store_latency") == Constant(0.5)
        assert preset.value("s3_latency").quantile(0.99) == pytest.approx(80)
        assert preset.value("fan_out") == ByCount((1, 9), (0.1, 0.2))
        assert preset.figures["store_latency"].source == "given on the command line"
        assert list(preset.figures) == list(FIGURES)


def table(**fields: object) -> str:
    """The file of a preset with one figure."""
    given = {"unit": '"ms"', "source": '"here"'} | fields
    lines = "\n".join(f"{key} = {value}" for key, value in given.items() if value is not None)
    return f"{HEAD}[figures.store_latency]\n{lines}\n"


@pytest.mark.parametrize(
    ("text", "named"),
    [
        (table(value=-0.5), ["store_latency", "value is -0.5", "above 0"]),
        (table(value=0), ["store_latency", "value is 0", "above 0"]),
        (table(value="nan"), ["store_latency", "value is nan"]),
        (table(value="inf"), ["store_latency", "value is inf"]),
        (table(value="true"), ["store_latency", "value is True", "number, in ms"]),
        (table(value='"fast"'), ["store_latency", "value is 'fast'", "number, in ms"]),
        (table(p50=0.6, p99=-1), ["store_latency", "p99 is -1", "above 0"]),
        (table(p50=0.6, p99="nan"), ["store_latency", "p99 is nan"]),
        (table(p50="inf", p99="inf"), ["store_latency", "p50 is inf"]),
        (table(p50=0.9, p99=0.6), ["store_latency", "do not ascend", "p50 0.9, p99 0.6"]),
        (table(mean=0.6, min=0.7, max=0.9), ["store_latency", "do not ascend", "min 0.7"]),
        (table(p50=0.6), ["store_latency", "one quantile", "value"]),
        (table(p50=0.6, mean=0.7, p99=0.9), ["store_latency", "both p50 and mean", "keep p50"]),
        (table(p90=0.6, p99=0.7), ["store_latency", "p50 or mean is missing"]),
        (table(), ["store_latency", "no value", "p50"]),
        (table(value=0.6, p50=0.6), ["store_latency", "both value and quantiles"]),
        (table(by_count="[[1, 0.1], [2, 0.2]]"), ["store_latency", "cannot have by_count"]),
        (table(value=0.6, unit='"s"'), ["store_latency", "unit is 's'", 'unit = "ms"']),
        (table(value=0.6, unit=None), ["store_latency", "unit is missing", 'unit = "ms"']),
        (table(value=0.6, source=None), ["store_latency", "no source"]),
        (table(value=0.6, source='""'), ["store_latency", "no source"]),
        (table(value=0.6, source=7), ["store_latency", "source is 7"]),
        (table(value=0.6, sourse='"x"'), ["store_latency", "'sourse'", "did you mean source?"]),
        (table(value=10**400), ["store_latency", "value is 10000000000000000000... (401 digits)", "1e9, in ms"]),
        (table(value=0.6, source='"  "'), ["store_latency", "no source"]),
        (table(p42=0.6), ["store_latency", "'p42'", "p50"]),
        (HEAD + "[figures.store_latncy]\n", ["'store_latncy'", "did you mean store_latency?"]),
        (HEAD + "[figures]\nstore_latency = 0.6\n", ["store_latency is 0.6", "a table"]),
        (HEAD + "bases = 1\n" + GOOD, ["unknown field `bases`"]),
        ('base = "aws-2026"\n' + GOOD, ["`name`"]),
        ('name = ""\nbase = "aws-2026"\n' + GOOD, ["`$.name`"]),
        ('name = "\\u001b[31mred"\nbase = "aws-2026"\n' + GOOD, [r"name is '\x1b[31mred'", "printable"]),
        (f'name = "{81 * "a"}"\nbase = "aws-2026"\n' + GOOD, ["name is 'aaaa", "up to 80"]),
        ('name = "mine"\n' + GOOD, ["lacks start_scale", 'base = "aws-2026"']),
        ('name = "mine"\nbase = "aws-2062"\n' + GOOD, ["no preset 'aws-2062'", "did you mean aws-2026?"]),
        ('name = "mine"\nbase = "mine.toml"\n' + GOOD, ["based on itself", "change `base`"]),
        ("name = mine\n", ["no TOML", "line 1"]),
    ],
)  # fmt: skip
def test_a_wrong_file_is_explained(text: str, named: list[str], write):
    """Field, value, file and remedy are named, and nothing is guessed."""
    path = write(text)

    with pytest.raises(HarnessError) as caught:
        load_preset(path)

    message = str(caught.value)
    assert [part for part in [*named, path] if part not in message] == []


@pytest.mark.parametrize(
    ("fields", "named"),
    [
        ({"by_count": [[100, 0.5]]}, "two points or more"),
        ({"by_count": []}, "two points or more"),
        ({"by_count": 3}, "by_count is 3"),
        ({"by_count": [[100, 0.5], [100, 0.6]]}, "100 functions after 100"),
        ({"by_count": [[200, 0.5], [100, 0.6]]}, "100 functions after 200"),
        ({"by_count": [[0, 0.5], [100, 0.6]]}, "[0, 0.5]"),
        ({"by_count": [[1, 0.5], [100, -1]]}, "[100, -1]"),
        ({"by_count": [[1, 0.5], [100, float("nan")]]}, "[100, nan]"),
        ({"by_count": [[1, 0.5], [100, float("inf")]]}, "[100, inf]"),
        ({"by_count": [[1.5, 0.5], [100, 0.6]]}, "[1.5, 0.5]"),
        ({"by_count": [[1, 0.5, 2], [100, 0.6]]}, "[1, 0.5, 2]"),
        ({"by_count": [[1, "x"], [100, 0.6]]}, "[1, 'x']"),
        ({"value": 3.0}, "cannot have value"),
        ({"p50": 1.0, "p99": 2.0}, "cannot have quantiles"),
    ],
)
def test_a_wrong_table_by_count_is_explained(fields: dict[str, object], named: str):
    """The point that is wrong is shown."""
    with pytest.raises(HarnessError) as caught:
        figure_of("fan_out", {"unit": "s", "source": "here", **fields}, "here")

    assert named in str(caught.value)
    assert "fan_out" in str(caught.value)
    assert "[[100, 0.53], [200, 0.92]]" in str(caught.value)


def test_only_what_may_be_zero_is_zero():
    """Starts may be switched off, a bandwidth may not."""
    assert figure_of("start_scale", {"unit": "x", "value": 0, "source": "here"}, "here").value == Constant(0)
    with pytest.raises(HarnessError, match="value is 0: it must be above 0"):
        figure_of("s3_bandwidth", {"unit": "MB/s", "value": 0, "source": "here"}, "here")
    with pytest.raises(HarnessError, match="cannot have quantiles"):
        figure_of("s3_bandwidth", {"unit": "MB/s", "p50": 1, "p99": 2, "source": "here"}, "here")


def test_bases_may_not_go_in_a_circle(write):
    """Two files that are based on each other are both named."""
    first = write('name = "one"\nbase = "two.toml"\n', "one.toml")
    second = write('name = "two"\nbase = "one.toml"\n', "two.toml")

    with pytest.raises(HarnessError) as caught:
        load_preset(first)

    assert "based on itself" in caught.value.what
    assert first in caught.value.where
    assert second in caught.value.where


class TestNoPreset:
    """A name that stands for no file of ours."""

    @pytest.mark.parametrize(
        ("name", "named"),
        [
            ("aws-2025", ["no preset 'aws-2025'", "did you mean aws-2026?", "path of a TOML file"]),
            ("nowhere/mine.toml", ["no preset 'nowhere/mine.toml'", "known presets: aws-2026, lambdaml-2021"]),
            ("", ["no preset ''", "path of a TOML file"]),
            ("/dev/null", ["'/dev/null' is no regular file"]),
            (5000 * "a", ["cannot be read: File name too long"]),
        ],
    )
    def test_a_wrong_name_is_explained(self, name: str, named: list[str]):
        """What is known is listed."""
        with pytest.raises(HarnessError) as caught:
            load_preset(name)

        assert [part for part in named if part not in str(caught.value)] == []

    def test_a_folder_is_no_preset(self, tmp_path: Path):
        """A path without its file's name is a common slip."""
        with pytest.raises(HarnessError, match="is a folder"):
            load_preset(str(tmp_path))

    def test_a_binary_is_no_preset(self, tmp_path: Path):
        """No traceback of a decoder."""
        path = tmp_path / "mine.toml"
        path.write_bytes(b"\x89PNG\xff\x00")

        with pytest.raises(HarnessError, match="no text in UTF-8"):
            load_preset(str(path))

    def test_a_file_that_is_no_preset_is_not_read_to_its_end(self, tmp_path: Path):
        """Neither a disk image nor a text of brackets takes long, or ends in a traceback."""
        large, deep = tmp_path / "large.toml", tmp_path / "deep.toml"
        with large.open("wb") as file:
            file.truncate(3_000_000_000)
        deep.write_text("name = " + 3000 * "[" + 3000 * "]")

        with pytest.raises(HarnessError, match="has 3,000,000,000 bytes, more than 1 MB"):
            load_preset(str(large))
        with pytest.raises(HarnessError, match="nests too deeply"):
            load_preset(str(deep))

    def test_a_file_that_cannot_be_read_says_so(self):
        """The system's reason is told; nobody can read the memory of a process from its start."""
        with pytest.raises(HarnessError, match="cannot be read: Input/output error"):
            load_preset("/proc/self/mem")


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("store_latency", ["'store_latency' sets no figure", "NAME=VALUE"]),
        ("store_latncy=1", ["did you mean store_latency?"]),
        ("store_latency=", ["'' is no value of store_latency"]),
        ("store_latency=fast", ["'fast' is no value of store_latency", "p50:0.6,p99:1.2"]),
        ("store_latency=-1", ["value is -1", "in 'store_latency=-1'"]),
        ("store_latency=nan", ["value is nan"]),
        ("store_latency=p50:0.6", ["one quantile"]),
        ("store_latency=1e300", ["store_latency: value is 1e+300", "from 1e-9 to 1e9, in ms"]),
        ("store_latency=1e-300", ["value is 1e-300", "from 1e-9 to 1e9"]),
        ("store_latency=p50:1,p99:1e300", ["p99 is 1e+300"]),
        ("store_latency=p50:1,p99:2,p99:3", ["'p50:1,p99:2,p99:3' is given twice"]),
        (f"fan_out=1:1,{10**400}:2", ["10000000000000000000... (401 digits)", "from 1e-9 to 1e9"]),
        ("store_latency=p50:0.6,p42:1", ["'p42'"]),
        ("store_latency=p50:0.6,1", ["is no value"]),
        ("fan_out=100:0.5,1.5:0.9", ["is no value of fan_out"]),
        ("fan_out=3", ["cannot have value"]),
    ],
)
def test_a_wrong_override_is_explained(text: str, named: list[str]):
    """The argument and what it should be are told."""
    with pytest.raises(HarnessError) as caught:
        parse_override(text)

    assert [part for part in named if part not in str(caught.value)] == []


def test_a_figure_is_set_once():
    """Of two values, none is ignored in silence."""
    with pytest.raises(HarnessError, match="store_latency is set twice") as caught:
        check_set_once(["store_latency=1", "fan_out=1:0.1,9:0.2", "store_latency=2"])

    assert caught.value.where == "in 'store_latency=2'"
